//! [`DurableJobs`]: a queue of jobs in a folder, for one process at a time.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::oneshot;
use unruffled_engine::job::{
    CancelAnswer, ClaimCall, ClaimKey, Claimed, JobBoard, JobEvents, JobFilter, JobId, JobLimits, JobOutcome,
    JobProgress, JobQueue, JobStatus, JobTable, NewJob, Payload, QueueFuture, Release, Stored, Submitted,
};

use super::disk::{self, Disk};
use super::inbox::{self, Ask, Inbox, Reply};
use super::writer::Writer;
use crate::error::{Error, ErrorKind};

/// A queue of jobs on disk: what is accepted survives the process, and its result is stored once.
///
/// It lives in a folder of its own: a database, and large payloads as files beside it. One thread has both, commits what has
/// gathered in one transaction, and answers when that is on disk; states are read from memory, without waiting. One process
/// has it at a time.
///
/// When a process dies, the next one that opens the folder finds all that was accepted. What was running is begun again, as
/// often as the job allows; a job may therefore *run* more than once, but has one result.
///
/// ```
/// use std::sync::Arc;
/// use unruffled::engine::job::JobLimits;
/// use unruffled::{DurableJobs, Engine, JobsOptions, Load, sample};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), unruffled::Error> {
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path().join("jobs");
/// let engine = Engine::new();
/// let jobs = DurableJobs::open(&folder, JobLimits::default()).await?;
/// engine.use_jobs(Arc::new(jobs), JobsOptions::default())?;
///
/// engine.load_folder(&sample::digits())?.await?;
/// let job = engine.jobs().submit("digits", sample::seven()).key("picture-17").await?;
/// let outputs = job.wait().await?;
/// assert!(outputs.get("probabilities").is_some());
/// # Ok(())
/// # }
/// ```
pub struct DurableJobs {
    limits: JobLimits,
    inbox: Arc<Inbox>,
    board: Arc<JobBoard>,
}

impl DurableJobs {
    /// Opens the store in a folder, or makes one there.
    ///
    /// # Errors
    ///
    /// `Unreadable` if another process has it, if it is damaged or of a newer version, or if the disk cannot be read or written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the store is opened and closed again.
    pub async fn open(folder: impl Into<PathBuf>, limits: JobLimits) -> Result<Self, Error> {
        Self::open_at(folder, limits, SystemTime::now()).await
    }

    /// As [`open`](Self::open), at a time of the caller's choosing: it decides what is late by now.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Cancel safety
    ///
    /// As [`open`](Self::open).
    pub async fn open_at(
        folder: impl Into<PathBuf>,
        limits: JobLimits,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let folder = folder.into();
        let (opened, answer) = oneshot::channel();
        let (place, kept) = (folder.clone(), limits.clone());
        let (inbox, board) = (Arc::new(Inbox::new(limits.bytes())), Arc::new(JobBoard::default()));
        let (writers_inbox, writers_board) = (Arc::clone(&inbox), Arc::clone(&board));
        let thread = std::thread::Builder::new().name("unruffled-store".into()).spawn(move || {
            let (disk, records) = match Disk::open(&place) {
                Ok(found) => found,
                Err(error) => {
                    let _ = opened.send(Err(unreadable(&place, &error)));
                    return;
                }
            };
            let table = JobTable::restore(now, kept, records);
            writers_board.post_all(&table);
            let writer =
                Writer { folder: place, inbox: writers_inbox, board: writers_board, table, disk: Some(disk) };
            // Whoever opened it and has gone has closed the inbox.
            let _ = opened.send(Ok(()));
            writer.run();
        });
        thread.map_err(|error| unreadable(&folder, &format!("gets no thread: {error}")))?;
        // From here on: the writer ends when this is dropped, also before it has answered.
        let jobs = Self { limits, inbox, board };
        answer.await.map_err(|_| unreadable(&folder, &"cannot be opened: its thread panicked"))??;
        // What was running when the last process died is queued again on disk, not only here.
        jobs.sweep(now).await?;
        Ok(jobs)
    }

    /// Whether there is a store in a folder. Blocks: looks at the disk.
    pub fn exists(folder: impl AsRef<Path>) -> bool {
        disk::file(folder.as_ref()).is_file()
    }

    /// How many results were ever stored here, those included that are not kept any more: each counts once.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be read, `ShuttingDown` if it is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn results_stored(&self) -> Result<u64, Error> {
        Ok(self.ask(SystemTime::now(), Ask::Results).await?)
    }

    /// Closes the store: completes when another may open it. What was asked before is still done. Dropping the store does the
    /// same in its own time.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the store is closed in its own time.
    pub async fn close(&self) {
        // An error says that it is closed, or that its thread is gone.
        let _ = self.ask(SystemTime::now(), Ask::Close).await;
    }

    fn ask<T: Send + 'static>(
        &self,
        now: SystemTime,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> QueueFuture<'static, T> {
        let (reply, answer) = oneshot::channel();
        match self.inbox.put(now, ask(reply)) {
            Ok(()) => Box::pin(async move { answer.await.unwrap_or_else(|_| Err(inbox::closed())) }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

fn unreadable(folder: &Path, why: &dyn fmt::Display) -> Error {
    Error::new(ErrorKind::Unreadable, format!("the job store {why}")).in_file(folder)
}

impl Drop for DurableJobs {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl fmt::Debug for DurableJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableJobs").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl JobQueue for DurableJobs {
    fn limits(&self) -> &JobLimits {
        &self.limits
    }

    fn submit(&self, now: SystemTime, job: NewJob) -> QueueFuture<'_, Submitted> {
        self.ask(now, |reply| Ask::Submit(Box::new(job), reply))
    }

    fn claim(&self, now: SystemTime, call: ClaimCall) -> QueueFuture<'_, Claimed> {
        self.ask(now, |reply| Ask::Claim(call, reply))
    }

    fn complete(&self, now: SystemTime, claim: ClaimKey, outcome: JobOutcome) -> QueueFuture<'_, Stored> {
        self.ask(now, |reply| Ask::Complete(claim, outcome, reply))
    }

    fn release(&self, now: SystemTime, claim: ClaimKey, release: Release) -> QueueFuture<'_, ()> {
        self.ask(now, |reply| Ask::Release(claim, release, reply))
    }

    fn progress(&self, claim: ClaimKey, progress: JobProgress) {
        self.board.progress(claim.id, progress);
    }

    fn cancel(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, CancelAnswer> {
        self.ask(now, |reply| Ask::Cancel(id, reply))
    }

    fn requeue(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()> {
        self.ask(now, |reply| Ask::Requeue(id, reply))
    }

    fn forget(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()> {
        self.ask(now, |reply| Ask::Forget(id, reply))
    }

    fn sweep(&self, now: SystemTime) -> QueueFuture<'_, ()> {
        self.ask(now, Ask::Sweep)
    }

    fn status(&self, id: JobId) -> QueueFuture<'_, Option<JobStatus>> {
        Box::pin(std::future::ready(Ok(self.board.status(id))))
    }

    fn list(&self, filter: JobFilter) -> QueueFuture<'_, Vec<JobStatus>> {
        Box::pin(std::future::ready(Ok(self.board.list(&filter))))
    }

    fn outcome(&self, id: JobId) -> QueueFuture<'_, Option<JobOutcome>> {
        self.ask(SystemTime::now(), |reply| Ask::Outcome(id, reply))
    }

    fn input(&self, id: JobId) -> QueueFuture<'_, Option<Payload>> {
        self.ask(SystemTime::now(), |reply| Ask::Input(id, reply))
    }

    fn watch(&self, id: JobId) -> QueueFuture<'_, Option<JobEvents>> {
        Box::pin(std::future::ready(Ok(self.board.watch(id))))
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.board.changed()
    }
}
