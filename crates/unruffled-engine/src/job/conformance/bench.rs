//! [`Bench`]: a queue on a virtual clock, with short words for what tests do to it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unruffled_model::Priority;

use super::{MakeStore, Store};
use crate::error::Error;
use crate::job::drive::drive;
use crate::job::{
    CancelAnswer, Claim, ClaimCall, ClaimKey, Claimed, JobEvents, JobFilter, JobId, JobKey, JobLimits,
    JobOutcome, JobQueue, JobState, JobStatus, JobTerms, NewJob, Payload, Release, Stored, Submitted, Want,
};

/// The models that there are.
pub(super) const MODELS: [&str; 2] = ["m", "n"];

pub(super) struct Bench {
    pub(super) store: Box<dyn Store>,
    pub(super) now: SystemTime,
    next: u128,
}

impl Bench {
    pub(super) fn new(make: &mut MakeStore<'_>, limits: JobLimits) -> Self {
        Self { store: make(limits), now: UNIX_EPOCH + Duration::from_secs(1_800_000_000), next: 1 }
    }

    pub(super) fn queue(&self) -> Arc<dyn JobQueue> {
        self.store.queue()
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The terms of a job for the first model, and a name that sorts after the names before it.
    pub(super) fn job(&mut self, input: &str) -> NewJob {
        self.next += 1;
        NewJob { id: JobId::from(self.next), terms: JobTerms::new(MODELS[0]), input: text(input) }
    }

    pub(super) fn keyed(&mut self, key: &str, input: &str) -> NewJob {
        let mut job = self.job(input);
        job.terms.key = Some(JobKey::new(key, MODELS[0], &job.input));
        job
    }

    pub(super) fn urgent(&mut self, priority: Priority) -> NewJob {
        let mut job = self.job("x");
        job.terms.priority = priority;
        job
    }

    pub(super) fn submit(&self, job: NewJob) -> Result<Submitted, Error> {
        drive(self.queue().submit(self.now, job))
    }

    /// Submits what must be accepted as new.
    #[track_caller]
    pub(super) fn accept(&self, job: NewJob) -> JobId {
        let id = job.id;
        assert_eq!(self.submit(job).map_err(|error| error.to_string()), Ok(Submitted::New));
        id
    }

    pub(super) fn call(&self, runner: &str, held: &[ClaimKey], wants: &[(&str, usize)]) -> Claimed {
        let want = |(model, jobs): &(&str, usize)| Want { model: (*model).into(), jobs: *jobs };
        let call =
            ClaimCall { runner: runner.into(), held: held.to_vec(), wants: wants.iter().map(want).collect() };
        drive(self.queue().claim(self.now, call)).expect("the queue is whole")
    }

    /// What a runner without anything gets of the first model.
    pub(super) fn claim(&self, jobs: usize) -> Vec<Claim> {
        self.call("r", &[], &[(MODELS[0], jobs)]).claims
    }

    /// The one that is next.
    #[track_caller]
    pub(super) fn claim_one(&self) -> Claim {
        self.claim(1).pop().expect("a job can be claimed")
    }

    pub(super) fn complete(&self, key: ClaimKey, outcome: JobOutcome) -> Stored {
        drive(self.queue().complete(self.now, key, outcome)).expect("the queue is whole")
    }

    pub(super) fn finish(&self, key: ClaimKey, result: &str) -> Stored {
        self.complete(key, JobOutcome::Done(text(result)))
    }

    pub(super) fn release(&self, key: ClaimKey, release: Release) {
        drive(self.queue().release(self.now, key, release)).expect("the queue is whole");
    }

    pub(super) fn cancel(&self, id: JobId) -> CancelAnswer {
        drive(self.queue().cancel(self.now, id)).expect("the queue is whole")
    }

    pub(super) fn requeue(&self, id: JobId) -> Result<(), Error> {
        drive(self.queue().requeue(self.now, id))
    }

    pub(super) fn forget(&self, id: JobId) -> Result<(), Error> {
        drive(self.queue().forget(self.now, id))
    }

    pub(super) fn sweep(&self) {
        drive(self.queue().sweep(self.now)).expect("the queue is whole");
    }

    pub(super) fn status(&self, id: JobId) -> Option<JobStatus> {
        drive(self.queue().status(id)).expect("the queue is whole")
    }

    #[track_caller]
    pub(super) fn state(&self, id: JobId) -> JobState {
        self.status(id).expect("the job is known").state
    }

    pub(super) fn list(&self, filter: JobFilter) -> Vec<JobStatus> {
        drive(self.queue().list(filter)).expect("the queue is whole")
    }

    pub(super) fn outcome(&self, id: JobId) -> Option<JobOutcome> {
        drive(self.queue().outcome(id)).expect("the queue is whole")
    }

    pub(super) fn input(&self, id: JobId) -> Option<Payload> {
        drive(self.queue().input(id)).expect("the queue is whole")
    }

    pub(super) fn watch(&self, id: JobId) -> Option<JobEvents> {
        drive(self.queue().watch(id)).expect("the queue is whole")
    }
}

/// A payload of text.
pub(super) fn text(text: &str) -> Payload {
    Payload::new("text/plain", text.to_owned())
}

/// The next state, if one is there now.
pub(super) fn seen(events: &mut JobEvents) -> Poll<Option<JobState>> {
    let polled = events.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
    polled.map(|status| status.map(|status| status.state))
}
