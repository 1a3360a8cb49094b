//! [`Labels`]: the classes of a classifier, which are integers or strings.

use unruffled_model::{Bytes, DType, ModelError, Tensor};

use super::settings::Settings;

/// The classes that a classifier tells apart.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Integers(Vec<i64>),
    Strings(Vec<Bytes>),
}

impl Labels {
    /// Reads the one of two attributes that is there.
    ///
    /// # Errors
    ///
    /// A reason, unless there is exactly one.
    pub(super) fn read(
        settings: &Settings<'_>,
        integers: &'static str,
        strings: &'static str,
    ) -> Result<Self, String> {
        match (settings.integers(integers), settings.strings(strings)) {
            ([], []) => Err("has no class labels".into()),
            (integers, []) => Ok(Self::Integers(integers.to_vec())),
            ([], strings) => Ok(Self::Strings(strings.to_vec())),
            _ => Err("has class labels of two types".into()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Labels::Integers(integers) => integers.len(),
            Labels::Strings(strings) => strings.len(),
        }
    }

    pub(super) fn dtype(&self) -> DType {
        match self {
            Labels::Integers(_) => DType::I64,
            Labels::Strings(_) => DType::Bytes,
        }
    }

    /// The labels of these classes, one for each row.
    pub(super) fn tensor(&self, classes: &[usize]) -> Result<Tensor, ModelError> {
        self.repeated(&[classes.len()], classes.iter().copied())
    }

    /// All labels, again for each row.
    pub(super) fn for_rows(&self, rows: usize) -> Result<Tensor, ModelError> {
        let classes = (0..rows).flat_map(|_| 0..self.len());
        self.repeated(&[rows, self.len()], classes)
    }

    fn repeated(&self, shape: &[usize], classes: impl Iterator<Item = usize>) -> Result<Tensor, ModelError> {
        match self {
            Labels::Integers(integers) => {
                Tensor::new(shape, classes.map(|class| integers[class]).collect::<Vec<_>>())
            }
            Labels::Strings(strings) => {
                Tensor::new(shape, classes.map(|class| strings[class].clone()).collect::<Vec<_>>())
            }
        }
    }
}
