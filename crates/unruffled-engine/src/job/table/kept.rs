//! What is kept of jobs that have ended: for a while, and within bounds.

use std::time::SystemTime;

use super::super::id::JobId;
use super::super::record::JobRecord;
use super::super::status::JobState;
use super::{JobTable, after};

impl JobTable {
    pub(super) fn keep(&mut self, record: &JobRecord) {
        let finished = record.finished.unwrap_or(record.submitted);
        self.ended.insert((finished, record.arrival, record.id));
        self.expiry.insert((self.kept_until(record), record.id));
        self.kept_bytes += record.kept_bytes();
    }

    pub(super) fn unkeep(&mut self, id: JobId) {
        let record = &self.records[&id];
        let finished = record.finished.unwrap_or(record.submitted);
        let until = self.kept_until(record);
        self.kept_bytes -= record.kept_bytes();
        self.ended.remove(&(finished, record.arrival, id));
        self.expiry.remove(&(until, id));
    }

    fn kept_until(&self, record: &JobRecord) -> SystemTime {
        let keep = match record.state {
            JobState::Failed => self.limits.keep_failed,
            _ => record.terms.keep.min(self.limits.keep_max),
        };
        after(record.finished.unwrap_or(record.submitted), keep)
    }

    /// Done | Failed | Cancelled -> nothing.
    pub(super) fn drop_record(&mut self, id: JobId) {
        self.unkeep(id);
        let record = self.records.remove(&id).expect("what has ended is known");
        if let Some(key) = &record.terms.key {
            self.keys.remove(&key.text);
        }
        self.changes.gone(id);
    }

    /// Keeps what the limits allow.
    pub(super) fn drop_oldest(&mut self) {
        while self.ended.len() > self.limits.kept || self.kept_bytes > self.limits.kept_bytes {
            let (.., oldest) = *self.ended.first().expect("there are too many");
            self.drop_record(oldest);
        }
    }
}
