//! [`Reading`]: all that there is to be seen, read at one moment.

use std::collections::HashMap;
use std::time::SystemTime;

use unruffled_engine::{LoopReport, MemoryReport, ModelMetrics, ModelStatus, VersionStatus};
use unruffled_model::Name;

use crate::service::{Service, Traffic};
use crate::spans::TracingReport;

/// The numbers of the server, its event loop and its models.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) at: SystemTime,
    pub(super) traffic: Traffic,
    pub(super) limits: Limits,
    pub(super) event_loop: LoopReport,
    /// If there is a budget.
    pub(super) memory: Option<MemoryReport>,
    /// If spans are made.
    pub(super) tracing: Option<TracingReport>,
    pub(super) statuses: Vec<ModelStatus>,
    /// Of every version of every model, those without a name included.
    pub(super) metrics: Vec<ModelMetrics>,
    /// What the catalog calls the versions of models.
    versions: HashMap<Name, Name>,
}

/// The bounds that [`Traffic`] keeps to.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) requests: usize,
    pub(super) body_bytes: usize,
}

impl Reading {
    /// Reads everything. Takes up to a tenth of a millisecond for each instance of a model: it is not for the event loop.
    pub(super) fn take(service: &Service) -> Self {
        let (engine, options) = (service.engine(), service.options());
        let mut metrics = engine.metrics().models;
        let statuses = engine.models();
        let known = |status: &ModelStatus| Some((status.name.clone(), service.version(&status.name)?));
        for model in &mut metrics {
            // A version that the engine has no name for has one in the catalog.
            model.version = model.version.take().or_else(|| service.version(&model.name));
        }
        Self {
            at: SystemTime::now(),
            traffic: service.traffic(),
            limits: Limits {
                connections: options.connections,
                requests: options.in_flight_requests,
                body_bytes: options.in_flight_bytes,
            },
            event_loop: service.loop_watch().report(),
            memory: engine.memory(),
            tracing: options.tracing.as_ref().map(|tracing| tracing.report()),
            versions: statuses.iter().filter_map(known).collect(),
            statuses,
            metrics,
        }
    }

    /// What a version is called in paths and answers; empty for the only one of a model that has no versions.
    pub(super) fn told<'a>(&'a self, model: &'a ModelStatus, version: &'a VersionStatus) -> &'a str {
        match (model.versions.len(), self.versions.get(&model.name)) {
            (1, known) => known.map_or("", |known| known),
            _ => &version.version,
        }
    }

    /// What the versions of a named model have done.
    pub(super) fn metrics_of(&self, name: &Name) -> impl Iterator<Item = &ModelMetrics> {
        self.metrics.iter().filter(move |model| model.name == *name)
    }
}
