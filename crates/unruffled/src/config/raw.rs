//! `model.toml` as it is written: the mirror of the file, checked in [`check`](super::check).

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use indexmap::IndexMap;
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) description: Option<String>,
    pub(super) license: Option<String>,
    pub(super) source: Option<String>,
    pub(super) backend: Option<String>,
    #[serde(default)]
    pub(super) run: RawRun,
    pub(super) cache: Option<RawCache>,
    pub(super) fallback: Option<Spanned<RawFallback>>,
    #[serde(default)]
    pub(super) onnxruntime: RawOnnxRuntime,
    #[serde(default)]
    pub(super) python: RawPython,
    /// In the order in which they are written: a Python model may answer in that order.
    #[serde(default)]
    pub(super) inputs: IndexMap<String, RawInput>,
    #[serde(default)]
    pub(super) outputs: IndexMap<String, Spanned<RawOutput>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRun {
    pub(super) instances: Option<NonZeroUsize>,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) max_batch: Option<NonZeroUsize>,
    pub(super) queue_items: Option<NonZeroUsize>,
    pub(super) queue_bytes: Option<NonZeroUsize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCache {
    pub(super) bytes: Option<NonZeroUsize>,
    pub(super) ttl_s: Option<NonZeroU64>,
    pub(super) input_bytes_max: Option<NonZeroUsize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFallback {
    pub(super) chain: Spanned<Vec<String>>,
    pub(super) order: Option<Spanned<String>>,
    pub(super) budget_ms: Option<NonZeroU64>,
    pub(super) hedge_after_ms: Option<NonZeroU64>,
    #[serde(default)]
    pub(super) breaker: RawBreaker,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBreaker {
    pub(super) failure_rate: Option<Spanned<f64>>,
    pub(super) calls_min: Option<NonZeroUsize>,
    pub(super) open_ms: Option<NonZeroU64>,
    pub(super) open_ms_max: Option<NonZeroU64>,
    pub(super) probes: Option<NonZeroUsize>,
    pub(super) successes: Option<NonZeroUsize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOnnxRuntime {
    #[serde(default)]
    pub(super) providers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPython {
    pub(super) interpreter: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) trust_pickle: bool,
    #[serde(default)]
    pub(super) trusted_types: Vec<String>,
    pub(super) memory_bytes: Option<NonZeroU64>,
    pub(super) load_timeout_ms: Option<NonZeroU64>,
    pub(super) cancel_grace_ms: Option<u64>,
    pub(super) rerun: Option<bool>,
    pub(super) reload: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInput {
    pub(super) dtype: Option<Spanned<String>>,
    pub(super) dims: Option<Spanned<Vec<RawDim>>>,
    pub(super) default: Option<f64>,
    pub(super) shape: Option<Spanned<Vec<usize>>>,
    pub(super) from: Option<RawFrom>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a dimension is a size, a name, or \"?\" for any size")]
pub(super) enum RawDim {
    Size(usize),
    Name(String),
}

/// The keys of all kinds together, so that a key of another kind gets an error that says so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFrom {
    pub(super) kind: Spanned<String>,

    pub(super) width: Option<Spanned<NonZeroU32>>,
    pub(super) height: Option<Spanned<NonZeroU32>>,
    pub(super) side_max: Option<Spanned<NonZeroU32>>,
    pub(super) multiple: Option<Spanned<NonZeroU32>>,
    pub(super) color: Option<Spanned<String>>,
    pub(super) layout: Option<Spanned<String>>,
    pub(super) invert: Option<Spanned<bool>>,
    pub(super) scale: Option<Spanned<f32>>,
    pub(super) mean: Option<Spanned<Vec<f32>>>,
    pub(super) std: Option<Spanned<Vec<f32>>>,

    pub(super) rate: Option<Spanned<NonZeroU32>>,
    pub(super) samples: Option<Spanned<NonZeroUsize>>,

    pub(super) begin: Option<Spanned<usize>>,
    pub(super) end: Option<Spanned<usize>>,
    pub(super) block: Option<Spanned<NonZeroUsize>>,
    pub(super) trim: Option<Spanned<bool>>,
    pub(super) padding: Option<Spanned<i32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutput {
    pub(super) dtype: Option<Spanned<String>>,
    pub(super) dims: Option<Spanned<Vec<RawDim>>>,
    pub(super) labels: Option<Spanned<String>>,
    pub(super) top: Option<Spanned<NonZeroUsize>>,
    pub(super) decode: Option<Spanned<String>>,
}
