//! [`JobRecord`]: all that is known of a job but its input and result: what stores keep.

use std::time::SystemTime;

use super::id::JobId;
use super::payload::PayloadInfo;
use super::status::{JobFailure, JobState, JobStatus};
use super::terms::{JobTerms, NewJob};

/// All that is known of a job, its input and its result aside.
///
/// Not `non_exhaustive`: whoever keeps records must hear of it when there is more to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecord {
    /// Its name.
    pub id: JobId,
    /// Which place it has among all jobs that ever came.
    pub arrival: u64,
    /// What was said of it.
    pub terms: JobTerms,
    /// What went in.
    pub input: PayloadInfo,
    /// When it came.
    pub submitted: SystemTime,
    /// Where it is.
    pub state: JobState,
    /// When it may be begun, or begun again.
    pub ready: SystemTime,
    /// How often it was begun, as far as that counts.
    pub attempts: u32,
    /// How often it was given back without an end since it was queued.
    pub returned: u32,
    /// When it was begun last.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub finished: Option<SystemTime>,
    /// What went wrong last.
    pub failure: Option<JobFailure>,
    /// What came out.
    pub result: Option<PayloadInfo>,
    /// Whether its end was asked for.
    pub cancel_asked: bool,
}

impl JobRecord {
    /// A job that has just come.
    pub fn new(now: SystemTime, arrival: u64, job: &NewJob) -> Self {
        Self {
            id: job.id,
            arrival,
            terms: job.terms.clone(),
            input: job.input.info(),
            submitted: now,
            state: JobState::Queued,
            ready: job.terms.not_before.map_or(now, |at| at.max(now)),
            attempts: 0,
            returned: 0,
            started: None,
            finished: None,
            failure: None,
            result: None,
            cancel_asked: false,
        }
    }

    /// Whether its input is still needed: to run it, or to queue it again.
    pub fn needs_input(&self) -> bool {
        !matches!(self.state, JobState::Done | JobState::Cancelled)
    }

    /// As others see it.
    pub fn status(&self) -> JobStatus {
        JobStatus {
            id: self.id,
            revision: 0,
            model: self.terms.model.clone(),
            state: self.state,
            key: self.terms.key.as_ref().map(|key| key.text.clone()),
            priority: self.terms.priority,
            attempts: self.attempts,
            attempts_max: self.terms.attempts,
            progress: None,
            failure: self.failure.clone(),
            cancel_asked: self.cancel_asked,
            input: self.input.clone(),
            result: self.result.clone(),
            submitted: self.submitted,
            ready: self.ready,
            started: self.started,
            finished: self.finished,
            deadline: self.terms.deadline,
        }
    }

    /// What it takes of what is kept of jobs that have ended.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let result = self.result.as_ref().map_or(0, |result| result.bytes);
        result + if self.needs_input() { self.input.bytes } else { 0 }
    }
}
