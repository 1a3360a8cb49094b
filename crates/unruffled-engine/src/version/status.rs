//! [`VersionStatus`]: one version of a model as monitoring sees it.

use std::sync::Arc;

use unruffled_model::{ModelInfo, Name, RequestId};

use super::Versions;
use super::lot::Phase;
use super::one::Version;
use crate::metrics::ModelMetrics;
use crate::pool::PoolStatus;
use crate::recorder::Explanation;

/// Where a version of a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionState {
    /// Not in memory: the next request has it loaded.
    NotLoaded,
    /// Its last load failed; a request has it tried again.
    Failed,
    /// On its way.
    Loading,
    /// In memory.
    Loaded,
    /// On its way out.
    Ended,
}

/// One version of a model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersionStatus {
    /// What it is called.
    pub version: Name,
    /// Where it is.
    pub state: VersionState,
    /// Which part of the requests that name no version it answers, in percent.
    pub share_percent: u8,
    /// What it takes in memory, or was last found to, or is thought to; 0 if nothing is known.
    pub bytes: usize,
    /// How its pool is doing.
    pub pool: PoolStatus,
    /// What is known of it.
    pub info: Arc<ModelInfo>,
}

impl<I: Send + 'static, O: Send + 'static> Version<I, O> {
    fn state(&self) -> VersionState {
        match &self.lot.lock().phase {
            Phase::Absent(None) => VersionState::NotLoaded,
            Phase::Absent(Some(_)) => VersionState::Failed,
            Phase::Loading { .. } => VersionState::Loading,
            Phase::Present => VersionState::Loaded,
            Phase::Ended(_) => VersionState::Ended,
        }
    }

    fn metrics(&self) -> ModelMetrics {
        // While it is in memory, its pool knows more.
        match &*self.resident.load() {
            Some(pool) => pool.metrics(),
            None => self.past.meter.snapshot(self.model(), self.label().told()),
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Versions<I, O> {
    /// All versions, in the order in which they came.
    pub(crate) fn statuses(&self) -> Vec<VersionStatus> {
        let status = |(name, version, share_percent): (&Name, &Arc<Version<I, O>>, u8)| VersionStatus {
            version: name.clone(),
            state: version.state(),
            share_percent,
            bytes: version.bytes(),
            pool: version.status(),
            info: Arc::clone(version.info()),
        };
        self.routes.load().shares().map(status).collect()
    }

    /// What has happened to each version, in memory or not.
    pub(crate) fn metrics(&self) -> Vec<ModelMetrics> {
        self.versions().iter().map(|version| version.metrics()).collect()
    }

    /// What has happened to the version that answers those who name none.
    pub(crate) fn main_metrics(&self) -> ModelMetrics {
        self.routes.load().main().metrics()
    }

    /// Where its versions count.
    pub(crate) fn meters(&self) -> Vec<*const crate::metrics::Meter> {
        self.versions().iter().map(|version| Arc::as_ptr(&version.past.meter)).collect()
    }

    /// What became of a request, whichever version it went to.
    pub(crate) fn explain(&self, id: &RequestId) -> Option<Explanation> {
        self.versions().iter().find_map(|version| version.past.recorder.explain(id, self.name()))
    }

    /// What became of the last requests that ended, whichever version they went to, the newest first.
    pub(crate) fn recent(&self, most: usize) -> Vec<Explanation> {
        let versions = self.versions();
        let mut all: Vec<_> =
            versions.iter().flat_map(|version| version.past.recorder.recent(most, self.name())).collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.ended));
        all.truncate(most);
        all
    }
}
