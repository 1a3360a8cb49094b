//! [`OrtOptions`]: what can be said of a model that ONNX Runtime runs.

use ort::session::builder::GraphOptimizationLevel;

/// Options of one model, for [`BackendOptions::special`](unruffled_model::BackendOptions::special).
///
/// ```
/// use unruffled_model::{BackendOptions, SpecialOptions};
/// use unruffled_onnx::OrtOptions;
///
/// let ort = OrtOptions { providers: vec!["cuda".into()], ..OrtOptions::default() };
/// let options = BackendOptions { special: SpecialOptions::default().with(ort), ..BackendOptions::default() };
/// # assert!(options.special.get::<OrtOptions>().is_some());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrtOptions {
    /// Execution providers, the preferred first: `cuda`, `coreml` and so on, see
    /// [`OrtRuntime::providers`](crate::OrtRuntime::providers). The processor, `cpu`, runs what these cannot, and is the
    /// only one if there is none here.
    pub providers: Vec<String>,
    /// How much is done to make runs faster when the model is loaded.
    pub optimization: OrtOptimization,
}

/// How much ONNX Runtime rewrites a model before it runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrtOptimization {
    /// Nothing: loading is fastest, runs are slowest.
    None,
    /// What changes no result: constants are folded, what is superfluous goes.
    Basic,
    /// Nodes are fused as well.
    Extended,
    /// Memory is laid out anew as well: loading is slowest, runs are fastest.
    #[default]
    All,
}

impl From<OrtOptimization> for GraphOptimizationLevel {
    fn from(optimization: OrtOptimization) -> Self {
        match optimization {
            OrtOptimization::None => Self::Disable,
            OrtOptimization::Basic => Self::Level1,
            OrtOptimization::Extended => Self::Level2,
            OrtOptimization::All => Self::All,
        }
    }
}
