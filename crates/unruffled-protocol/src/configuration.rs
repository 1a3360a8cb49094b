//! [`ModelConfiguration`]: how a model is run, as the model configuration extension tells it.

use serde::Serialize;
use unruffled_model::{DType, Signature, TensorSpec};

use crate::encode;
use crate::metadata::TensorMetadata;

/// An input or output, its batch left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorConfiguration {
    /// Its name.
    pub name: String,
    /// Its element type, `TYPE_FP32` say.
    pub data_type: &'static str,
    /// Its dimensions; -1 where any size fits.
    pub dims: Vec<i64>,
}

/// How many instances of a model there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceGroup {
    /// How many.
    pub count: u64,
    /// What they run on: `KIND_CPU`.
    pub kind: &'static str,
}

/// How requests are put into one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DynamicBatching {
    /// Sizes that are aimed at: none.
    pub preferred_batch_size: Vec<u64>,
    /// How long a batch waits for more: not at all.
    pub max_queue_delay_microseconds: u64,
}

/// Requests of a sequence are run in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SequenceBatching {
    /// How long a sequence may be idle.
    pub max_sequence_idle_microseconds: u64,
}

/// How a model is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelConfiguration {
    /// The model.
    pub name: String,
    /// Its format or framework.
    pub platform: String,
    /// What runs it.
    pub backend: String,
    /// The most rows of a request; 0 if requests have no batch.
    pub max_batch_size: u64,
    /// Its inputs.
    pub input: Vec<TensorConfiguration>,
    /// Its outputs.
    pub output: Vec<TensorConfiguration>,
    /// Its instances.
    pub instance_group: Vec<InstanceGroup>,
    /// Present if requests share runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_batching: Option<DynamicBatching>,
    /// Present if it keeps a state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_batching: Option<SequenceBatching>,
}

impl ModelConfiguration {
    /// The configuration of a model by its signature; `max_batch` is the most rows of a request, 0 without a batch.
    pub fn new(
        name: impl Into<String>,
        platform: impl Into<String>,
        backend: impl Into<String>,
        signature: &Signature,
        max_batch: u64,
        instances: u64,
    ) -> Self {
        let tensors = |specs: &[TensorSpec]| {
            specs.iter().map(|spec| TensorConfiguration::new(spec, max_batch > 0)).collect()
        };
        Self {
            name: name.into(),
            platform: platform.into(),
            backend: backend.into(),
            max_batch_size: max_batch,
            input: tensors(&signature.inputs),
            output: tensors(&signature.outputs),
            instance_group: vec![InstanceGroup { count: instances, kind: "KIND_CPU" }],
            dynamic_batching: (max_batch > 1).then(DynamicBatching::default),
            sequence_batching: None,
        }
    }

    /// Writes the body.
    pub fn to_json(&self) -> Vec<u8> {
        encode::to_json(self)
    }
}

impl TensorConfiguration {
    fn new(spec: &TensorSpec, batched: bool) -> Self {
        // As metadata tell them; where nothing is known of the dimensions, nothing is left out.
        let batch = usize::from(batched && spec.dims.is_some());
        let dims = TensorMetadata::from(spec).shape.into_iter().skip(batch).collect();
        Self { name: spec.name.to_string(), data_type: data_type(spec.dtype), dims }
    }
}

/// What the configuration calls an element type.
pub const fn data_type(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "TYPE_BOOL",
        DType::U8 => "TYPE_UINT8",
        DType::U16 => "TYPE_UINT16",
        DType::U32 => "TYPE_UINT32",
        DType::U64 => "TYPE_UINT64",
        DType::I8 => "TYPE_INT8",
        DType::I16 => "TYPE_INT16",
        DType::I32 => "TYPE_INT32",
        DType::I64 => "TYPE_INT64",
        DType::F16 => "TYPE_FP16",
        DType::BF16 => "TYPE_BF16",
        DType::F32 => "TYPE_FP32",
        DType::F64 => "TYPE_FP64",
        DType::Bytes => "TYPE_STRING",
    }
}
