//! What the headers of frames say.

use serde::{Deserialize, Serialize};
use unruffled_model::{Dim, ModelError, RequestContext, Signature, TensorSpec};

use crate::element::dtype_by_name;

/// One tensor: its name, element type, shape, and where its bytes are.
pub(crate) type Entry<'a> = (&'a str, &'a str, &'a [usize], u8, u64, u64);

/// As [`Entry`], read.
pub(crate) type OwnedEntry = (String, String, Vec<usize>, u8, u64, u64);

/// The bytes are in the body of the frame.
pub(crate) const INLINE: u8 = 0;
/// The bytes are in shared memory.
pub(crate) const SHARED: u8 = 1;

#[derive(Serialize)]
pub(crate) struct Load<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) signature: Option<RawSignature>,
    pub(crate) trusted_types: &'a [String],
    pub(crate) threads: usize,
    pub(crate) nice: u8,
    pub(crate) memory_max: Option<u64>,
    pub(crate) shared_max: u64,
    pub(crate) inline_max: u64,
    /// As Python's `logging` counts levels.
    pub(crate) log_level: u32,
}

#[derive(Serialize)]
pub(crate) struct Run<'a> {
    pub(crate) run: u64,
    pub(crate) rows: Vec<RowContext<'a>>,
    pub(crate) inputs: Vec<Entry<'a>>,
}

/// On whose behalf a row is run.
#[derive(Serialize)]
pub(crate) struct RowContext<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    /// Seconds until its caller gives up.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<f64>,
    priority: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    baggage: Vec<(&'a str, &'a str)>,
    rows: usize,
}

impl<'a> RowContext<'a> {
    pub(crate) fn new(request: &'a RequestContext, rows: usize) -> Self {
        use unruffled_model::Priority::{Bulk, Interactive, Normal};
        let left = |deadline: std::time::Instant| {
            deadline.saturating_duration_since(std::time::Instant::now()).as_secs_f64()
        };
        Self {
            id: request.id().to_string(),
            traceparent: request.trace().map(ToString::to_string),
            tracestate: request.trace().and_then(|trace| trace.state()),
            timeout: request.deadline().map(left),
            priority: match request.priority() {
                Interactive => "interactive",
                Normal => "normal",
                Bulk => "bulk",
            },
            caller: request.caller().map(|caller| &*caller.key),
            baggage: request.baggage().collect(),
            rows,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Hello {
    pub(crate) python: String,
    pub(crate) numpy: String,
    pub(crate) executable: String,
}

#[derive(Deserialize)]
pub(crate) struct Loaded {
    pub(crate) signature: RawSignature,
    pub(crate) joint: bool,
    /// What inputs that carry state begin with.
    pub(crate) state: Vec<OwnedEntry>,
    /// The most memory that the process has had so far, in bytes.
    pub(crate) resident: u64,
    pub(crate) libraries: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Unloadable {
    pub(crate) message: String,
    /// The module that is missing.
    pub(crate) missing: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Outputs {
    pub(crate) run: u64,
    /// `None` after the outputs of a stream.
    pub(crate) outputs: Option<Vec<OwnedEntry>>,
    /// Whether the model holds on to its inputs in shared memory, which must therefore stay as they are.
    #[serde(default)]
    pub(crate) kept: bool,
}

#[derive(Deserialize)]
pub(crate) struct RunError {
    pub(crate) run: u64,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) tensor: Option<String>,
    pub(crate) kept: bool,
}

impl RunError {
    pub(crate) fn into_model_error(self) -> ModelError {
        let error = match self.kind.as_str() {
            "invalid" => ModelError::invalid_input(self.message),
            // Nobody asked it to: the model has raised the exception itself.
            "cancelled" => ModelError::failed("the model raised KeyboardInterrupt"),
            _ => ModelError::failed(self.message),
        };
        match &self.tensor {
            Some(tensor) => error.at(tensor),
            None => error,
        }
    }
}

/// A signature as both sides write it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RawSignature {
    inputs: Vec<RawSpec>,
    outputs: Vec<RawSpec>,
}

#[derive(Clone, Serialize, Deserialize)]
struct RawSpec {
    name: String,
    dtype: String,
    dims: Option<Vec<RawDim>>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum RawDim {
    Fixed(usize),
    Symbolic(String),
    Any(()),
}

impl RawSignature {
    pub(crate) fn of(signature: &Signature) -> Self {
        let raw = |specs: &[TensorSpec]| specs.iter().map(RawSpec::of).collect();
        Self { inputs: raw(&signature.inputs), outputs: raw(&signature.outputs) }
    }

    pub(crate) fn checked(self) -> Result<Signature, String> {
        let checked = |specs: Vec<RawSpec>| specs.into_iter().map(RawSpec::checked).collect::<Result<_, _>>();
        Ok(Signature { inputs: checked(self.inputs)?, outputs: checked(self.outputs)? })
    }
}

impl RawSpec {
    fn of(spec: &TensorSpec) -> Self {
        let dim = |dim: &Dim| match dim {
            Dim::Fixed(size) => RawDim::Fixed(*size),
            Dim::Symbolic(symbol) => RawDim::Symbolic(symbol.to_string()),
            Dim::Any => RawDim::Any(()),
        };
        let dims = spec.dims.as_ref().map(|dims| dims.iter().map(dim).collect());
        Self { name: spec.name.to_string(), dtype: spec.dtype.name().into(), dims }
    }

    fn checked(self) -> Result<TensorSpec, String> {
        let dtype = dtype_by_name(&self.dtype)?;
        let dim = |dim| match dim {
            RawDim::Fixed(size) => Dim::Fixed(size),
            RawDim::Symbolic(symbol) => Dim::Symbolic(symbol.into()),
            RawDim::Any(()) => Dim::Any,
        };
        let mut spec = TensorSpec::new(self.name, dtype, []);
        spec.dims = self.dims.map(|dims| dims.into_iter().map(dim).collect());
        Ok(spec)
    }
}
