//! [`JobStatus`]: how a job is doing; [`JobOutcome`], how it ended.

use std::sync::Arc;
use std::time::SystemTime;

use unruffled_model::{Name, Priority};

use super::id::JobId;
use super::payload::{Payload, PayloadInfo};
use crate::error::{Error, ErrorKind};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It waits: for its time, for its model, or for others.
    Queued,
    /// A runner has it.
    Running,
    /// Its result is there.
    Done,
    /// It failed for good, and is kept as a dead letter: it can be looked into and queued again.
    Failed,
    /// Somebody asked for its end.
    Cancelled,
}

impl JobState {
    /// Every state, in the order in which jobs go through them.
    pub const ALL: [JobState; 5] =
        [JobState::Queued, JobState::Running, JobState::Done, JobState::Failed, JobState::Cancelled];

    /// Whether nothing more will happen to the job by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, JobState::Done | JobState::Failed | JobState::Cancelled)
    }

    /// The state in lower case: `queued`.
    pub const fn name(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

/// How a job is doing. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobStatus {
    /// Its name.
    pub id: JobId,
    /// Grows with whatever changes here, as long as the queue is open.
    pub revision: u64,
    /// The model that runs it.
    pub model: Name,
    /// Where it is.
    pub state: JobState,
    /// By what the caller knows it again.
    pub key: Option<Arc<str>>,
    /// Who goes first when work waits.
    pub priority: Priority,
    /// How often it was begun.
    pub attempts: u32,
    /// How often it is begun at most.
    pub attempts_max: u32,
    /// How far the model says it is; while it runs only.
    pub progress: Option<JobProgress>,
    /// What went wrong last, if anything did.
    pub failure: Option<JobFailure>,
    /// Whether its end was asked for.
    pub cancel_asked: bool,
    /// What went in.
    pub input: PayloadInfo,
    /// What came out.
    pub result: Option<PayloadInfo>,
    /// When it came.
    pub submitted: SystemTime,
    /// When it may be begun, or begun again.
    pub ready: SystemTime,
    /// When it was begun last.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub finished: Option<SystemTime>,
    /// When its caller gives up.
    pub deadline: Option<SystemTime>,
}

/// How far a job is, as far as its model says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobProgress {
    /// The part that is done, from 0 to 1.
    pub part: Option<f64>,
    /// What is being done, in 1 KiB at most.
    pub text: Option<Arc<str>>,
}

/// Why a job failed, in a form that can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// How the run ended.
    pub kind: ErrorKind,
    /// What was said.
    pub message: Arc<str>,
}

impl JobFailure {
    /// A failure of this kind. A message of more than 4 KiB is cut: it is in memory for as long as the job is kept.
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: cut(message.into(), MESSAGE_BYTES_MAX) }
    }

    /// As an error of this model.
    pub fn error(&self, model: &Name) -> Error {
        Error::new(self.kind, &*self.message).of_model(model)
    }
}

impl JobProgress {
    /// Short enough to be shown.
    pub(crate) fn shortened(self) -> Self {
        Self { text: self.text.map(|text| cut(text, PROGRESS_BYTES_MAX)), ..self }
    }
}

impl From<&Error> for JobFailure {
    fn from(error: &Error) -> Self {
        Self::new(error.kind(), error.message())
    }
}

/// How long the message of a failure may be.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// How long the text of a progress may be.
const PROGRESS_BYTES_MAX: usize = 1 << 10;

/// The beginning of a text, if it is too long.
fn cut(text: Arc<str>, bytes_max: usize) -> Arc<str> {
    if text.len() <= bytes_max { text } else { text[..text.floor_char_boundary(bytes_max)].into() }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum JobOutcome {
    /// With a result.
    Done(Payload),
    /// Without one, for good.
    Failed(JobFailure),
    /// Somebody asked for it.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::{ErrorKind, JobFailure, JobProgress};

    #[test]
    fn long_texts_are_cut_between_letters() {
        let failure = JobFailure::new(ErrorKind::ModelFailed, "ä".repeat(10_000));
        assert_eq!(failure.message.len(), 4096);
        let progress = JobProgress { part: None, text: Some(format!("x{}", "ä".repeat(1_000)).into()) };
        assert_eq!(progress.shortened().text.map(|text| text.len()), Some(1023));
    }
}
