//! A table of what another one has left.

use std::sync::Arc;
use std::time::SystemTime;

use super::super::limits::JobLimits;
use super::super::record::JobRecord;
use super::super::status::{JobFailure, JobState};
use super::JobTable;
use crate::error::ErrorKind;

impl JobTable {
    /// A table of what was kept, by a process that has ended since: what it ran is queued again, or has failed if that was the
    /// last attempt.
    pub fn restore(now: SystemTime, limits: JobLimits, records: impl IntoIterator<Item = JobRecord>) -> Self {
        Self::new(limits).filled(now, records)
    }

    /// A table of what was kept, where the last changes of this one could not be. Runners go on with what they held before, and
    /// no claim of the two has the same name.
    pub fn rebuilt(&self, now: SystemTime, records: impl IntoIterator<Item = JobRecord>) -> Self {
        let mut table = Self::new(self.limits.clone());
        table.tokens = self.tokens;
        table.held = self.held.clone();
        table.filled(now, records)
    }

    fn filled(self, now: SystemTime, records: impl IntoIterator<Item = JobRecord>) -> Self {
        let mut table = self;
        // What had been handed out is held on only if that was written.
        let held = std::mem::take(&mut table.held);
        let mut interrupted = Vec::new();
        for mut record in records {
            let id = record.id;
            table.arrivals = table.arrivals.max(record.arrival + 1);
            if let Some(key) = &record.terms.key {
                table.keys.insert(Arc::clone(&key.text), id);
            }
            match record.state {
                JobState::Queued => {
                    // A new process is a reason to try at once, and the clock may have been set back meanwhile.
                    if record.returned > 0 {
                        record.ready = record.terms.not_before.map_or(now, |at| at.max(now));
                    }
                    table.lines.enter(now, &record, &table.limits);
                }
                JobState::Running => match held.get(&id) {
                    Some(hold) => {
                        table.held.insert(id, hold.clone());
                    }
                    None => interrupted.push(id),
                },
                JobState::Done | JobState::Failed | JobState::Cancelled => {}
            }
            if record.state.is_final() {
                table.keep(&record);
            } else {
                table.open_bytes += record.input.bytes;
            }
            table.records.insert(id, record);
        }
        for id in interrupted {
            let ended = JobFailure::new(ErrorKind::ModelCrashed, "the process that ran it has ended");
            table.retry(now, id, now, ended);
        }
        table
    }
}
