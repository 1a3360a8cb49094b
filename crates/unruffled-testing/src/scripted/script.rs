//! [`Script`]: what a scripted model shall do next, and what it has seen.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use unruffled_model::{ModelError, RequestId};

/// A test's handle on a [`ScriptedModel`](super::ScriptedModel); clones are the same script.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    panics: usize,
    failures: VecDeque<ModelError>,
    instance_failures: usize,
    alive: usize,
    built: usize,
    batches: Vec<SeenBatch>,
}

/// One run, as the model saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBatch {
    /// The requests, in the order of the rows.
    pub requests: Vec<RequestId>,
    /// How many rows there were.
    pub rows: usize,
    /// Whether the run has come to its end, well or badly.
    pub ended: bool,
    /// Whether the run had been told by then that nobody waits for it.
    pub cancelled: bool,
}

impl Script {
    /// Has the next `runs` runs panic.
    pub fn panic_next(&self, runs: usize) {
        self.0.lock().panics += runs;
    }

    /// Has the next run fail with `error`; several calls line up.
    pub fn fail_next(&self, error: ModelError) {
        self.0.lock().failures.push_back(error);
    }

    /// Has the next `times` attempts to build an instance fail.
    pub fn fail_instances(&self, times: usize) {
        self.0.lock().instance_failures += times;
    }

    /// The runs so far, in the order in which they began.
    pub fn batches(&self) -> Vec<SeenBatch> {
        self.0.lock().batches.clone()
    }

    /// How many rows each run so far had.
    pub fn batch_sizes(&self) -> Vec<usize> {
        self.0.lock().batches.iter().map(|batch| batch.rows).collect()
    }

    /// How many instances there are now.
    pub fn instances(&self) -> usize {
        self.0.lock().alive
    }

    /// How many instances have been built so far, those that are gone included.
    pub fn instances_built(&self) -> usize {
        self.0.lock().built
    }

    /// Builds an instance, or fails as told; it counts until the guard is dropped.
    pub(super) fn build(&self) -> Result<Alive, ModelError> {
        let mut state = self.0.lock();
        if state.instance_failures > 0 {
            state.instance_failures -= 1;
            return Err(ModelError::failed("the script fails this instance"));
        }
        state.alive += 1;
        state.built += 1;
        Ok(Alive(self.clone()))
    }

    /// Notes that a run begins, and gives its number.
    pub(super) fn begin(&self, requests: Vec<RequestId>, rows: usize) -> usize {
        let mut state = self.0.lock();
        state.batches.push(SeenBatch { requests, rows, ended: false, cancelled: false });
        state.batches.len() - 1
    }

    /// Notes that a run has ended.
    pub(super) fn end(&self, run: usize, cancelled: bool) {
        let batch = &mut self.0.lock().batches[run];
        (batch.ended, batch.cancelled) = (true, cancelled);
    }

    /// Does what is due in a run: panics, fails, or nothing.
    pub(super) fn act(&self) -> Result<(), ModelError> {
        let mut state = self.0.lock();
        if state.panics > 0 {
            state.panics -= 1;
            drop(state);
            panic!("the script panics in this run");
        }
        state.failures.pop_front().map_or(Ok(()), Err)
    }
}

/// An instance that is alive.
pub(super) struct Alive(Script);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.lock().alive -= 1;
    }
}
