//! [`JobChanges`]: what a table has decided, for whoever keeps jobs and payloads.

use super::super::id::JobId;

/// What is to be done about one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobChange {
    /// Its record is new or different.
    Put(JobId),
    /// Nothing of it is kept any more.
    Gone(JobId),
}

/// What has changed, in order.
#[derive(Debug, Default)]
pub struct JobChanges {
    list: Vec<JobChange>,
    /// Whether there may be something more to claim, or to be stopped.
    pub(super) news: bool,
}

impl JobChanges {
    /// Each change, in order; a job may be in it several times, and its record is to be taken as it is at last.
    pub fn iter(&self) -> impl Iterator<Item = JobChange> {
        self.list.iter().copied()
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether runners should call: there may be something more to claim, or to be stopped.
    pub fn is_news(&self) -> bool {
        self.news
    }

    pub(super) fn put(&mut self, id: JobId) {
        if self.list.last() != Some(&JobChange::Put(id)) {
            self.list.push(JobChange::Put(id));
        }
    }

    pub(super) fn gone(&mut self, id: JobId) {
        self.list.push(JobChange::Gone(id));
    }
}
