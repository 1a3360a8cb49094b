//! [`Roster`]: every pool that an engine has started, named or not, so that monitoring and shutting down reach it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;
use unruffled_model::{Name, RequestId};

use crate::error::Error;
use crate::metrics::{Meter, ModelMetrics};
use crate::pool::Pool;
use crate::recorder::Explanation;

/// A pool of any types, as far as the engine as a whole deals with it.
pub(crate) trait Member: Send + Sync {
    fn name(&self) -> &Name;
    fn metrics(&self) -> ModelMetrics;
    /// Where it counts: pools of one version share it.
    fn meter(&self) -> *const Meter;
    fn explain(&self, id: &RequestId) -> Option<Explanation>;
    fn drain(&self, error: Error);
    fn close(&self, error: Error);
    fn threads(&self) -> watch::Receiver<usize>;
}

impl<I: Send + 'static, O: Send + 'static> Member for Pool<I, O> {
    fn name(&self) -> &Name {
        self.name()
    }

    fn metrics(&self) -> ModelMetrics {
        self.metrics()
    }

    fn meter(&self) -> *const Meter {
        Arc::as_ptr(&self.past().meter)
    }

    fn explain(&self, id: &RequestId) -> Option<Explanation> {
        self.explain(id)
    }

    fn drain(&self, error: Error) {
        self.drain(error);
    }

    fn close(&self, error: Error) {
        self.close(error);
    }

    fn threads(&self) -> watch::Receiver<usize> {
        self.threads()
    }
}

/// The pools that there are, held weakly.
#[derive(Default)]
pub(crate) struct Roster(Mutex<Started>);

#[derive(Default)]
struct Started {
    pools: Vec<Weak<dyn Member>>,
    closed: Option<Error>,
}

impl Roster {
    /// Remembers a pool that is being started.
    pub(crate) fn started(&self, pool: Weak<dyn Member>) -> Result<(), Error> {
        let mut started = self.0.lock();
        if let Some(error) = &started.closed {
            return Err(error.clone());
        }
        started.pools.retain(|known| known.strong_count() > 0);
        started.pools.push(pool);
        Ok(())
    }

    /// Every pool that runs.
    pub(crate) fn running(&self) -> Vec<Arc<dyn Member>> {
        self.0.lock().pools.iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes none in any more, and gives all that there are.
    pub(crate) fn close(&self, error: Error) -> Vec<Arc<dyn Member>> {
        let mut started = self.0.lock();
        started.closed = Some(error);
        started.pools.iter().filter_map(Weak::upgrade).collect()
    }
}
