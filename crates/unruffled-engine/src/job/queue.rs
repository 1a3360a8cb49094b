//! [`JobQueue`]: where jobs wait, whatever keeps them.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use unruffled_model::Name;

use super::id::JobId;
use super::limits::JobLimits;
use super::payload::Payload;
use super::status::{JobFailure, JobOutcome, JobProgress, JobState, JobStatus};
use super::terms::{JobTerms, NewJob};
use crate::error::Error;

/// What a queue answers in its own time.
pub type QueueFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A job's states as they come; see [`JobQueue::watch`].
pub type JobEvents = Pin<Box<dyn Stream<Item = JobStatus> + Send>>;

/// Where jobs wait, and where what became of them is kept: in memory, on disk, or in a service.
///
/// It carries bytes and knows no models. Whoever takes jobs out runs them at least once; what comes of it is stored once. The
/// time is passed in, so that a queue needs no clock; the futures need no runtime.
///
/// # Cancel safety
///
/// Dropping one of the futures gives up the answer; what was asked may happen nevertheless. A job that may have been
/// submitted is submitted again with the same [key](JobTerms::key).
pub trait JobQueue: Send + Sync {
    /// How much it takes and keeps.
    fn limits(&self) -> &JobLimits;

    /// Takes a job in. The answer means that it is accepted: on disk, if the queue is on disk.
    ///
    /// # Errors
    ///
    /// `Overloaded` if the queue is full. `InvalidInput` if the input is too large, or the key was used for another input.
    fn submit(&self, now: SystemTime, job: NewJob) -> QueueFuture<'_, Submitted>;

    /// Gives a runner what it may run now, and hears of it that it still runs what it holds.
    ///
    /// Of each model the most urgent go first. A runner that does not call for [`JobLimits::hold`] loses what it holds.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be written.
    fn claim(&self, now: SystemTime, call: ClaimCall) -> QueueFuture<'_, Claimed>;

    /// Says how a job ended. The first answer counts.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be written: nothing has been stored, try again.
    fn complete(&self, now: SystemTime, claim: ClaimKey, outcome: JobOutcome) -> QueueFuture<'_, Stored>;

    /// Gives a job back that has not ended. Does nothing if the runner has lost it.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be written.
    fn release(&self, now: SystemTime, claim: ClaimKey, release: Release) -> QueueFuture<'_, ()>;

    /// Says how far a job is. Never waits, and is kept nowhere but in its status.
    fn progress(&self, claim: ClaimKey, progress: JobProgress);

    /// Asks for the end of a job.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be written.
    fn cancel(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, CancelAnswer>;

    /// Queues a dead letter again, with all its attempts, and without its deadline if that has passed.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` if it has not failed; `Overloaded` if the queue is full.
    fn requeue(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()>;

    /// Keeps nothing more of a job that has ended.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` if it has not ended.
    fn forget(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()>;

    /// Does what is due: ends what is past its deadline, takes back what a silent runner holds, drops what was kept long
    /// enough. Whoever [claims](Self::claim) need not ask for it.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be written.
    fn sweep(&self, now: SystemTime) -> QueueFuture<'_, ()>;

    /// How a job is doing; `None` if nothing is known of it, any more or at all.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be read.
    fn status(&self, id: JobId) -> QueueFuture<'_, Option<JobStatus>>;

    /// How jobs are doing, in the order in which they came.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be read.
    fn list(&self, filter: JobFilter) -> QueueFuture<'_, Vec<JobStatus>>;

    /// How a job ended; `None` if it has not, or nothing is known of it.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be read.
    fn outcome(&self, id: JobId) -> QueueFuture<'_, Option<JobOutcome>>;

    /// What went into a job that is still to be run or that has failed; `None` if it is not kept.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be read.
    fn input(&self, id: JobId) -> QueueFuture<'_, Option<Payload>>;

    /// The state of a job, and then each newer one. States may be skipped, the last one never: after it, the stream ends. It
    /// also ends if the job is forgotten. `None` if nothing is known of the job.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be read.
    fn watch(&self, id: JobId) -> QueueFuture<'_, Option<JobEvents>>;

    /// Completes when, since this was called, there may be something more to claim, or something that a runner holds is
    /// wanted no more.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What became of a job that was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is accepted.
    New,
    /// The same job had been submitted before, and has this name.
    Known(JobId),
}

/// A call of a runner.
#[derive(Clone, Debug)]
pub struct ClaimCall {
    /// Which runner: a name of its own.
    pub runner: Name,
    /// What it runs.
    pub held: Vec<ClaimKey>,
    /// What it has room for: no model twice.
    pub wants: Vec<Want>,
}

/// How many jobs of a model a runner has room for.
#[derive(Clone, Debug)]
pub struct Want {
    /// The model.
    pub model: Name,
    /// How many.
    pub jobs: usize,
}

/// What a runner hears.
#[derive(Debug, Default)]
pub struct Claimed {
    /// What it is to run: it holds them now.
    pub claims: Vec<Claim>,
    /// Of what it holds: what is to be stopped.
    pub withdrawn: Vec<ClaimKey>,
    /// When it should call again, whatever happens.
    pub next: Option<SystemTime>,
}

/// A job in the hands of a runner.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which job, and which of its attempts.
    pub key: ClaimKey,
    /// What was said of it.
    pub terms: JobTerms,
    /// What goes in.
    pub input: Payload,
    /// Which attempt this is, counted from 1.
    pub attempt: u32,
    /// How often it was handed out before without an end, for whatever reason.
    pub returned: u32,
}

/// Names one handing-out of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    /// The job.
    pub id: JobId,
    /// Different for each time that it is handed out.
    pub token: u64,
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It counts.
    First,
    /// The job had ended before, or is in other hands: this one is dropped.
    AlreadyThere,
}

/// How a job is given back.
#[derive(Clone, Debug, PartialEq)]
pub enum Release {
    /// The runner stops: the job can be begun again at once, and the attempt does not count.
    Return,
    /// It could not be begun: the attempt does not count.
    Postpone {
        /// How long it waits.
        after: Duration,
        /// Why.
        failure: JobFailure,
    },
    /// It failed in a way that may pass. If that was the last attempt, the job has failed.
    Retry {
        /// How long it waits.
        after: Duration,
        /// Why.
        failure: JobFailure,
    },
}

/// What became of a job whose end was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It had not begun, and never will.
    Removed,
    /// It runs, and its runner is told.
    Asked,
    /// It had ended before.
    TooLate,
    /// Nothing is known of it.
    Unknown,
}

/// Which jobs are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct JobFilter {
    /// In this state only.
    pub state: Option<JobState>,
    /// Of this model only.
    pub model: Option<Name>,
    /// Only those that come after this one in the list.
    pub after: Option<JobId>,
    /// So many at most.
    pub max: Option<usize>,
    /// The newest first, instead of the oldest.
    pub newest_first: bool,
}

impl JobFilter {
    /// In this state only.
    pub fn with_state(mut self, state: JobState) -> Self {
        self.state = Some(state);
        self
    }

    /// Of this model only.
    pub fn with_model(mut self, model: impl Into<Name>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Only those that come after this one in the list: the next page.
    pub fn with_after(mut self, id: JobId) -> Self {
        self.after = Some(id);
        self
    }

    /// So many at most.
    pub fn with_max(mut self, max: usize) -> Self {
        self.max = Some(max);
        self
    }

    /// The newest first, instead of the oldest.
    pub fn with_newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    pub(crate) fn lets_pass(&self, status: &JobStatus) -> bool {
        self.state.is_none_or(|state| state == status.state)
            && self.model.as_ref().is_none_or(|model| *model == status.model)
    }
}
