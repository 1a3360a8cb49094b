//! `unruffled jobs`: a store of jobs on disk, looked into and put right.

mod told;

mod export;

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;
use unruffled::engine::job::{CancelAnswer, JobFilter, JobId, JobLimits, JobQueue, QueueFuture};
use unruffled::{DurableJobs, ErrorKind, JobState, JobStatus};

use crate::args::{Jobs, JobsAction, Store};
use crate::exit::{Exit, Failure};
use crate::terminal;

/// How many of its last letters name a job.
const ENDING_MIN: usize = 4;

pub(crate) fn run(args: &Jobs) -> Result<(), Failure> {
    match &args.action {
        JobsAction::List { store, state, model, max } => {
            let opened = Opened::open(&store.folder)?;
            let mut filter = JobFilter { state: *state, max: *max, ..JobFilter::default() };
            filter.model = model.as_deref().map(Into::into);
            let (all, listed) = (opened.list(JobFilter::default())?, opened.list(filter)?);
            let now = SystemTime::now();
            terminal::print(&if store.json {
                format!("{:#}\n", told::list_json(&all, &listed))
            } else {
                told::list(&all, &listed, now)
            });
            Ok(())
        }
        JobsAction::Show { store, job } => {
            let opened = Opened::open(&store.folder)?;
            let status = opened.find(job)?;
            terminal::print(&if store.json {
                format!("{:#}\n", unruffled_server::job_status(&status))
            } else {
                told::page(&status, SystemTime::now(), &store.folder.display().to_string())
            });
            Ok(())
        }
        JobsAction::Cancel { store, jobs } => each(store, jobs, |opened, id| {
            let answer = opened.ask(opened.queue.cancel(SystemTime::now(), id))?;
            match answer {
                CancelAnswer::Removed => Ok("cancelled"),
                // Nobody runs it while the store is open here: it is queued again, or ends.
                CancelAnswer::Asked => Ok("will be cancelled"),
                CancelAnswer::TooLate | CancelAnswer::Unknown => {
                    Err(Failure::new(Exit::Input, format!("job {id} has ended already")))
                }
            }
        }),
        JobsAction::Requeue { store, jobs, all: false } => each(store, jobs, requeue),
        JobsAction::Requeue { store, all: true, .. } => {
            let opened = Opened::open(&store.folder)?;
            let failed = opened.list(JobFilter::default().with_state(JobState::Failed))?;
            let ids: Vec<_> = failed.iter().map(|status| status.id).collect();
            opened.each(store, &ids, requeue)
        }
        JobsAction::Drop { store, jobs } => each(store, jobs, |opened, id| {
            opened.ask(opened.queue.forget(SystemTime::now(), id))?;
            Ok("dropped")
        }),
        JobsAction::Export { folder, job, input, output } => {
            let opened = Opened::open(folder)?;
            let status = opened.find(job)?;
            let payload = export::payload(&opened, &status, *input)?;
            export::write(&export::readable(&status, &payload)?, output.as_deref())
        }
    }
}

fn requeue(opened: &Opened, id: JobId) -> Result<&'static str, Failure> {
    opened.ask(opened.queue.requeue(SystemTime::now(), id))?;
    Ok("queued again")
}

/// Does something to each of the jobs that were named.
fn each(
    store: &Store,
    jobs: &[String],
    act: impl Fn(&Opened, JobId) -> Result<&'static str, Failure>,
) -> Result<(), Failure> {
    let opened = Opened::open(&store.folder)?;
    // All names first: one that is mistyped should not leave half of the work done.
    let ids =
        jobs.iter().map(|job| opened.find(job).map(|status| status.id)).collect::<Result<Vec<_>, _>>()?;
    opened.each(store, &ids, act)
}

/// A store that is open, and the little that drives its futures.
struct Opened {
    queue: DurableJobs,
    runtime: Runtime,
}

impl Opened {
    fn open(folder: &Path) -> Result<Self, Failure> {
        if !DurableJobs::exists(folder) {
            let message = format!("there is no job store in `{}`", folder.display());
            return Err(Failure::new(Exit::Input, message)
                .hint("the folder that a program gave to `DurableJobs::open`; it has a file jobs.redb"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("no runtime: {error}")))?;
        // Nothing is taken in here: the limits of whoever fills the store are not known, and none are set.
        let limits = JobLimits::default()
            .with_jobs(usize::MAX)
            .with_bytes(u64::MAX)
            .with_keep_max(Duration::MAX)
            .with_keep_failed(Duration::MAX)
            .with_kept(usize::MAX)
            .with_kept_bytes(u64::MAX);
        let queue = runtime.block_on(DurableJobs::open(folder, limits));
        let queue = queue.map_err(|error| match error.kind() {
            ErrorKind::Unreadable => Failure::new(Exit::Input, error.to_string()),
            _ => Failure::asking(error),
        })?;
        Ok(Self { queue, runtime })
    }

    fn ask<T>(&self, future: QueueFuture<'_, T>) -> Result<T, Failure> {
        self.runtime.block_on(future).map_err(Failure::asking)
    }

    fn list(&self, filter: JobFilter) -> Result<Vec<JobStatus>, Failure> {
        self.ask(self.queue.list(filter))
    }

    /// The job that is meant by its name, or by its last letters.
    fn find(&self, word: &str) -> Result<JobStatus, Failure> {
        let all = self.list(JobFilter::default())?;
        let ending = word.to_ascii_lowercase();
        let mut found = all.into_iter().filter(|status| status.id.to_string().ends_with(&ending));
        match (found.next(), found.next()) {
            (Some(status), None) if ending.len() >= ENDING_MIN => Ok(status),
            (Some(_), Some(_)) => {
                let message = format!("several jobs end with `{word}`");
                Err(Failure::new(Exit::Input, message).hint("more of its letters"))
            }
            _ => {
                let message = format!("there is no job `{word}`");
                Err(Failure::new(Exit::Input, message).hint("unruffled jobs list STORE"))
            }
        }
    }

    /// Does something to each of these jobs, and says so.
    fn each(
        &self,
        store: &Store,
        ids: &[JobId],
        act: impl Fn(&Opened, JobId) -> Result<&'static str, Failure>,
    ) -> Result<(), Failure> {
        let mut done = Vec::new();
        let mut failed = None;
        for id in ids {
            match act(self, *id) {
                Ok(what) => done.push((*id, what)),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        // What was done is said, also if the next one failed.
        terminal::print(&if store.json {
            format!("{:#}\n", told::done_json(&done))
        } else {
            told::done(&done)
        });
        failed.map_or(Ok(()), Err)
    }
}
