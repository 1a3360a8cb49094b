//! [`Hold`]: somebody uses a model without asking it at this moment, and it must stay in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::memory::Memory;

/// How many use a model without asking it at this moment.
#[derive(Clone)]
pub(crate) struct Holds {
    count: Arc<AtomicUsize>,
    memory: Arc<Memory>,
}

impl Holds {
    pub(super) fn new(memory: &Arc<Memory>) -> Self {
        Self { count: Arc::default(), memory: Arc::clone(memory) }
    }

    pub(super) fn are_any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    pub(super) fn hold(&self) -> Hold {
        self.count.fetch_add(1, Ordering::SeqCst);
        Hold(self.clone())
    }
}

/// A stream, a lease or a session: as long as there is one, no version of its model is put out of memory.
pub(crate) struct Hold(Holds);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.memory.stir();
    }
}
