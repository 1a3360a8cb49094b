//! What settings of other servers say that `model.toml` does not.

use std::fmt;

use unruffled_model::Dim;

/// Which of the versions that are there are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// All of them.
    #[default]
    All,
    /// So many, the highest.
    Latest(usize),
    /// Those of these numbers.
    These(Vec<u64>),
}

impl Versions {
    /// Leaves those that are served, of all that are there, ascending.
    pub(crate) fn choose(&self, there: &mut Vec<u64>) {
        match self {
            Versions::All => {}
            Versions::Latest(count) => drop(there.drain(..there.len().saturating_sub(*count))),
            Versions::These(wanted) => there.retain(|version| wanted.contains(version)),
        }
    }
}

/// What a settings file says that has no effect here, and changes no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stands in the file; 0 if the whole file is meant.
    pub line: usize,
    /// What it is called there.
    pub key: String,
    /// Why it has no effect, or what there is in its stead.
    pub why: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "`{}` has no effect: {}", self.key, self.why)
    }
}

/// An estimator as clients of MLServer know it: one input of any name and any type of numbers; the outputs `predict` and, where
/// there are any, `predict_proba`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Estimator;

/// A settings file of another server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Foreign {
    /// The line of each key, in our own names.
    pub(crate) lines: Vec<(String, usize)>,
    /// Where it is said that requests have a batch dimension in front, if it is.
    pub(crate) batched: Option<usize>,
    /// Inputs that are said to be optional.
    pub(crate) optional: Vec<String>,
    /// Inputs that the model has in another shape.
    pub(crate) inputs: Vec<Reshape>,
    /// Outputs that the model has in another shape.
    pub(crate) outputs: Vec<Reshape>,
    /// The outputs that callers see, where they are listed.
    pub(crate) listed: Option<Vec<String>>,
    /// Inputs that have their default in the first call of a sequence, and this number in all others.
    pub(crate) starts: Vec<(String, f64)>,
}

/// An input or output that callers see in another shape than the model; as many sizes are open in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reshape {
    pub(crate) name: String,
    pub(crate) callers: Vec<Dim>,
    pub(crate) models: Vec<Dim>,
    /// Whether the first dimension of both is the batch.
    pub(crate) batched: bool,
}
