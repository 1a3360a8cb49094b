//! The writer: one thread that has the disk, decides what has gathered, and commits it in one transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use unruffled_engine::job::{
    Claim, ClaimCall, ClaimKey, Claimed, Ending, JobBoard, JobFailure, JobId, JobOutcome, JobRecord,
    JobState, JobTable, Payload, Stored, Submitted,
};
use unruffled_engine::{Error, ErrorKind};

use super::blobs::Side;
use super::disk::{Arrived, Disk, DiskError};
use super::inbox::{Ask, Inbox, Op, Reply};

pub(super) struct Writer {
    pub(super) folder: PathBuf,
    pub(super) inbox: Arc<Inbox>,
    pub(super) board: Arc<JobBoard>,
    pub(super) table: JobTable,
    /// None while a disk that has failed cannot be opened again.
    pub(super) disk: Option<Disk>,
}

/// An answer that is given once what it says is on disk.
type Answer = Box<dyn FnOnce(Result<&Writer, Error>) + Send>;

impl Writer {
    /// Serves until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        // Also if this thread panics, nobody is left to wait for it.
        let _closed = CloseInbox(Arc::clone(&self.inbox));
        while let Some(ops) = self.inbox.take() {
            let mut closing = Vec::new();
            self.serve(ops, &mut closing);
            if !closing.is_empty() {
                self.inbox.close();
                while let Some(ops) = self.inbox.take() {
                    self.serve(ops, &mut closing);
                }
                // Whoever hears that it is closed may open it.
                drop(self.disk.take());
                for reply in closing {
                    let _ = reply.send(Ok(()));
                }
                return;
            }
        }
    }

    /// Decides all, commits it together, and then tells everybody.
    fn serve(&mut self, ops: Vec<Op>, closing: &mut Vec<Reply<()>>) {
        let last = ops.last().map(|op| op.now);
        let (answers, outcome) = match self.whole(last) {
            Ok(()) => {
                let mut arrived = Arrived::default();
                let answers =
                    ops.into_iter().filter_map(|op| self.decide(op, &mut arrived, closing)).collect();
                (answers, self.commit(last, &arrived))
            }
            Err(error) => {
                // Nothing is decided: only the ways to answer are kept.
                let answers = ops.into_iter().filter_map(|op| refuse(op.ask, closing)).collect::<Vec<_>>();
                (answers, Err(error))
            }
        };
        for answer in answers {
            answer(outcome.as_ref().map(|()| &*self).map_err(Clone::clone));
        }
    }

    /// Opens a disk again that has failed before.
    fn whole(&mut self, now: Option<SystemTime>) -> Result<(), Error> {
        if self.disk.is_none() {
            let (disk, records) = Disk::open(&self.folder).map_err(|error| self.error(&error))?;
            self.disk = Some(disk);
            self.table = self.table.rebuilt(now.unwrap_or_else(SystemTime::now), records);
        }
        Ok(())
    }

    /// Brings what was decided to the disk, and shows it.
    fn commit(&mut self, now: Option<SystemTime>, arrived: &Arrived) -> Result<(), Error> {
        let changes = self.table.take_changes();
        if changes.is_empty() && !changes.is_news() {
            return Ok(());
        }
        let Some(mut disk) = self.disk.take() else { return Err(super::inbox::closed()) };
        if !changes.is_empty()
            && let Err(error) = disk.write(&self.table, &changes, arrived)
        {
            let error = self.error(&error);
            tracing::error!(%error, "what was decided about jobs cannot be written, and is taken back");
            // What was decided is not so: what the disk has is. A database that has failed once must be opened anew.
            match disk.reopen(&self.folder) {
                Ok((disk, records)) => {
                    self.disk = Some(disk);
                    self.table = self.table.rebuilt(now.unwrap_or_else(SystemTime::now), records);
                }
                Err(error) => tracing::error!(%error, "the job store cannot be opened again; trying later"),
            }
            return Err(error);
        }
        self.disk = Some(disk);
        self.board.post(&self.table, &changes).announce(&self.board);
        Ok(())
    }

    fn error(&self, error: &DiskError) -> Error {
        Error::new(ErrorKind::NotReady, format!("the job store `{}` {error}", self.folder.display()))
    }

    fn decide(&mut self, op: Op, arrived: &mut Arrived, closing: &mut Vec<Reply<()>>) -> Option<Answer> {
        let Op { now, ask } = op;
        match ask {
            Ask::Submit(job, reply) => {
                let submitted = self.table.submit(now, &job);
                if let Ok(Submitted::New) = submitted {
                    arrived.inputs.insert(job.id, job.input);
                }
                Some(after(reply, submitted))
            }
            Ask::Claim(call, reply) => {
                let claimed = self.claim(now, &call, arrived);
                Some(after(reply, Ok(claimed)))
            }
            Ask::Complete(key, outcome, reply) => {
                let stored = self.complete(now, key, outcome, arrived);
                Some(after(reply, Ok(stored)))
            }
            Ask::Release(key, release, reply) => {
                self.table.release(now, key, release);
                Some(after(reply, Ok(())))
            }
            Ask::Cancel(id, reply) => {
                let answer = self.table.cancel(now, id);
                Some(after(reply, Ok(answer)))
            }
            Ask::Requeue(id, reply) => {
                let requeued = self.table.requeue(now, id);
                Some(after(reply, requeued))
            }
            Ask::Forget(id, reply) => {
                let forgotten = self.table.forget(now, id);
                Some(after(reply, forgotten))
            }
            Ask::Sweep(reply) => {
                self.table.advance(now);
                Some(after(reply, Ok(())))
            }
            Ask::Outcome(id, reply) => Some(reading(reply, move |writer| writer.outcome(id))),
            Ask::Input(id, reply) => Some(reading(reply, move |writer| writer.input(id))),
            Ask::Results(reply) => Some(reading(reply, |writer| Ok(writer.disk()?.results()))),
            Ask::Close(reply) => {
                closing.push(reply);
                None
            }
        }
    }

    fn claim(&mut self, now: SystemTime, call: &ClaimCall, arrived: &Arrived) -> Claimed {
        let granted = self.table.claim(now, call);
        let mut claims = Vec::with_capacity(granted.keys.len());
        for key in granted.keys {
            match self.claimed(key, arrived) {
                Ok(claim) => claims.push(claim),
                Err(error) => {
                    let failure = JobFailure::new(ErrorKind::ModelFailed, error.message());
                    self.table.complete(now, key, Ending::Failed(failure));
                }
            }
        }
        Claimed { claims, withdrawn: granted.withdrawn, next: granted.next }
    }

    fn claimed(&self, key: ClaimKey, arrived: &Arrived) -> Result<Claim, Error> {
        let record = self.table.get(key.id).ok_or_else(super::inbox::closed)?;
        let input = match arrived.inputs.get(&key.id) {
            Some(input) => input.clone(),
            None => self.payload(key.id, Side::Input)?,
        };
        let (attempt, returned) = (record.attempts, record.returned);
        Ok(Claim { key, terms: record.terms.clone(), input, attempt, returned })
    }

    fn complete(
        &mut self,
        now: SystemTime,
        key: ClaimKey,
        outcome: JobOutcome,
        arrived: &mut Arrived,
    ) -> Stored {
        let (ending, result) = match outcome {
            JobOutcome::Done(result) => (Ending::Done(result.info()), Some(result)),
            JobOutcome::Failed(failure) => (Ending::Failed(failure), None),
            JobOutcome::Cancelled => (Ending::Cancelled, None),
        };
        let stored = self.table.complete(now, key, ending);
        if stored == Stored::First
            && let Some(result) = result
        {
            arrived.results.insert(key.id, result);
        }
        stored
    }

    fn outcome(&self, id: JobId) -> Result<Option<JobOutcome>, Error> {
        let Some(record) = self.table.get(id) else { return Ok(None) };
        Ok(match record.state {
            JobState::Queued | JobState::Running => None,
            JobState::Done => Some(JobOutcome::Done(self.payload(id, Side::Result)?)),
            JobState::Failed => record.failure.clone().map(JobOutcome::Failed),
            JobState::Cancelled => Some(JobOutcome::Cancelled),
        })
    }

    fn input(&self, id: JobId) -> Result<Option<Payload>, Error> {
        let needed = self.table.get(id).is_some_and(JobRecord::needs_input);
        needed.then(|| self.payload(id, Side::Input)).transpose()
    }

    fn payload(&self, id: JobId, side: Side) -> Result<Payload, Error> {
        let record = self.table.get(id).ok_or_else(super::inbox::closed)?;
        let info = match side {
            Side::Input => Some(&record.input),
            Side::Result => record.result.as_ref(),
        };
        let info = info.ok_or_else(super::inbox::closed)?;
        self.disk()?.payload(id, side, info).map_err(|error| self.error(&error))
    }

    fn disk(&self) -> Result<&Disk, Error> {
        self.disk.as_ref().ok_or_else(super::inbox::closed)
    }
}

/// Answers with what was decided, once that is on disk.
fn after<T: Send + 'static>(reply: Reply<T>, decided: Result<T, Error>) -> Answer {
    Box::new(move |committed| {
        // Whoever asked may have gone.
        let _ = reply.send(committed.and(decided));
    })
}

/// Answers with what is there once all of the batch is on disk.
fn reading<T: Send + 'static>(
    reply: Reply<T>,
    read: impl FnOnce(&Writer) -> Result<T, Error> + Send + 'static,
) -> Answer {
    Box::new(move |committed| {
        let _ = reply.send(committed.and_then(read));
    })
}

/// How to say that nothing was decided.
fn refuse(ask: Ask, closing: &mut Vec<Reply<()>>) -> Option<Answer> {
    fn no<T: Send + 'static>(reply: Reply<T>) -> Option<Answer> {
        Some(after(reply, Err(super::inbox::closed())))
    }
    match ask {
        Ask::Submit(_, reply) => no(reply),
        Ask::Claim(_, reply) => no(reply),
        Ask::Complete(_, _, reply) => no(reply),
        Ask::Cancel(_, reply) => no(reply),
        Ask::Release(_, _, reply) | Ask::Requeue(_, reply) | Ask::Forget(_, reply) | Ask::Sweep(reply) => {
            no(reply)
        }
        Ask::Outcome(_, reply) => no(reply),
        Ask::Input(_, reply) => no(reply),
        Ask::Results(reply) => no(reply),
        Ask::Close(reply) => {
            closing.push(reply);
            None
        }
    }
}

/// Lets nobody wait for a thread that is gone: what still waits is dropped, and hears of it by that.
struct CloseInbox(Arc<Inbox>);

impl Drop for CloseInbox {
    fn drop(&mut self) {
        self.0.close();
        drop(self.0.take());
    }
}
