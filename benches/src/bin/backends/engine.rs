//! A backend behind the engine: callers that each await one row after another, on a runtime.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use benches::{histogram, quantile, record, runtime};
use tokio::runtime::Runtime;
use unruffled_engine::{Engine, Handle, PoolOptions};
use unruffled_model::{TensorModel, Tensors};

use crate::subject::row;
use crate::way::{Round, Way};

/// The engine, and the runtime of its callers.
pub(crate) struct Engines {
    engine: Engine,
    runtime: Arc<Runtime>,
    loaded: Cell<usize>,
}

impl Engines {
    pub(crate) fn new() -> Self {
        Self { engine: Engine::new(), runtime: Arc::new(runtime()), loaded: Cell::new(0) }
    }

    /// Puts a model behind the engine, on one instance that takes batches of so many rows.
    pub(crate) fn load(
        &self,
        model: TensorModel,
        inputs: &Tensors,
        rows: usize,
        callers: usize,
    ) -> Result<Awaited> {
        let number = self.loaded.replace(self.loaded.get() + 1);
        let options = PoolOptions::default().with_max_batch(rows);
        let name = format!("model {number}");
        let handle =
            self.runtime.block_on(async { self.engine.load_with(name, options, |_| Ok(model))?.await })?;
        let inputs = (0..callers).map(|caller| row(inputs, rows, caller)).collect();
        Ok(Awaited { handle, runtime: Arc::clone(&self.runtime), inputs })
    }
}

/// A model behind the engine, and a row for each caller.
pub(crate) struct Awaited {
    handle: Handle<Tensors, Tensors>,
    runtime: Arc<Runtime>,
    inputs: Vec<Tensors>,
}

impl Way for Awaited {
    fn round(&mut self, length: Duration) -> Result<Round> {
        self.runtime.block_on(async {
            let begin = Instant::now();
            let callers: Vec<_> = self
                .inputs
                .iter()
                .map(|inputs| tokio::spawn(call_until(self.handle.clone(), inputs.clone(), begin + length)))
                .collect();
            let mut times = histogram();
            for caller in callers {
                times.add(caller.await??)?;
            }
            let rows_per_second = times.len() as f64 / begin.elapsed().as_secs_f64();
            Ok(Round { rows_per_second, p50: quantile(&times, 0.5) })
        })
    }
}

async fn call_until(
    handle: Handle<Tensors, Tensors>,
    inputs: Tensors,
    end: Instant,
) -> Result<hdrhistogram::Histogram<u64>> {
    let mut times = histogram();
    while times.is_empty() || Instant::now() < end {
        let called = Instant::now();
        handle.infer(inputs.clone()).await?;
        record(&mut times, called.elapsed());
    }
    Ok(times)
}
