//! What the models of an engine share: its clock, its cores, its memory.

use std::sync::Arc;
use std::time::Duration;

use crate::arbiter::Arbiter;
use crate::memory::{Memory, MemoryBudget};
use crate::thread::ThreadPriority;
use crate::timer::Timer;

/// How an engine uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct EngineOptions {
    pub(crate) cores: usize,
    pub(crate) ageing: Duration,
    pub(crate) recorded: usize,
    pub(crate) thread_priority: ThreadPriority,
    pub(crate) memory: Option<MemoryBudget>,
}

impl Default for EngineOptions {
    /// Every core of the machine, a second of ageing, the last 1,024 requests of each model recorded, threads that give way
    /// once their runs have shown that they are not cheap, and memory without a bound.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores,
            ageing: Duration::from_secs(1),
            recorded: 1024,
            thread_priority: ThreadPriority::Adaptive,
            memory: None,
        }
    }
}

impl EngineOptions {
    /// How many cores the models may keep busy together; at least 1. A model that says it uses no core
    /// ([`ModelInfo::threads`](unruffled_model::ModelInfo::threads) is 0) is not counted.
    pub fn with_cores(mut self, cores: usize) -> Self {
        self.cores = cores.max(1);
        self
    }

    /// How long a class of requests, or a model, may be passed over by more urgent ones before it goes first, once.
    pub fn with_ageing(mut self, ageing: Duration) -> Self {
        self.ageing = ageing;
        self
    }

    /// How the threads of models stand beside the application's own, where the model's own options do not say.
    pub fn with_thread_priority(mut self, priority: ThreadPriority) -> Self {
        self.thread_priority = priority;
        self
    }

    /// How many requests of each model the flight recorder remembers; 0 switches it off.
    pub fn with_recorded(mut self, requests: usize) -> Self {
        self.recorded = requests;
        self
    }

    /// How much memory the models may take together. A model that finds no room is loaded once others have made some:
    /// those that nobody uses, and that can be loaded again, are put out of memory, the least recently asked first.
    pub fn with_memory(mut self, budget: MemoryBudget) -> Self {
        self.memory = Some(budget);
        self
    }
}

/// The clock, the cores and the memory.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) timer: Timer,
    pub(crate) arbiter: Arc<Arbiter>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) options: EngineOptions,
}

impl Environment {
    pub(crate) fn new(timer: Timer, options: EngineOptions) -> Self {
        let arbiter = Arbiter::new(timer.clone(), options.cores, options.ageing);
        let memory = Memory::new(options.memory);
        Self { timer, arbiter, memory, options }
    }
}
