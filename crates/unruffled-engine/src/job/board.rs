//! [`JobBoard`]: what a queue shows of its jobs, and whom it tells when that changes.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::id::JobId;
use super::queue::{JobEvents, JobFilter};
use super::status::{JobProgress, JobState, JobStatus};
use super::table::{JobChange, JobChanges, JobTable};

/// The last states of all jobs, readable at any time, and whoever watches them.
///
/// A queue posts here what it has decided, once that holds: one on disk after the disk has it. Bounded as the queue is, plus
/// one channel of one place per job that is watched.
#[derive(Debug)]
pub struct JobBoard {
    shown: Mutex<Shown>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Shown {
    jobs: BTreeMap<JobId, JobStatus>,
    watched: HashMap<JobId, Arc<watch::Sender<JobStatus>>>,
    revision: u64,
}

impl Default for JobBoard {
    fn default() -> Self {
        Self { shown: Mutex::default(), news: watch::Sender::new(0) }
    }
}

impl JobBoard {
    /// Shows what has changed in a table. Whoever watches hears of it when the result is [announced](Posted::announce), which
    /// is to be done without any lock.
    pub fn post(&self, table: &JobTable, changes: &JobChanges) -> Posted {
        let mut shown = self.shown.lock();
        let mut posted = Posted { told: Vec::new(), news: changes.is_news(), gone: Vec::new() };
        for change in changes.iter() {
            match change {
                // Gone later in the same list.
                JobChange::Put(id) if table.get(id).is_none() => {}
                JobChange::Put(id) => {
                    let mut status = table.get(id).expect("asked just now").status();
                    if status.state == JobState::Running
                        && let Some(before) =
                            shown.jobs.get(&id).filter(|before| before.started == status.started)
                    {
                        status.progress = before.progress.clone();
                    }
                    posted.told.extend(shown.show(status));
                }
                JobChange::Gone(id) => {
                    shown.jobs.remove(&id);
                    posted.gone.extend(shown.watched.remove(&id));
                }
            }
        }
        posted
    }

    /// Shows all that a table has, when it is opened: nobody watches yet.
    pub fn post_all(&self, table: &JobTable) {
        let mut shown = self.shown.lock();
        for record in table.records() {
            shown.show(record.status());
        }
    }

    /// Shows how far a job is, if it runs.
    pub fn progress(&self, id: JobId, progress: JobProgress) {
        let told = {
            let mut shown = self.shown.lock();
            match shown.jobs.get(&id) {
                Some(status) if status.state == JobState::Running => {
                    let status = JobStatus { progress: Some(progress.shortened()), ..status.clone() };
                    shown.show(status)
                }
                _ => None,
            }
        };
        Posted { told: told.into_iter().collect(), news: false, gone: Vec::new() }.announce(self);
    }

    /// How a job is doing.
    pub fn status(&self, id: JobId) -> Option<JobStatus> {
        self.shown.lock().jobs.get(&id).cloned()
    }

    /// How jobs are doing, in the order of their names, or the other way round.
    pub fn list(&self, filter: &JobFilter) -> Vec<JobStatus> {
        let shown = self.shown.lock();
        let end = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        let max = filter.max.unwrap_or(usize::MAX);
        let passes = |(_, status): &(&JobId, &JobStatus)| filter.lets_pass(status);
        let told = |(_, status): (&JobId, &JobStatus)| status.clone();
        if filter.newest_first {
            shown.jobs.range((Bound::Unbounded, end)).rev().filter(passes).take(max).map(told).collect()
        } else {
            shown.jobs.range((end, Bound::Unbounded)).filter(passes).take(max).map(told).collect()
        }
    }

    /// The states of a job, from now on; see [`JobQueue::watch`](super::JobQueue::watch).
    pub fn watch(&self, id: JobId) -> Option<JobEvents> {
        let mut shown = self.shown.lock();
        // Those whom nobody watches any more go when somebody comes.
        shown.watched.retain(|_, watched| watched.receiver_count() > 0);
        let status = shown.jobs.get(&id)?.clone();
        let receiver = match shown.watched.get(&id) {
            Some(watched) => watched.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(status.clone());
                if !status.state.is_final() {
                    shown.watched.insert(id, Arc::new(sender));
                }
                receiver
            }
        };
        Some(events(status, receiver))
    }

    /// Completes at the next news after this call; see [`JobQueue::changed`](super::JobQueue::changed).
    pub fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Now, not when it is first polled: what comes in between counts.
        let mut news = self.news.subscribe();
        Box::pin(async move {
            if news.changed().await.is_err() {
                // The queue is gone: there will be no news.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl Shown {
    /// Puts a state up, and says whom to tell.
    fn show(&mut self, mut status: JobStatus) -> Option<(Arc<watch::Sender<JobStatus>>, JobStatus)> {
        self.revision += 1;
        status.revision = self.revision;
        self.jobs.insert(status.id, status.clone());
        let watched = match status.state.is_final() {
            // Nobody needs to be told of anything after this, unless it is queued again: then they ask again.
            true => self.watched.remove(&status.id),
            false => self.watched.get(&status.id).cloned(),
        };
        watched.map(|watched| (watched, status))
    }
}

/// What has been posted, and whom to tell.
#[must_use = "nobody hears of it before it is announced"]
pub struct Posted {
    told: Vec<(Arc<watch::Sender<JobStatus>>, JobStatus)>,
    news: bool,
    /// Their end is told by their being dropped.
    gone: Vec<Arc<watch::Sender<JobStatus>>>,
}

impl Posted {
    /// Tells whoever watches. Wakes callers: no lock may be held.
    pub fn announce(self, board: &JobBoard) {
        for (watched, status) in self.told {
            // Two who post meet here in any order: the newer stays.
            watched.send_if_modified(|known| {
                let newer = known.revision < status.revision;
                if newer {
                    *known = status;
                }
                newer
            });
        }
        drop(self.gone);
        if self.news {
            board.news.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// A state, and what follows it.
fn events(first: JobStatus, receiver: watch::Receiver<JobStatus>) -> JobEvents {
    struct Watching {
        receiver: watch::Receiver<JobStatus>,
        first: Option<JobStatus>,
        /// The last that was given.
        seen: (u64, bool),
    }
    let watching = Watching { receiver, first: Some(first), seen: (0, false) };
    Box::pin(futures_util::stream::unfold(watching, |mut watching| async move {
        loop {
            let status = match watching.first.take() {
                Some(first) => first,
                None if watching.seen.1 => return None,
                None => {
                    watching.receiver.changed().await.ok()?;
                    watching.receiver.borrow_and_update().clone()
                }
            };
            // What was posted before the watch began may be announced after.
            if status.revision > watching.seen.0 {
                watching.seen = (status.revision, status.state.is_final());
                return Some((status, watching));
            }
        }
    }))
}
