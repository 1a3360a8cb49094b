//! [`JobModel`]: a model as jobs see it, from bytes to a future of bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use unruffled_model::RequestContext;

use super::id::JobId;
use super::payload::{JobData, Payload};
use super::queue::{ClaimKey, JobQueue};
use super::status::JobProgress;
use crate::error::Error;
use crate::handle::Handle;

/// One run of a job, on its way.
pub type JobRun = Pin<Box<dyn Future<Output = Result<Payload, Error>> + Send>>;

/// Runs jobs of one model.
///
/// Every [`Handle`] whose input and output have a form in bytes is one, and so is every function from a [`JobCall`] to a
/// future. What comes back as an error decides what becomes of the job: `ModelCrashed` is tried again as often as the job
/// allows; `NotReady`, `NotFound`, `Overloaded` and `ShuttingDown` as often as it takes; all others end the job.
pub trait JobModel: Send + Sync {
    /// Begins a run. Both this and the future are called on the thread of the runner: nothing may block. The future is dropped
    /// when the job is cancelled.
    fn run(&self, call: JobCall) -> JobRun;
}

/// What a job is run with.
pub struct JobCall {
    /// Which job it is.
    pub id: JobId,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// What goes in.
    pub input: Payload,
    /// What travels with it: the job is its name, and its deadline, priority, trace, caller and baggage are the job's.
    pub context: RequestContext,
    pub(super) reporter: JobReporter,
}

impl JobCall {
    /// Where to say how far the run is.
    pub fn reporter(&self) -> JobReporter {
        self.reporter.clone()
    }
}

/// Says how far a run is. Cheap to clone.
#[derive(Clone)]
pub struct JobReporter {
    pub(super) queue: Arc<dyn JobQueue>,
    pub(super) key: ClaimKey,
}

impl JobReporter {
    /// Says which part is done, from 0 to 1, and what is being done. Never waits; whoever watches may miss some, and sees the
    /// last.
    pub fn progress(&self, part: f64, text: impl Into<Arc<str>>) {
        self.queue.progress(self.key, JobProgress { part: Some(part), text: Some(text.into()) });
    }
}

impl<I: JobData, O: JobData> JobModel for Handle<I, O> {
    fn run(&self, call: JobCall) -> JobRun {
        let model = self.clone();
        Box::pin(async move {
            let input = I::from_payload(&call.input)?;
            // Bytes and input side by side would be twice the memory.
            drop(call.input);
            let response = model.infer(input).context(call.context).await?;
            response.output.to_payload()
        })
    }
}

impl<F, R> JobModel for F
where
    F: Fn(JobCall) -> R + Send + Sync,
    R: Future<Output = Result<Payload, Error>> + Send + 'static,
{
    fn run(&self, call: JobCall) -> JobRun {
        Box::pin(self(call))
    }
}
