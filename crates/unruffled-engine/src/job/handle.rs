//! [`Job`]: one job as whoever submitted it sees it.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;

use super::id::JobId;
use super::payload::{JobData, Payload};
use super::queue::{CancelAnswer, JobEvents};
use super::runner::{MUCH, Phase, Shared};
use super::status::{JobOutcome, JobState, JobStatus};
use super::table::unknown;
use crate::error::{Error, ErrorKind};

/// A job that was submitted: to look at, to wait for, or to end. Cheap to clone.
///
/// Dropping it changes nothing about the job: that it goes on by itself is what a job is for. By its [`id`](Self::id) it is
/// found again, also by another process if the queue is on disk: [`Jobs::attach`](super::Jobs::attach).
pub struct Job<O> {
    shared: Arc<Shared>,
    id: JobId,
    output: PhantomData<fn() -> O>,
}

impl<O: JobData> Job<O> {
    pub(super) fn new(shared: Arc<Shared>, id: JobId) -> Self {
        Self { shared, id, output: PhantomData }
    }

    /// Its name.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// How it is doing.
    ///
    /// # Errors
    ///
    /// `NotFound` if it ended and is not kept any more; `NotReady` if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn status(&self) -> Result<JobStatus, Error> {
        self.shared.queue.status(self.id).await?.ok_or_else(|| unknown(self.id))
    }

    /// Its state, and then each newer one until the last. Some may be skipped, the last never.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn events(&self) -> Result<JobEvents, Error> {
        self.shared.queue.watch(self.id).await?.ok_or_else(|| unknown(self.id))
    }

    /// Waits for its end, and gives its result. May be asked again as long as the result is kept.
    ///
    /// # Errors
    ///
    /// Why the job failed; `Cancelled`; `NotFound` if it is not kept any more; `ShuttingDown` if nobody will run it here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the job goes on.
    pub async fn wait(&self) -> Result<O, Error> {
        let mut events = self.events().await?;
        let mut phases = self.shared.phase.subscribe();
        loop {
            match next_or_ended(&mut events, &mut phases).await {
                Next::State(state) if state.is_final() => break,
                Next::State(_) => {}
                Next::Over => break,
                Next::Ended => {
                    // What it did last counts.
                    if let Some(result) = self.result().await? {
                        return Ok(result);
                    }
                    let message = format!("job {} has not ended: its runner is shutting down", self.id);
                    return Err(Error::new(ErrorKind::ShuttingDown, message));
                }
            }
        }
        self.result().await?.ok_or_else(|| unknown(self.id))
    }

    /// Its result, if it is there.
    ///
    /// # Errors
    ///
    /// Why the job failed; `Cancelled`; `NotFound` if it is not kept any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn result(&self) -> Result<Option<O>, Error> {
        let Some(outcome) = self.shared.queue.outcome(self.id).await? else {
            // Either it has not ended, or it is not known.
            return self.status().await.map(|_| None);
        };
        match outcome {
            JobOutcome::Done(result) => self.shared.decode(result).await.map(Some),
            JobOutcome::Failed(failure) => Err(failure.error(&self.status().await?.model)),
            JobOutcome::Cancelled => {
                Err(Error::new(ErrorKind::Cancelled, format!("job {} was cancelled", self.id)))
            }
        }
    }

    /// Asks for its end: what waits is removed at once, what runs is told.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have been asked for or not.
    pub async fn cancel(&self) -> Result<CancelAnswer, Error> {
        self.shared.queue.cancel(self.shared.clock.now(), self.id).await
    }
}

impl<O> Clone for Job<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), id: self.id, output: PhantomData }
    }
}

impl<O> fmt::Debug for Job<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}

enum Next {
    State(JobState),
    /// There are no more states.
    Over,
    /// There is no runner any more.
    Ended,
}

async fn next_or_ended(events: &mut JobEvents, phases: &mut watch::Receiver<Phase>) -> Next {
    // The sender lives in what the job and its runner share.
    let mut ended = pin!(phases.wait_for(|phase| *phase == Phase::Ended));
    poll_fn(|cx| {
        // First: the last state of a job is no less true because its runner has gone since.
        if let Poll::Ready(state) = events.as_mut().poll_next(cx) {
            return Poll::Ready(state.map_or(Next::Over, |status| Next::State(status.state)));
        }
        ended.as_mut().poll(cx).map(|_| Next::Ended)
    })
    .await
}

impl Shared {
    /// A value out of bytes: much of it on the runner's thread, if that is still there.
    pub(super) async fn decode<O: JobData>(&self, payload: Payload) -> Result<O, Error> {
        if payload.bytes.len() < MUCH {
            return O::from_payload(&payload);
        }
        let kept = payload.clone();
        match self.elsewhere(move || O::from_payload(&payload)).await {
            Some(decoded) => decoded,
            // The runner is gone; the result is there all the same.
            None => O::from_payload(&kept),
        }
    }
}
