//! [`Recipe`]: how the sessions of one model are built, one for each instance, over one copy of its large weights.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use half::{bf16, f16};
use ort::environment::ThreadManager;
use ort::ep::ExecutionProviderDispatch;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, LoadCanceler, PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, PrimitiveTensorElementType};
use unruffled_model::{Bytes, DType, ModelError, ModelSource};

use super::runtime::OrtRuntime;
use crate::graph::{OnnxFile, Skeleton, TakenWeight};
use crate::source::unreadable;

/// What every session of a model is built from.
pub(super) struct Recipe {
    pub(super) runtime: OrtRuntime,
    pub(super) providers: Vec<ExecutionProviderDispatch>,
    pub(super) optimization: GraphOptimizationLevel,
    pub(super) model: Origin,
}

/// Where a session takes its model from.
pub(super) enum Origin {
    /// From memory, each with a copy of the weights.
    Memory(Bytes),
    /// From a file with others beside it, which are mapped into memory where that is possible.
    File(std::path::PathBuf),
    /// From memory, with large weights that all sessions share.
    Shared(Shared),
}

/// A model without its large weights, and these.
pub(super) struct Shared {
    model: Vec<u8>,
    weights: Vec<(String, Arc<DynValue>)>,
    /// Weights as the kernels want them. ONNX Runtime shares these only of weights that it was given.
    packed: PrepackedWeights,
}

impl Origin {
    /// The model as it is.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(super) fn plain(source: &ModelSource, file: &OnnxFile) -> Result<Self, ModelError> {
        let is_alone = !file.weights.iter().any(|weight| weight.external);
        Ok(match source {
            ModelSource::Memory(bytes) => Self::Memory(bytes.clone()),
            // An instance may have to be replaced long after the file was.
            ModelSource::File(path) if is_alone => {
                Self::Memory(std::fs::read(path).map_err(|error| unreadable(source, error))?.into())
            }
            ModelSource::File(path) => Self::File(path.clone()),
        })
    }

    /// The model with shared weights, if it has large ones that can be shared.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(super) fn shared(source: &ModelSource, file: &OnnxFile) -> Result<Option<Self>, ModelError> {
        if file.weights.iter().any(|weight| weight.external) {
            return Ok(None);
        }
        let Skeleton { model, weights } = Skeleton::read(source)?;
        let mut shared = Vec::with_capacity(weights.len());
        for weight in weights {
            let name = weight.name.clone();
            let value = elements(weight).map_err(|error| {
                ModelError::failed(format!("the weight `{name}` is no good: {error}")).caused_by(error)
            })?;
            shared.push((name, Arc::new(value)));
        }
        Ok((!shared.is_empty())
            .then(|| Self::Shared(Shared { model, weights: shared, packed: PrepackedWeights::new() })))
    }
}

impl Recipe {
    /// Builds a session whose runs use so many threads; `begun` gets what cancels the build from another thread.
    ///
    /// # Errors
    ///
    /// Those of ONNX Runtime.
    pub(super) fn session(&self, threads: usize, begun: impl FnOnce(LoadCanceler)) -> ort::Result<Session> {
        let mut builder = Session::builder(self.runtime.environment())?
            .with_optimization_level(self.optimization)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            // Threads that wait for work by turning in circles take cores from those who have some.
            .with_intra_op_spinning(false)?
            .with_execution_providers(&self.providers)?;
        if threads > 1 {
            builder = builder.with_thread_manager(Threads::default())?;
        }
        builder = match &self.model {
            Origin::Shared(shared) => shared.give_to(builder)?,
            Origin::Memory(_) | Origin::File(_) => builder,
        };
        begun(builder.canceler());
        match &self.model {
            Origin::Memory(bytes) => builder.commit_from_memory(bytes),
            Origin::File(path) => builder.commit_from_file(path),
            Origin::Shared(shared) => builder.commit_from_memory(&shared.model),
        }
    }
}

impl Shared {
    fn give_to(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        builder = builder.with_prepacked_weights(&self.packed)?;
        for (name, weight) in &self.weights {
            // The one makes the model whole, the other lets what is packed be shared.
            builder = builder
                .with_external_initializer(name, Arc::clone(weight))?
                .with_initializer(name, Arc::clone(weight))?;
        }
        Ok(builder)
    }
}

/// The elements of a weight, in memory that outlives the sessions which use them.
fn elements(weight: TakenWeight) -> ort::Result<DynValue> {
    fn value<T, const N: usize>(weight: &TakenWeight, element: fn([u8; N]) -> T) -> ort::Result<DynValue>
    where
        T: PrimitiveTensorElementType + Clone + Debug + 'static,
    {
        let (parts, _) = weight.raw.as_chunks::<N>();
        let elements: Vec<T> = parts.iter().map(|part| element(*part)).collect();
        Ok(ort::value::Tensor::from_array((weight.dims.clone(), elements))?.into_dyn())
    }
    let weight = &weight;
    match weight.dtype {
        DType::Bool => value(weight, |[byte]| byte != 0),
        DType::U8 => value(weight, u8::from_le_bytes),
        DType::U16 => value(weight, u16::from_le_bytes),
        DType::U32 => value(weight, u32::from_le_bytes),
        DType::U64 => value(weight, u64::from_le_bytes),
        DType::I8 => value(weight, i8::from_le_bytes),
        DType::I16 => value(weight, i16::from_le_bytes),
        DType::I32 => value(weight, i32::from_le_bytes),
        DType::I64 => value(weight, i64::from_le_bytes),
        DType::F16 => value(weight, f16::from_le_bytes),
        DType::BF16 => value(weight, bf16::from_le_bytes),
        DType::F32 => value(weight, f32::from_le_bytes),
        DType::F64 => value(weight, f64::from_le_bytes),
        DType::Bytes => unreachable!("strings have no fixed size and are not taken out"),
    }
}

/// Starts the threads of a session's pool, with names.
#[derive(Default)]
struct Threads(AtomicUsize);

impl ThreadManager for Threads {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<JoinHandle<()>> {
        let name = format!("ort-{}", self.0.fetch_add(1, Ordering::Relaxed));
        std::thread::Builder::new().name(name).spawn(work).map_err(ort::Error::wrap)
    }

    fn join(thread: JoinHandle<()>) -> ort::Result<()> {
        thread.join().map_err(|_| ort::Error::new("a thread of a session has panicked"))
    }
}
