//! What can be set about how a model is run.

use std::time::Duration;

use crate::queue::QueueLimits;
use crate::thread::ThreadPriority;

/// Whether a running bulk batch is stopped when something interactive has nowhere to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// It runs to its end.
    Never,
    /// It is stopped, if the model can be stopped and its rows may be run again; they go back to the queue and lose nothing
    /// but the time. Three times at most for each request.
    Bulk,
}

/// Whether a model may run on the thread of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inline {
    /// Always on an instance's thread.
    Never,
    /// On the caller's thread, if the model needs no instance ([`LoadedModel::stateless`](unruffled_model::LoadedModel::stateless)),
    /// each of its recent runs took less than 20 microseconds, and one of its instances is idle: a hand-over between
    /// threads would take longer. Only for functions that never wait for anything: on the thread of an event loop, one that
    /// waits for that loop waits for ever.
    WhenCheap,
}

/// How much is remembered of what a model has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct CacheOptions {
    pub(crate) bytes: usize,
    pub(crate) ttl: Option<Duration>,
    pub(crate) input_bytes_max: usize,
}

impl Default for CacheOptions {
    /// 64 MiB, as long as there is room, of inputs up to 64 KiB.
    fn default() -> Self {
        Self { bytes: 64 << 20, ttl: None, input_bytes_max: 64 << 10 }
    }
}

impl CacheOptions {
    /// How many bytes all that is remembered may take: inputs, outputs, and what it takes to find them. The answer that was
    /// not used for longest goes first.
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How long an answer is good for; without this, as long as there is room for it.
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How many bytes an input may have to be looked up. That is done on the caller's thread, which reads all of it and, of
    /// tensors, copies it; larger inputs are run each time.
    pub fn with_input_bytes_max(mut self, bytes: usize) -> Self {
        self.input_bytes_max = bytes;
        self
    }
}

/// How a model is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PoolOptions {
    pub(crate) instances: usize,
    pub(crate) max_batch: usize,
    pub(crate) queue: QueueLimits,
    pub(crate) spin: Duration,
    pub(crate) preemption: Preemption,
    pub(crate) inline: Inline,
    pub(crate) thread_priority: Option<ThreadPriority>,
    pub(crate) cache: Option<CacheOptions>,
}

impl Default for PoolOptions {
    /// One instance, batches of up to 32 rows, the default [`QueueLimits`], 20 microseconds of looking for work; bulk gives
    /// way, nothing runs inline, and threads are as the engine says.
    fn default() -> Self {
        Self {
            instances: 1,
            max_batch: 32,
            queue: QueueLimits::default(),
            spin: Duration::from_micros(20),
            preemption: Preemption::Bulk,
            inline: Inline::Never,
            thread_priority: None,
            cache: None,
        }
    }
}

impl PoolOptions {
    /// How many copies of the model run side by side, each on a thread of its own; at least 1.
    pub fn with_instances(mut self, instances: usize) -> Self {
        self.instances = instances.max(1);
        self
    }

    /// How many rows one run may have, for models that gain from joint batches; at least 1. A single request with more
    /// rows runs alone.
    pub fn with_max_batch(mut self, rows: usize) -> Self {
        self.max_batch = rows.max(1);
        self
    }

    /// How long an instance looks for more work after a run before it sleeps: callers that ask again at once are spared
    /// two thread wake-ups. Zero saves the most power. A machine with one core never looks.
    pub fn with_spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// How much may wait: one request at least.
    pub fn with_queue(mut self, limits: QueueLimits) -> Self {
        self.queue = QueueLimits { items: limits.items.max(1), ..limits };
        self
    }

    /// Whether bulk work is stopped for interactive work.
    pub fn with_preemption(mut self, preemption: Preemption) -> Self {
        self.preemption = preemption;
        self
    }

    /// Whether very cheap models run on the caller's thread.
    pub fn with_inline(mut self, inline: Inline) -> Self {
        self.inline = inline;
        self
    }

    /// How instance threads stand beside the application's own; unless set, as the engine's options say.
    pub fn with_thread_priority(mut self, priority: ThreadPriority) -> Self {
        self.thread_priority = Some(priority);
        self
    }

    /// Remembers answers, and gives them again to equal inputs; equal requests that wait or run become one. Off unless said.
    ///
    /// For models that give equal answers to equal inputs, and whose inputs can be told apart: those from tensors to
    /// tensors, and others that say how ([`LoadedModel::memo`](unruffled_model::LoadedModel::memo)). Such a model does not
    /// run inline.
    pub fn with_cache(mut self, cache: CacheOptions) -> Self {
        self.cache = Some(cache);
        self
    }

    /// How many copies run side by side.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// How many rows one run may have.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// How much may wait.
    pub fn queue(&self) -> QueueLimits {
        self.queue
    }
}
