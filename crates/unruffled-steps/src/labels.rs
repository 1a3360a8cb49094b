//! The names of classes: line n of a file is class n.

use unruffled_model::Bytes;

use crate::error::StepError;
use crate::files::{self, Files};

/// The names of classes, cheap to hand out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels(Vec<Bytes>);

impl Labels {
    /// The labels of a file, one a line as it stands: a label may be empty or a blank.
    pub(crate) fn read(files: &dyn Files, key: &str, name: &str) -> Result<Self, StepError> {
        let bytes = Bytes::from(files::read(files, key, name)?);
        if std::str::from_utf8(&bytes).is_err() {
            return Err(StepError::file(key, format!("\"{name}\" is not UTF-8 text; save it as such")));
        }
        let mut lines: Vec<Bytes> =
            bytes.split(|byte| *byte == b'\n').map(|line| bytes.slice_ref(line)).collect();
        // What follows the last line break is no line.
        lines.pop_if(|last| last.is_empty());
        if lines.is_empty() {
            return Err(StepError::file(key, format!("\"{name}\" is empty; write one label a line")));
        }
        Ok(Self(lines))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, class: usize) -> Option<&Bytes> {
        self.0.get(class)
    }
}
