//! [`Lines`]: the jobs that wait, one line per model, and those whose time has not come.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use unruffled_model::{Name, Priority};

use super::super::id::JobId;
use super::super::limits::JobLimits;
use super::super::record::JobRecord;
use super::{CENTURY, JobChanges};

/// Jobs that wait. A job is in one line, or among those whose time has not come; in both cases its deadline counts.
#[derive(Debug, Default)]
pub(super) struct Lines {
    ready: HashMap<Name, BTreeSet<Place>>,
    later: BTreeSet<(SystemTime, Waiting)>,
    deadlines: BTreeSet<(SystemTime, JobId)>,
}

/// A place in line: the smallest goes first.
type Place = (SystemTime, u64, JobId);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    place: Place,
    model: Name,
}

impl Lines {
    /// Where a job stands. Ageing is in the place itself: a class counts as so much later an arrival, so that nobody ever
    /// moves and nobody waits for ever.
    fn waiting(record: &JobRecord, limits: &JobLimits) -> Waiting {
        let classes = Priority::ALL.iter().position(|class| *class == record.terms.priority);
        let handicap = limits.ageing.min(CENTURY).saturating_mul(classes.unwrap_or(0) as u32);
        let arrived = record.terms.not_before.map_or(record.submitted, |at| at.max(record.submitted));
        let due = arrived.checked_add(handicap).unwrap_or(arrived);
        Waiting { place: (due, record.arrival, record.id), model: record.terms.model.clone() }
    }

    pub(super) fn enter(&mut self, now: SystemTime, record: &JobRecord, limits: &JobLimits) {
        let waiting = Self::waiting(record, limits);
        if record.ready <= now {
            self.ready.entry(waiting.model).or_default().insert(waiting.place);
        } else {
            self.later.insert((record.ready, waiting));
        }
        if let Some(deadline) = record.terms.deadline {
            self.deadlines.insert((deadline, record.id));
        }
    }

    /// Takes a job out, if it is there.
    pub(super) fn leave(&mut self, record: &JobRecord, limits: &JobLimits) {
        let waiting = Self::waiting(record, limits);
        if let Some(line) = self.ready.get_mut(&waiting.model) {
            line.remove(&waiting.place);
            if line.is_empty() {
                self.ready.remove(&waiting.model);
            }
        }
        self.later.remove(&(record.ready, waiting));
        if let Some(deadline) = record.terms.deadline {
            self.deadlines.remove(&(deadline, record.id));
        }
    }

    /// Who is next of those that wait for this model.
    pub(super) fn first(&self, model: &Name) -> Option<JobId> {
        self.ready.get(model)?.first().map(|(.., id)| *id)
    }

    /// One whose deadline has passed; the caller takes it out.
    pub(super) fn late(&self, now: SystemTime) -> Option<JobId> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Lets those into line whose time has come.
    pub(super) fn advance(&mut self, now: SystemTime, changes: &mut JobChanges) {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            let (_, Waiting { place, model }) = self.later.pop_first().expect("seen just now");
            self.ready.entry(model).or_default().insert(place);
            changes.news = true;
        }
    }

    /// When somebody's time comes, or has passed.
    pub(super) fn next(&self) -> Option<SystemTime> {
        let later = self.later.first().map(|(at, _)| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        later.into_iter().chain(deadline).min()
    }
}
