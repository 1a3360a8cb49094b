//! Who plays: the engine and its rivals, behind one call.

use std::future::{IntoFuture as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use unruffled_engine::{Engine, Handle, PoolOptions, QueueLimits};
use unruffled_model::{
    Batch, Batching, Footprint, LoadedModel, Model, ModelError, ModelInfo, RunContext, Serve,
};

use crate::cost::Device;
use crate::rivals::{Rival, Rule};

/// A way to serve the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Engine,
    /// With a queue as long as the engine's.
    Rival(Rule),
    /// With a queue of a batch and a half: set by somebody who knows the model and measured, so that first come, first
    /// served does not spend itself on those who are about to give up.
    ShortQueue(Rule),
}

impl Way {
    pub(crate) const ALL: [Way; 8] = [
        Way::Engine,
        Way::Rival(Rule::Single),
        Way::Rival(Rule::WhatIsThere),
        Way::Rival(Rule::Window(Duration::from_millis(1))),
        Way::Rival(Rule::Window(Duration::from_millis(5))),
        Way::Rival(Rule::Window(Duration::from_millis(20))),
        Way::Rival(Rule::WindowFromArrival(Duration::from_millis(5))),
        Way::ShortQueue(Rule::WhatIsThere),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Way::Engine => "engine".to_owned(),
            Way::Rival(rule) => rule.name(),
            Way::ShortQueue(rule) => format!("{}, short queue", rule.name()),
        }
    }

    /// Whether it is one of the fixed windows.
    pub(crate) fn is_window(self) -> bool {
        matches!(self, Way::Rival(Rule::Window(_) | Rule::WindowFromArrival(_)))
    }

    pub(crate) fn start(self, device: &Arc<Device>, queue_limit: usize) -> Contender {
        let device = Arc::clone(device);
        match self {
            Way::Engine => {
                let limits = QueueLimits { items: queue_limit, ..QueueLimits::default() };
                let options =
                    PoolOptions::default().with_max_batch(device.cost().max_batch).with_queue(limits);
                let engine = Engine::new();
                let model = engine.wrap_model(Waiting::new(device)).options(options).build();
                Contender::Engine(engine, model.expect("a thread starts"))
            }
            Way::Rival(rule) => Contender::Rival(Rival::start(rule, device, queue_limit)),
            Way::ShortQueue(rule) => {
                let max_batch = device.cost().max_batch;
                Contender::Rival(Rival::start(rule, device, queue_limit.min(max_batch + max_batch / 2)))
            }
        }
    }
}

/// A model that is being served.
pub(crate) enum Contender {
    /// The engine lives as long as its model is asked.
    Engine(#[allow(dead_code, reason = "it is kept")] Engine, Handle<u64, u64>),
    Rival(Rival),
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Refused at once: the caller could still have gone elsewhere.
    Refused,
    /// Taken in, and then not answered.
    Dropped,
}

impl Contender {
    /// Asks the model.
    pub(crate) async fn call(&self, input: u64, deadline: Instant) -> Result<u64, Miss> {
        match self {
            Contender::Engine(_, model) => {
                let mut answer = pin!(model.infer(input).deadline(deadline).into_future());
                // A refusal is there with the first look.
                match poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
                    Poll::Ready(Ok(response)) => Ok(response.output),
                    Poll::Ready(Err(_)) => Err(Miss::Refused),
                    Poll::Pending => answer.await.map(|response| response.output).map_err(|_| Miss::Dropped),
                }
            }
            Contender::Rival(rival) => match rival.call(input, deadline) {
                Some(answer) => answer.await.map_err(|_| Miss::Dropped),
                None => Err(Miss::Refused),
            },
        }
    }
}

/// The device as a model for the engine. A run cannot be stopped: whoever has given up, it goes to its end.
struct Waiting {
    device: Arc<Device>,
    info: ModelInfo,
    footprint: Footprint,
}

impl Waiting {
    fn new(device: Arc<Device>) -> Self {
        let (info, footprint) = described();
        Self { device, info, footprint }
    }
}

/// What the engine is told: rows are joined, every request is one row and weighs little.
fn described() -> (ModelInfo, Footprint) {
    let info = ModelInfo::new("goodput", "bench").with_batching(Batching::Joint).with_threads(0);
    (info, Footprint::single(size_of::<u64>()))
}

impl LoadedModel for Waiting {
    type Input = u64;
    type Output = u64;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, _: &u64) -> Result<Footprint, ModelError> {
        Ok(self.footprint)
    }

    fn with_instance(&self, serve: &mut Serve<'_, u64, u64>) -> Result<(), ModelError> {
        serve(&mut Instance(&self.device));
        Ok(())
    }
}

struct Instance<'a>(&'a Device);

impl Model for Instance<'_> {
    type Input = u64;
    type Output = u64;

    fn run(&mut self, batch: &mut Batch<u64, u64>, _: &RunContext<'_>) -> Result<(), ModelError> {
        self.0.run(batch.len());
        for row in batch.rows_mut() {
            if let Some(input) = row.take_input() {
                row.finish(Ok(input));
            }
        }
        Ok(())
    }
}
