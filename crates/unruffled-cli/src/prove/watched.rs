//! [`Watched`]: a model of any kind whose runs are seen from outside.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use unruffled::engine::{Engine, Error, Handle, PoolOptions};
use unruffled::model::{
    Batch, Footprint, LoadedModel, Model, ModelError, ModelInfo, RunContext, Serve, SharedModel,
};

use super::models::Gauge;

/// Another model, with an instrument at its door: when each run begins, and how many go on at once.
pub(super) struct Watched<I, O> {
    inner: SharedModel<I, O>,
    begun: mpsc::UnboundedSender<Instant>,
    gauge: Arc<Gauge>,
}

/// What the instrument shows.
pub(super) struct Door {
    /// When each run has begun. As many wait here as nobody has looked at, one a run of the proof.
    pub(super) begun: mpsc::UnboundedReceiver<Instant>,
    pub(super) gauge: Arc<Gauge>,
}

impl<I: Send + 'static, O: Send + 'static> Watched<I, O> {
    /// Puts a model behind an engine, watched.
    pub(super) fn build(
        engine: &Engine,
        name: &'static str,
        options: PoolOptions,
        inner: SharedModel<I, O>,
    ) -> Result<(Handle<I, O>, Door), Error> {
        let (tell, begun) = mpsc::unbounded_channel();
        let gauge = Arc::new(Gauge::default());
        let watched = Self { inner, begun: tell, gauge: Arc::clone(&gauge) };
        let handle = engine.wrap_model(watched).options(options).name(name).build()?;
        Ok((handle, Door { begun, gauge }))
    }
}

impl<I: Send + 'static, O: Send + 'static> LoadedModel for Watched<I, O> {
    type Input = I;
    type Output = O;

    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    fn admit(&self, input: &I) -> Result<Footprint, ModelError> {
        self.inner.admit(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, I, O>) -> Result<(), ModelError> {
        self.inner.with_instance(&mut |inner| serve(&mut WatchedInstance { inner, watched: self }))
    }
}

struct WatchedInstance<'a, I, O> {
    inner: &'a mut dyn Model<Input = I, Output = O>,
    watched: &'a Watched<I, O>,
}

impl<I, O> Model for WatchedInstance<'_, I, O> {
    type Input = I;
    type Output = O;

    fn run(&mut self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        let _counted = self.watched.gauge.enter();
        // Nobody listens once the proof has its figures.
        let _ = self.watched.begun.send(Instant::now());
        self.inner.run(batch, ctx)
    }
}
