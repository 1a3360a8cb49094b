//! [`Inbox`]: what the writer's thread is asked for, bounded.

use std::time::SystemTime;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use unruffled_engine::job::{
    CancelAnswer, ClaimCall, ClaimKey, Claimed, JobId, JobOutcome, NewJob, Payload, Release, Stored,
    Submitted,
};
use unruffled_engine::{Error, ErrorKind};

/// How many callers wait for the disk at a time. Runners are not counted: they ask for no more than they hold.
const WAITING_MAX: usize = 1024;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Something that is asked for.
pub(super) enum Ask {
    Submit(Box<NewJob>, Reply<Submitted>),
    Claim(ClaimCall, Reply<Claimed>),
    Complete(ClaimKey, JobOutcome, Reply<Stored>),
    Release(ClaimKey, Release, Reply<()>),
    Cancel(JobId, Reply<CancelAnswer>),
    Requeue(JobId, Reply<()>),
    Forget(JobId, Reply<()>),
    Sweep(Reply<()>),
    Outcome(JobId, Reply<Option<JobOutcome>>),
    Input(JobId, Reply<Option<Payload>>),
    Results(Reply<u64>),
    Close(Reply<()>),
}

impl Ask {
    /// Whether it comes from a runner, or is what ends all others.
    fn is_always_taken(&self) -> bool {
        matches!(self, Ask::Claim(..) | Ask::Complete(..) | Ask::Release(..) | Ask::Close(_))
    }

    /// The bytes that wait with it.
    fn bytes(&self) -> u64 {
        match self {
            Ask::Submit(job, _) => job.input.bytes.len() as u64,
            _ => 0,
        }
    }
}

/// What is asked for, and at what time.
pub(super) struct Op {
    pub(super) now: SystemTime,
    pub(super) ask: Ask,
}

/// What waits for the writer's thread.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    bytes_max: u64,
}

#[derive(Default)]
struct Waiting {
    ops: Vec<Op>,
    counted: usize,
    bytes: u64,
    closed: bool,
}

impl Inbox {
    /// One in which inputs of so many bytes may wait.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new(), bytes_max }
    }

    /// Hands something over. Never waits.
    pub(super) fn put(&self, now: SystemTime, ask: Ask) -> Result<(), Error> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(closed());
        }
        let bytes = ask.bytes();
        if !ask.is_always_taken() {
            if waiting.counted >= WAITING_MAX || waiting.bytes.saturating_add(bytes) > self.bytes_max {
                let (count, bytes) = (waiting.counted, waiting.bytes);
                let message = format!(
                    "{count} questions of {bytes} bytes wait for the disk of the job store; try again later"
                );
                return Err(Error::new(ErrorKind::Overloaded, message));
            }
            waiting.counted += 1;
            waiting.bytes += bytes;
        }
        waiting.ops.push(Op { now, ask });
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes no more. What waits is still done.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_one();
    }

    /// All that has gathered, as soon as there is anything; `None` when there will be nothing more.
    pub(super) fn take(&self) -> Option<Vec<Op>> {
        let mut waiting = self.waiting.lock();
        self.changed.wait_while(&mut waiting, |waiting| waiting.ops.is_empty() && !waiting.closed);
        (waiting.counted, waiting.bytes) = (0, 0);
        let ops = std::mem::take(&mut waiting.ops);
        (!ops.is_empty()).then_some(ops)
    }
}

/// The error of a store that is closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::ShuttingDown, "the job store is closed")
}
