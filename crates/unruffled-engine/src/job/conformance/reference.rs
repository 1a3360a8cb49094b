//! [`Reference`]: what a queue is to do, in the plainest way: a list that is searched from end to end for everything.

use std::time::{Duration, SystemTime};

use unruffled_model::Priority;

use crate::error::ErrorKind;
use crate::job::{CancelAnswer, JobId, JobState, NewJob, Stored};

pub(super) struct Reference {
    pub(super) jobs: Vec<Known>,
    pub(super) limits: Limits,
    arrivals: u64,
}

/// The limits that the histories use.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) jobs: usize,
    pub(super) bytes: u64,
    pub(super) kept: usize,
    pub(super) kept_bytes: u64,
    pub(super) keep_failed: Duration,
    pub(super) ageing: Duration,
    pub(super) hold: Duration,
}

#[derive(Clone)]
pub(super) struct Known {
    pub(super) job: NewJob,
    arrival: u64,
    submitted: SystemTime,
    pub(super) state: JobState,
    ready: SystemTime,
    /// Its time has come once: it stands in line, whatever the clock does afterwards.
    in_line: bool,
    pub(super) attempts: u32,
    returned: u32,
    pub(super) cancel_asked: bool,
    /// Which handing-out has it, and until when.
    held: Option<(u64, SystemTime)>,
    finished: Option<SystemTime>,
    pub(super) result: Option<String>,
}

/// How a job comes back, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Back {
    Return,
    Postpone(Duration),
    Retry(Duration),
}

impl Known {
    fn place(&self, limits: &Limits) -> (SystemTime, u64) {
        let classes = match self.job.terms.priority {
            Priority::Interactive => 0,
            Priority::Normal => 1,
            Priority::Bulk => 2,
        };
        let arrived = self.job.terms.not_before.unwrap_or(self.submitted).max(self.submitted);
        (arrived + limits.ageing * classes, self.arrival)
    }

    fn kept_bytes(&self) -> u64 {
        let input = if self.state == JobState::Failed { self.job.input.bytes.len() } else { 0 };
        (input + self.result.as_ref().map_or(0, String::len)) as u64
    }

    fn kept_until(&self, limits: &Limits) -> Option<SystemTime> {
        let keep = if self.state == JobState::Failed { limits.keep_failed } else { self.job.terms.keep };
        Some(self.finished? + keep)
    }
}

impl Reference {
    pub(super) fn new(limits: Limits) -> Self {
        Self { jobs: Vec::new(), limits, arrivals: 0 }
    }

    pub(super) fn get(&mut self, id: JobId) -> Option<&mut Known> {
        self.jobs.iter_mut().find(|known| known.job.id == id)
    }

    fn open(&self) -> impl Iterator<Item = &Known> {
        self.jobs.iter().filter(|known| !known.state.is_final())
    }

    fn room_for(&self, bytes: usize) -> bool {
        let waiting: usize = self.open().map(|known| known.job.input.bytes.len()).sum();
        self.open().count() < self.limits.jobs && (waiting + bytes) as u64 <= self.limits.bytes
    }

    pub(super) fn submit(&mut self, now: SystemTime, job: &NewJob) -> Result<Option<JobId>, ErrorKind> {
        self.advance(now);
        if let Some(key) = &job.terms.key {
            let same_text =
                |known: &&Known| known.job.terms.key.as_ref().is_some_and(|known| known.text == key.text);
            if let Some(known) = self.jobs.iter().find(same_text) {
                let same = known.job.input == job.input && known.job.terms.model == job.terms.model;
                return if same { Ok(Some(known.job.id)) } else { Err(ErrorKind::InvalidInput) };
            }
        }
        if !self.room_for(job.input.bytes.len()) {
            return Err(ErrorKind::Overloaded);
        }
        let ready = job.terms.not_before.unwrap_or(now).max(now);
        self.jobs.push(Known {
            job: job.clone(),
            arrival: self.arrivals,
            submitted: now,
            state: JobState::Queued,
            ready,
            in_line: false,
            attempts: 0,
            returned: 0,
            cancel_asked: false,
            held: None,
            finished: None,
            result: None,
        });
        self.arrivals += 1;
        self.advance(now);
        Ok(None)
    }

    /// Which jobs a runner gets that has room for so many of each model.
    pub(super) fn claim(
        &mut self,
        now: SystemTime,
        held: &[(JobId, u64)],
        wants: &[(&str, usize)],
    ) -> Vec<JobId> {
        let until = now + self.limits.hold;
        for known in &mut self.jobs {
            if let Some((token, held_until)) = &mut known.held
                && held.contains(&(known.job.id, *token))
            {
                *held_until = until;
            }
        }
        self.advance(now);
        let mut claimed = Vec::new();
        for (model, room) in wants {
            for _ in 0..*room {
                let limits = self.limits;
                let waiting = self.jobs.iter().filter(|known| {
                    known.state == JobState::Queued && known.in_line && *known.job.terms.model == **model
                });
                let Some(first) = waiting.min_by_key(|known| known.place(&limits)).map(|known| known.job.id)
                else {
                    break;
                };
                let known = self.get(first).expect("found just now");
                (known.state, known.in_line) = (JobState::Running, false);
                known.attempts += 1;
                // The token follows: it is the queue's to choose.
                known.held = Some((u64::MAX, until));
                claimed.push(first);
            }
        }
        claimed
    }

    pub(super) fn name(&mut self, id: JobId, token: u64) {
        let held = &mut self.get(id).expect("it was claimed").held;
        held.as_mut().expect("it was claimed").0 = token;
    }

    pub(super) fn holds(&self, id: JobId, token: u64) -> bool {
        let known = self.jobs.iter().find(|known| known.job.id == id);
        known.and_then(|known| known.held).is_some_and(|(held, _)| held == token)
    }

    /// Whether a runner that believes to hold a job is to stop.
    pub(super) fn is_withdrawn(&self, id: JobId, token: u64) -> bool {
        let known = self.jobs.iter().find(|known| known.job.id == id);
        !self.holds(id, token) || known.is_some_and(|known| known.cancel_asked)
    }

    pub(super) fn complete(
        &mut self,
        now: SystemTime,
        id: JobId,
        token: u64,
        ending: JobState,
        result: &str,
    ) -> Stored {
        self.advance(now);
        let holds = self.holds(id, token);
        let Some(known) = self.get(id) else { return Stored::AlreadyThere };
        if known.state.is_final() || !(holds || ending == JobState::Done) {
            return Stored::AlreadyThere;
        }
        known.result = (ending == JobState::Done).then(|| result.to_owned());
        self.end(now, id, ending);
        Stored::First
    }

    pub(super) fn release(&mut self, now: SystemTime, id: JobId, token: u64, back: Back) {
        self.advance(now);
        if self.holds(id, token) {
            self.back(now, id, back);
        }
    }

    fn back(&mut self, now: SystemTime, id: JobId, back: Back) {
        let known = self.get(id).expect("it runs");
        let after = match back {
            Back::Return => Duration::ZERO,
            Back::Postpone(after) | Back::Retry(after) => after,
        };
        match back {
            Back::Retry(_) if known.attempts >= known.job.terms.attempts && !known.cancel_asked => {
                return self.end(now, id, JobState::Failed);
            }
            Back::Retry(_) => {}
            Back::Return | Back::Postpone(_) => known.attempts -= 1,
        }
        if known.cancel_asked {
            return self.end(now, id, JobState::Cancelled);
        }
        (known.state, known.held, known.ready) = (JobState::Queued, None, now + after);
        known.in_line = known.ready <= now;
        known.returned += 1;
    }

    pub(super) fn cancel(&mut self, now: SystemTime, id: JobId) -> CancelAnswer {
        self.advance(now);
        match self.get(id) {
            None => CancelAnswer::Unknown,
            Some(known) if known.state.is_final() => CancelAnswer::TooLate,
            Some(known) => {
                known.cancel_asked = true;
                if known.state == JobState::Running {
                    return CancelAnswer::Asked;
                }
                self.end(now, id, JobState::Cancelled);
                CancelAnswer::Removed
            }
        }
    }

    pub(super) fn requeue(&mut self, now: SystemTime, id: JobId) -> Result<(), ErrorKind> {
        self.advance(now);
        let bytes = match self.get(id) {
            None => return Err(ErrorKind::NotFound),
            Some(known) if known.state != JobState::Failed => return Err(ErrorKind::InvalidInput),
            Some(known) => known.job.input.bytes.len(),
        };
        if !self.room_for(bytes) {
            return Err(ErrorKind::Overloaded);
        }
        let known = self.get(id).expect("seen just now");
        (known.state, known.ready, known.in_line) = (JobState::Queued, now, true);
        (known.attempts, known.returned, known.cancel_asked, known.finished) = (0, 0, false, None);
        known.job.terms.deadline = known.job.terms.deadline.filter(|deadline| *deadline > now);
        Ok(())
    }

    pub(super) fn forget(&mut self, now: SystemTime, id: JobId) -> Result<(), ErrorKind> {
        self.advance(now);
        match self.get(id) {
            None => Err(ErrorKind::NotFound),
            Some(known) if !known.state.is_final() => Err(ErrorKind::InvalidInput),
            Some(_) => {
                self.jobs.retain(|known| known.job.id != id);
                Ok(())
            }
        }
    }

    pub(super) fn advance(&mut self, now: SystemTime) {
        let lost: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|known| known.held.is_some_and(|(_, until)| until <= now))
            .map(|known| known.job.id)
            .collect();
        let mut lost_in_order = lost;
        lost_in_order.sort_unstable();
        for id in lost_in_order {
            if self.get(id).is_some_and(|known| known.held.is_some()) {
                self.back(now, id, Back::Retry(Duration::ZERO));
            }
        }
        let mut late: Vec<(SystemTime, JobId)> = self
            .jobs
            .iter()
            .filter(|known| known.state == JobState::Queued)
            .filter_map(|known| Some((known.job.terms.deadline?, known.job.id)))
            .filter(|(deadline, _)| *deadline <= now)
            .collect();
        late.sort_unstable();
        for (_, id) in late {
            self.end(now, id, JobState::Failed);
        }
        for known in &mut self.jobs {
            if known.state == JobState::Queued && known.ready <= now {
                known.in_line = true;
            }
        }
        let limits = self.limits;
        self.jobs.retain(|known| known.kept_until(&limits).is_none_or(|until| until > now));
    }

    /// Another process opens what was kept.
    pub(super) fn reopen(&mut self, now: SystemTime) {
        for known in &mut self.jobs {
            known.in_line = false;
            if known.state == JobState::Queued {
                let earliest = known.job.terms.not_before.unwrap_or(now).max(now);
                if known.returned > 0 {
                    known.ready = earliest;
                }
                known.in_line = known.ready <= now;
            }
        }
        let mut running: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|known| known.state == JobState::Running)
            .map(|known| known.job.id)
            .collect();
        running.sort_unstable();
        for id in running {
            self.back(now, id, Back::Retry(Duration::ZERO));
        }
    }

    fn end(&mut self, now: SystemTime, id: JobId, ending: JobState) {
        let limits = self.limits;
        // It may have been pushed out by one that ended just before it.
        let Some(known) = self.get(id) else { return };
        (known.state, known.held, known.in_line) = (ending, None, false);
        known.finished = Some(now);
        loop {
            let ended = || self.jobs.iter().filter(|known| known.state.is_final());
            let (count, bytes) = (ended().count(), ended().map(Known::kept_bytes).sum::<u64>());
            if count <= limits.kept && bytes <= limits.kept_bytes {
                return;
            }
            let oldest =
                ended().min_by_key(|known| (known.finished, known.arrival)).map(|known| known.job.id);
            self.jobs.retain(|known| Some(known.job.id) != oldest);
        }
    }
}
