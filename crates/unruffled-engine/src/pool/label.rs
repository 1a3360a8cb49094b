//! [`Label`]: which version of a model a pool runs. [`Past`]: what is kept of a model while it is not in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use unruffled_model::{Name, Provenance};

use crate::environment::Environment;
use crate::metrics::Meter;
use crate::recorder::Recorder;

/// Which version of its model a pool runs, and whether that is worth telling.
#[derive(Clone)]
pub(crate) struct Label {
    version: Name,
    /// Shared by all versions of a model: whether there have been several.
    is_told: Arc<AtomicBool>,
}

impl Label {
    pub(crate) fn new(version: Name, is_told: Arc<AtomicBool>) -> Self {
        Self { version, is_told }
    }

    /// The version, where there are several.
    pub(crate) fn told(&self) -> Option<&Name> {
        self.is_told.load(Ordering::Relaxed).then_some(&self.version)
    }

    /// Where an answer comes from, the version included if there are several. What another model has said stays.
    pub(super) fn stamp(&self, provenance: Option<Box<Provenance>>) -> Option<Box<Provenance>> {
        let Some(version) = self.told() else { return provenance };
        let mut provenance = provenance.unwrap_or_default();
        provenance.version.get_or_insert_with(|| version.clone());
        Some(provenance)
    }
}

/// What has happened to one version of a model: it outlives the pool that it happened in.
#[derive(Clone)]
pub(crate) struct Past {
    pub(crate) meter: Arc<Meter>,
    pub(crate) recorder: Arc<Recorder>,
}

impl Past {
    pub(crate) fn new(instances: usize, environment: &Environment) -> Self {
        Self {
            meter: Arc::new(Meter::new(instances)),
            recorder: Arc::new(Recorder::new(environment.options.recorded)),
        }
    }
}
