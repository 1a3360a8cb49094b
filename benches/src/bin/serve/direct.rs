//! The same models in this process: what there is to keep.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Runtime;
use unruffled::{Backends, Engine, ModelFolder, TensorHandle};
use unruffled_model::Tensors;

use crate::load::{Counter, Seen};

pub(crate) struct Direct {
    runtime: Runtime,
    handle: TensorHandle,
    _engine: Engine,
}

impl Direct {
    pub(crate) fn load(backends: &Backends, folder: &Path) -> Result<Self> {
        let runtime = benches::runtime();
        let engine = Engine::new();
        let folder = ModelFolder::open(folder)?;
        let handle = runtime.block_on(async { anyhow::Ok(backends.load(&engine, &folder)?.await?) })?;
        Ok(Self { runtime, handle, _engine: engine })
    }

    pub(crate) fn backend(&self) -> String {
        self.handle.info().backend.to_string()
    }

    pub(crate) fn run(
        &self,
        inputs: &Tensors,
        callers: usize,
        warm_up: Duration,
        length: Duration,
    ) -> Result<Seen> {
        let counter = Arc::new(Mutex::new(Counter::new(warm_up, length)));
        self.runtime.block_on(async {
            let call = |_| {
                let (handle, inputs, counter) = (self.handle.clone(), inputs.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    loop {
                        let asked = Instant::now();
                        handle.infer(inputs.clone()).await?;
                        if !counter.lock().expect("nobody panicked").answered(asked) {
                            return anyhow::Ok(());
                        }
                    }
                })
            };
            let all: Vec<_> = (0..callers).map(call).collect();
            for caller in all {
                caller.await??;
            }
            anyhow::Ok(())
        })?;
        let counter = Arc::into_inner(counter).expect("all have ended");
        Ok(counter.into_inner().expect("nobody panicked").seen())
    }
}
