//! [`JobTable`]: what a queue of jobs decides, as plain data that takes the time as an argument.

mod changes;

mod lines;

mod kept;
mod restore;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use unruffled_model::Name;

use super::id::JobId;
use super::limits::JobLimits;
use super::payload::PayloadInfo;
use super::queue::{CancelAnswer, ClaimCall, ClaimKey, Release, Stored, Submitted};
use super::record::JobRecord;
use super::status::{JobFailure, JobState};
use super::terms::NewJob;
use crate::error::{Error, ErrorKind};

pub use changes::{JobChange, JobChanges};
use lines::Lines;

/// How many bytes may be said of a job besides its input: records are in memory for as long as they are kept.
const TERMS_BYTES_MAX: usize = 16 << 10;

/// The state machine of a queue: which jobs there are, where each is, who goes next, what is kept.
///
/// It acts on nothing and waits for nothing. Whoever keeps the payloads asks it, and then does what
/// [`take_changes`](Self::take_changes) says: a queue in memory at once, one on disk in one transaction. Both are therefore
/// the same queue.
///
/// Time may jump either way between two calls: a jump forward ends what is late by it, a jump back makes nothing happen twice.
#[derive(Debug)]
pub struct JobTable {
    limits: JobLimits,
    records: BTreeMap<JobId, JobRecord>,
    keys: HashMap<Arc<str>, JobId>,
    /// Those that wait.
    lines: Lines,
    /// Those that run: who has them, and until when.
    held: BTreeMap<JobId, Hold>,
    /// Those that have ended, the oldest first.
    ended: BTreeSet<(SystemTime, u64, JobId)>,
    /// When what has ended is dropped.
    expiry: BTreeSet<(SystemTime, JobId)>,
    open_bytes: u64,
    kept_bytes: u64,
    arrivals: u64,
    tokens: u64,
    changes: JobChanges,
}

#[derive(Clone, Debug)]
struct Hold {
    runner: Name,
    token: u64,
    until: SystemTime,
}

/// How a job ended, as far as the table needs to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// With a result.
    Done(PayloadInfo),
    /// Without one, for good.
    Failed(JobFailure),
    /// Somebody asked for it.
    Cancelled,
}

/// What a call of a runner found.
#[derive(Debug, Default)]
pub struct Granted {
    /// What it is to run.
    pub keys: Vec<ClaimKey>,
    /// What it is to stop.
    pub withdrawn: Vec<ClaimKey>,
    /// When it should call again.
    pub next: Option<SystemTime>,
}

impl JobTable {
    /// A table without jobs.
    pub fn new(limits: JobLimits) -> Self {
        Self {
            limits,
            records: BTreeMap::new(),
            keys: HashMap::new(),
            lines: Lines::default(),
            held: BTreeMap::new(),
            ended: BTreeSet::new(),
            expiry: BTreeSet::new(),
            open_bytes: 0,
            kept_bytes: 0,
            arrivals: 0,
            tokens: 0,
            changes: JobChanges::default(),
        }
    }

    /// How much it takes and keeps.
    pub fn limits(&self) -> &JobLimits {
        &self.limits
    }

    /// What is known of a job.
    pub fn get(&self, id: JobId) -> Option<&JobRecord> {
        self.records.get(&id)
    }

    /// Every job, in the order of their names.
    pub fn records(&self) -> impl Iterator<Item = &JobRecord> {
        self.records.values()
    }

    /// How many jobs wait or run, and the bytes of their inputs.
    pub fn open(&self) -> (usize, u64) {
        (self.records.len() - self.ended.len(), self.open_bytes)
    }

    /// How many jobs are kept that have ended, and the bytes that this takes.
    pub fn kept(&self) -> (usize, u64) {
        (self.ended.len(), self.kept_bytes)
    }

    /// What has changed since this was last asked.
    pub fn take_changes(&mut self) -> JobChanges {
        std::mem::take(&mut self.changes)
    }

    /// Takes a job in.
    ///
    /// # Errors
    ///
    /// As [`JobQueue::submit`](super::JobQueue::submit).
    pub fn submit(&mut self, now: SystemTime, job: &NewJob) -> Result<Submitted, Error> {
        self.advance(now);
        if let Some(key) = &job.terms.key
            && let Some(known) = self.keys.get(&key.text)
        {
            let same = self.records[known].terms.key.as_ref().is_some_and(|known| known.digest == key.digest);
            return if same { Ok(Submitted::Known(*known)) } else { Err(other_input(&key.text, *known)) };
        }
        if self.records.contains_key(&job.id) {
            return Ok(Submitted::Known(job.id));
        }
        let bytes = job.input.bytes.len() as u64;
        if bytes > self.limits.input_bytes {
            let most = self.limits.input_bytes;
            let message = format!("the input has {bytes} bytes; {most} is the most that a job may have");
            return Err(Error::new(ErrorKind::InvalidInput, message).of_model(&job.terms.model));
        }
        let said = job.terms.text_bytes() + job.input.kind.len();
        if said > TERMS_BYTES_MAX {
            let message = format!(
                "key, caller, baggage and the other terms have {said} bytes; {TERMS_BYTES_MAX} is the most that a job may have"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.make_room(bytes).map_err(|error| error.of_model(&job.terms.model))?;
        let record = JobRecord::new(now, self.arrivals, job);
        self.arrivals += 1;
        self.open_bytes += bytes;
        if let Some(key) = &record.terms.key {
            self.keys.insert(Arc::clone(&key.text), record.id);
        }
        self.lines.enter(now, &record, &self.limits);
        self.records.insert(record.id, record);
        self.changes.put(job.id);
        self.changes.news = true;
        // Late before it came: it is told at once, and by the same way as all others.
        self.advance(now);
        Ok(Submitted::New)
    }

    /// Gives a runner what it may run, and hears of it that it is there.
    pub fn claim(&mut self, now: SystemTime, call: &ClaimCall) -> Granted {
        for key in &call.held {
            if let Some(hold) = self.held.get_mut(&key.id).filter(|hold| hold.token == key.token) {
                hold.until = after(now, self.limits.hold);
            }
        }
        self.advance(now);
        let mut keys = Vec::new();
        for want in &call.wants {
            for _ in 0..want.jobs {
                let Some(id) = self.lines.first(&want.model) else { break };
                keys.push(self.hand_out(now, id, &call.runner));
            }
        }
        let unwanted = |key: &ClaimKey| match self.held.get(&key.id) {
            Some(hold) => hold.token != key.token || self.records[&key.id].cancel_asked,
            None => true,
        };
        let withdrawn = call.held.iter().filter(|key| unwanted(key)).copied().collect();
        Granted { keys, withdrawn, next: self.next() }
    }

    /// Queued -> Running.
    fn hand_out(&mut self, now: SystemTime, id: JobId, runner: &Name) -> ClaimKey {
        let token = self.tokens;
        self.tokens += 1;
        let record = self.records.get_mut(&id).expect("what waits is known");
        self.lines.leave(record, &self.limits);
        record.state = JobState::Running;
        record.started = Some(now);
        record.attempts += 1;
        self.held.insert(id, Hold { runner: runner.clone(), token, until: after(now, self.limits.hold) });
        self.changes.put(id);
        ClaimKey { id, token }
    }

    /// Running | Queued -> Done | Failed | Cancelled, by whoever has run it.
    pub fn complete(&mut self, now: SystemTime, key: ClaimKey, ending: Ending) -> Stored {
        self.advance(now);
        let Some(record) = self.records.get(&key.id) else { return Stored::AlreadyThere };
        let holds = self.held.get(&key.id).is_some_and(|hold| hold.token == key.token);
        let is_result = matches!(ending, Ending::Done(_));
        // A result counts also if its runner was thought lost: it is what the job was for. A failure of a run that somebody
        // else has begun anew does not.
        if record.state.is_final() || !(holds || is_result) {
            return Stored::AlreadyThere;
        }
        self.end(now, key.id, ending);
        Stored::First
    }

    /// Running -> Queued | Failed | Cancelled, by the runner that has it.
    pub fn release(&mut self, now: SystemTime, key: ClaimKey, release: Release) {
        self.advance(now);
        if self.held.get(&key.id).is_none_or(|hold| hold.token != key.token) {
            return;
        }
        match release {
            Release::Return => self.back(now, key.id, now, None),
            Release::Postpone { after: wait, failure } => {
                self.back(now, key.id, after(now, wait), Some(failure));
            }
            Release::Retry { after: wait, failure } => self.retry(now, key.id, after(now, wait), failure),
        }
    }

    /// Asks for the end of a job.
    pub fn cancel(&mut self, now: SystemTime, id: JobId) -> CancelAnswer {
        self.advance(now);
        let Some(record) = self.records.get_mut(&id) else { return CancelAnswer::Unknown };
        match record.state {
            JobState::Queued => {
                record.cancel_asked = true;
                self.end(now, id, Ending::Cancelled);
                CancelAnswer::Removed
            }
            JobState::Running => {
                record.cancel_asked = true;
                self.changes.put(id);
                self.changes.news = true;
                CancelAnswer::Asked
            }
            JobState::Done | JobState::Failed | JobState::Cancelled => CancelAnswer::TooLate,
        }
    }

    /// Failed -> Queued.
    ///
    /// # Errors
    ///
    /// As [`JobQueue::requeue`](super::JobQueue::requeue).
    pub fn requeue(&mut self, now: SystemTime, id: JobId) -> Result<(), Error> {
        self.advance(now);
        let record = self.records.get(&id).ok_or_else(|| unknown(id))?;
        if record.state != JobState::Failed {
            let message =
                format!("job {id} is {}: only what has failed is queued again", record.state.name());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.make_room(record.input.bytes)?;
        self.unkeep(id);
        let record = self.records.get_mut(&id).expect("seen just now");
        self.open_bytes += record.input.bytes;
        record.state = JobState::Queued;
        (record.ready, record.finished, record.cancel_asked) = (now, None, false);
        (record.attempts, record.returned) = (0, 0);
        record.terms.deadline = record.terms.deadline.filter(|deadline| *deadline > now);
        self.lines.enter(now, record, &self.limits);
        self.changes.put(id);
        self.changes.news = true;
        Ok(())
    }

    /// Drops a job that has ended.
    ///
    /// # Errors
    ///
    /// As [`JobQueue::forget`](super::JobQueue::forget).
    pub fn forget(&mut self, now: SystemTime, id: JobId) -> Result<(), Error> {
        self.advance(now);
        let record = self.records.get(&id).ok_or_else(|| unknown(id))?;
        if !record.state.is_final() {
            let message = format!("job {id} is {}: cancel it first", record.state.name());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.drop_record(id);
        Ok(())
    }

    /// Does what is due: takes back what silent runners hold, ends what is late, drops what was kept long enough.
    pub fn advance(&mut self, now: SystemTime) {
        let lost: Vec<JobId> =
            self.held.iter().filter(|(_, hold)| hold.until <= now).map(|(id, _)| *id).collect();
        for id in lost {
            let silent = JobFailure::new(ErrorKind::ModelCrashed, "its runner has not been heard of");
            self.retry(now, id, now, silent);
        }
        while let Some(id) = self.lines.late(now) {
            let late = JobFailure::new(ErrorKind::DeadlineExceeded, "the deadline passed while it waited");
            self.end(now, id, Ending::Failed(late));
        }
        self.lines.advance(now, &mut self.changes);
        while let Some(&(at, id)) = self.expiry.first()
            && at <= now
        {
            self.drop_record(id);
        }
    }

    /// When there is something to do next.
    pub fn next(&self) -> Option<SystemTime> {
        let held = self.held.values().map(|hold| hold.until).min();
        let expiry = self.expiry.first().map(|(at, _)| *at);
        [self.lines.next(), held, expiry].into_iter().flatten().min()
    }

    /// Who has a job, while it runs.
    pub fn runner(&self, id: JobId) -> Option<&Name> {
        self.held.get(&id).map(|hold| &hold.runner)
    }

    /// Running -> Queued | Cancelled, without an attempt.
    fn back(&mut self, now: SystemTime, id: JobId, ready: SystemTime, failure: Option<JobFailure>) {
        let record = self.records.get_mut(&id).expect("what runs is known");
        record.attempts = record.attempts.saturating_sub(1);
        record.failure = failure.or(record.failure.take());
        self.requeue_or_cancel(now, id, ready);
    }

    /// Running -> Queued | Failed | Cancelled: the attempt has failed.
    fn retry(&mut self, now: SystemTime, id: JobId, ready: SystemTime, failure: JobFailure) {
        let record = self.records.get_mut(&id).expect("what runs is known");
        if record.attempts >= record.terms.attempts && !record.cancel_asked {
            let attempts = match record.attempts {
                1 => "the only attempt".to_owned(),
                attempts => format!("the last of {attempts} attempts"),
            };
            let message = format!("{} ({attempts})", failure.message);
            self.end(now, id, Ending::Failed(JobFailure::new(failure.kind, message)));
            return;
        }
        record.failure = Some(failure);
        self.requeue_or_cancel(now, id, ready);
    }

    fn requeue_or_cancel(&mut self, now: SystemTime, id: JobId, ready: SystemTime) {
        let record = self.records.get_mut(&id).expect("what runs is known");
        if record.cancel_asked {
            self.end(now, id, Ending::Cancelled);
            return;
        }
        self.held.remove(&id);
        record.state = JobState::Queued;
        record.ready = ready;
        record.returned = record.returned.saturating_add(1);
        self.lines.enter(now, record, &self.limits);
        self.changes.put(id);
        self.changes.news = true;
    }

    /// Queued | Running -> Done | Failed | Cancelled.
    fn end(&mut self, now: SystemTime, id: JobId, ending: Ending) {
        let record = self.records.get_mut(&id).expect("the caller has seen it");
        self.lines.leave(record, &self.limits);
        self.held.remove(&id);
        self.open_bytes -= record.input.bytes;
        record.finished = Some(now);
        let most = self.limits.kept_bytes;
        let ending = match ending {
            Ending::Done(result) if result.bytes > most => {
                let bytes = result.bytes;
                let message = format!("the result has {bytes} bytes; {most} is the most that is kept of all");
                Ending::Failed(JobFailure::new(ErrorKind::ModelFailed, message))
            }
            ending => ending,
        };
        match ending {
            Ending::Done(result) => {
                record.state = JobState::Done;
                record.result = Some(result);
                record.failure = None;
            }
            Ending::Failed(failure) => {
                record.state = JobState::Failed;
                record.failure = Some(failure);
            }
            Ending::Cancelled => record.state = JobState::Cancelled,
        }
        let record = record.clone();
        self.keep(&record);
        self.changes.put(id);
        self.drop_oldest();
    }

    /// Whether one more job with an input of so many bytes may wait.
    fn make_room(&self, bytes: u64) -> Result<(), Error> {
        let (jobs, waiting) = self.open();
        let JobLimits { jobs: jobs_max, bytes: bytes_max, .. } = self.limits;
        let message = if jobs >= jobs_max {
            format!("{jobs} jobs wait or run already; try again later, or raise `JobLimits::with_jobs`")
        } else if waiting + bytes > bytes_max {
            format!(
                "jobs of {waiting} bytes wait or run already and {bytes_max} is the most, this one has {bytes}; try again \
                 later, or raise `JobLimits::with_bytes`"
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Overloaded, message))
    }
}

/// For ever, as far as jobs are concerned: clocks cannot count much further.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// So long after that.
fn after(at: SystemTime, wait: Duration) -> SystemTime {
    at.checked_add(wait.min(CENTURY)).unwrap_or(at)
}

fn other_input(key: &str, known: JobId) -> Error {
    let message = format!(
        "the key `{key}` was used for job {known}, which has another model or input; use a new key for a new job"
    );
    Error::new(ErrorKind::InvalidInput, message)
}

/// The error of a job that nobody knows.
pub(crate) fn unknown(id: JobId) -> Error {
    let message = format!("there is no job {id}: it has never been, or is not kept any more");
    Error::new(ErrorKind::NotFound, message)
}
