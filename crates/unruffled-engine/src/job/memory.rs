//! [`MemoryJobs`]: a queue of jobs that lives as long as the process.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::board::JobBoard;
use super::id::JobId;
use super::limits::JobLimits;
use super::payload::Payload;
use super::queue::{
    CancelAnswer, Claim, ClaimCall, ClaimKey, Claimed, JobEvents, JobFilter, JobQueue, QueueFuture, Release,
    Stored, Submitted,
};
use super::status::{JobOutcome, JobProgress, JobState, JobStatus};
use super::table::{Ending, JobChange, JobTable};
use super::terms::NewJob;
use crate::error::Error;

/// A queue of jobs in memory: what waits is lost with the process. Takes microseconds for everything.
#[derive(Debug)]
pub struct MemoryJobs {
    limits: JobLimits,
    kept: Mutex<Kept>,
    board: JobBoard,
}

#[derive(Debug)]
struct Kept {
    table: JobTable,
    inputs: HashMap<JobId, Payload>,
    results: HashMap<JobId, Payload>,
}

impl Default for MemoryJobs {
    fn default() -> Self {
        Self::new(JobLimits::default())
    }
}

impl MemoryJobs {
    /// A queue without jobs.
    pub fn new(limits: JobLimits) -> Self {
        let table = JobTable::new(limits.clone());
        let kept = Kept { table, inputs: HashMap::new(), results: HashMap::new() };
        Self { limits, kept: Mutex::new(kept), board: JobBoard::default() }
    }

    /// Decides, and then does what follows: payloads that are not needed any more go, and whoever watches is told.
    fn decide<T>(&self, decide: impl FnOnce(&mut Kept) -> T) -> T {
        let (decided, posted, dropped) = {
            let mut kept = self.kept.lock();
            let decided = decide(&mut kept);
            let changes = kept.table.take_changes();
            let mut dropped = Vec::new();
            for change in changes.iter() {
                let (JobChange::Put(id) | JobChange::Gone(id)) = change;
                let record = kept.table.get(id);
                let (input, result) = record
                    .map_or((false, false), |record| (record.needs_input(), record.state == JobState::Done));
                if !input {
                    dropped.extend(kept.inputs.remove(&id));
                }
                if !result {
                    dropped.extend(kept.results.remove(&id));
                }
            }
            (decided, self.board.post(&kept.table, &changes), dropped)
        };
        // Without the lock: bytes may have an owner whose end is not ours, and wakers are the callers'.
        drop(dropped);
        posted.announce(&self.board);
        decided
    }
}

/// What is known at once.
fn at_once<'a, T: Send + 'a>(answer: Result<T, Error>) -> QueueFuture<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl JobQueue for MemoryJobs {
    fn limits(&self) -> &JobLimits {
        &self.limits
    }

    fn submit(&self, now: SystemTime, job: NewJob) -> QueueFuture<'_, Submitted> {
        at_once(self.decide(|kept| {
            let submitted = kept.table.submit(now, &job)?;
            if submitted == Submitted::New {
                kept.inputs.insert(job.id, job.input);
            }
            Ok(submitted)
        }))
    }

    fn claim(&self, now: SystemTime, call: ClaimCall) -> QueueFuture<'_, Claimed> {
        at_once(Ok(self.decide(|kept| {
            let granted = kept.table.claim(now, &call);
            let claim = |key: ClaimKey| {
                let record = kept.table.get(key.id)?;
                let input = kept.inputs.get(&key.id)?.clone();
                Some(Claim {
                    key,
                    terms: record.terms.clone(),
                    input,
                    attempt: record.attempts,
                    returned: record.returned,
                })
            };
            let claims = granted.keys.iter().filter_map(|key| claim(*key)).collect();
            Claimed { claims, withdrawn: granted.withdrawn, next: granted.next }
        })))
    }

    fn complete(&self, now: SystemTime, claim: ClaimKey, outcome: JobOutcome) -> QueueFuture<'_, Stored> {
        at_once(Ok(self.decide(|kept| {
            let (ending, result) = match outcome {
                JobOutcome::Done(result) => (Ending::Done(result.info()), Some(result)),
                JobOutcome::Failed(failure) => (Ending::Failed(failure), None),
                JobOutcome::Cancelled => (Ending::Cancelled, None),
            };
            let stored = kept.table.complete(now, claim, ending);
            if stored == Stored::First
                && let Some(result) = result
            {
                kept.results.insert(claim.id, result);
            }
            stored
        })))
    }

    fn release(&self, now: SystemTime, claim: ClaimKey, release: Release) -> QueueFuture<'_, ()> {
        at_once(self.decide(|kept| {
            kept.table.release(now, claim, release);
            Ok(())
        }))
    }

    fn progress(&self, claim: ClaimKey, progress: JobProgress) {
        self.board.progress(claim.id, progress);
    }

    fn cancel(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, CancelAnswer> {
        at_once(Ok(self.decide(|kept| kept.table.cancel(now, id))))
    }

    fn requeue(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()> {
        at_once(self.decide(|kept| kept.table.requeue(now, id)))
    }

    fn forget(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()> {
        at_once(self.decide(|kept| kept.table.forget(now, id)))
    }

    fn sweep(&self, now: SystemTime) -> QueueFuture<'_, ()> {
        at_once(self.decide(|kept| {
            kept.table.advance(now);
            Ok(())
        }))
    }

    fn status(&self, id: JobId) -> QueueFuture<'_, Option<JobStatus>> {
        at_once(Ok(self.board.status(id)))
    }

    fn list(&self, filter: JobFilter) -> QueueFuture<'_, Vec<JobStatus>> {
        at_once(Ok(self.board.list(&filter)))
    }

    fn outcome(&self, id: JobId) -> QueueFuture<'_, Option<JobOutcome>> {
        let kept = self.kept.lock();
        let outcome = kept.table.get(id).and_then(|record| match record.state {
            JobState::Queued | JobState::Running => None,
            JobState::Done => kept.results.get(&id).cloned().map(JobOutcome::Done),
            JobState::Failed => record.failure.clone().map(JobOutcome::Failed),
            JobState::Cancelled => Some(JobOutcome::Cancelled),
        });
        drop(kept);
        at_once(Ok(outcome))
    }

    fn input(&self, id: JobId) -> QueueFuture<'_, Option<Payload>> {
        let input = self.kept.lock().inputs.get(&id).cloned();
        at_once(Ok(input))
    }

    fn watch(&self, id: JobId) -> QueueFuture<'_, Option<JobEvents>> {
        at_once(Ok(self.board.watch(id)))
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.board.changed()
    }
}
