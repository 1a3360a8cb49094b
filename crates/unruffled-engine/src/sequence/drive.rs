//! What keeps a session going: whoever has a reason looks after it, one at a time, and sends the next call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use unruffled_model::{Carrier, ModelError};

use super::answer::Answer;
use super::options::SequenceOptions;
use super::table::{CallId, Key, Next, Table};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Infer};
use crate::pool::{Demand, Follower};
use crate::request::{RequestOptions, Response};
use crate::sync::{discard, panic_text};
use crate::timer::{Alarm, AlarmHandle};

/// The sessions of one model, and what they need of it.
pub(super) struct Sessions<C: Carrier> {
    pub(super) handle: Handle<C::Input, C::Output>,
    pub(super) carrier: C,
    table: Mutex<Course<C>>,
    alarm: OnceLock<AlarmHandle>,
}

type Course<C> = Watched<Table<Job<C>, Running<C>, <C as Carrier>::State>>;

/// The table, and until when the timer is known to sleep.
struct Watched<T> {
    table: T,
    wakes_at: Option<Instant>,
}

/// A call that waits for its turn.
pub(super) struct Job<C: Carrier> {
    pub(super) item: C::Item,
    pub(super) options: RequestOptions,
    pub(super) answer: Arc<Answer<C::Reply>>,
    pub(super) came: Instant,
}

/// A call that the model has.
pub(super) struct Running<C: Carrier> {
    infer: Infer<C::Input, C::Output>,
    draft: C::Draft,
    answer: Arc<Answer<C::Reply>>,
    /// How long it has waited for those before it.
    waited: Duration,
}

/// A call that is over.
struct Over<C: Carrier> {
    answer: Arc<Answer<C::Reply>>,
    /// What it has left; `None` if nobody waits for it.
    left: Option<Left<C>>,
}

/// A reply and the next state, or why there is none.
type Left<C> = Result<(Response<<C as Carrier>::Reply>, <C as Carrier>::State), Error>;

impl<C: Carrier> Sessions<C> {
    pub(super) fn start(
        handle: Handle<C::Input, C::Output>,
        carrier: C,
        options: SequenceOptions,
    ) -> Result<Arc<Self>, Error> {
        let table = Mutex::new(Watched { table: Table::new(options), wakes_at: None });
        let sessions = Arc::new(Self { handle, carrier, table, alarm: OnceLock::new() });
        let alarm: Weak<dyn Alarm> = Arc::downgrade(&sessions) as Weak<dyn Alarm>;
        let pool = sessions.handle.pool();
        let fresh = sessions.alarm.set(pool.environment().timer.register(alarm)).is_ok();
        assert!(fresh, "sessions have one alarm");
        pool.follow(Arc::downgrade(&sessions) as Weak<dyn Follower>)?;
        Ok(sessions)
    }

    pub(super) fn now(&self) -> Instant {
        self.handle.pool().now()
    }

    /// Does something with the table. What becomes due and what becomes rubbish is seen to once its lock is let go.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Table<Job<C>, Running<C>, C::State>) -> T) -> T {
        let mut watched = self.table.lock();
        let result = act(&mut watched.table);
        let (swept, due) = (watched.table.sweep(), watched.table.next_due());
        let wake_by = due.filter(|due| watched.wakes_at.is_none_or(|at| *due < at));
        watched.wakes_at = wake_by.or(watched.wakes_at);
        drop(watched);
        if let (Some(due), Some(alarm)) = (wake_by, self.alarm.get()) {
            alarm.wake_by(due);
        }
        discard(swept);
        result
    }

    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<Box<str>>) -> Error {
        Error::new(kind, message).of_model(self.handle.name())
    }

    /// Looks after a session until it has to wait for the model, or has nothing to do.
    pub(super) fn drive(self: &Arc<Self>, key: Key, mut by: By) {
        loop {
            let running = match self.with(|table| table.turn(key)) {
                Next::Nothing => return,
                Next::Look(running) => Ok(running),
                // Those behind the first are others'.
                Next::Begin(job, state) => self.send(job, &state, std::mem::replace(&mut by, By::Another)),
            };
            let over = match running {
                Ok(running) => self.look(key, running),
                Err(over) => Some(over),
            };
            let Some(over) = over else { return };
            self.settle(key, over);
        }
    }

    /// Sends a call whose turn it is, unless it is over before that.
    fn send(&self, job: Job<C>, state: &Arc<C::State>, by: By) -> Result<Running<C>, Over<C>> {
        let Job { item, mut options, answer, came } = job;
        if !answer.is_open() {
            discard([item]);
            return Err(Over { answer, left: None });
        }
        let (input, draft) = match contained(|| self.carrier.attach(item, state)) {
            Ok(attached) => attached,
            Err(error) => return Err(Over { answer, left: Some(Err(self.told(error))) }),
        };
        options.elsewhere = by == By::Another;
        let (pool, now) = (self.handle.pool(), self.now());
        let infer = Infer::send(pool, now, Demand { input, options, outlet: None });
        Ok(Running { infer, draft, answer, waited: now.saturating_duration_since(came) })
    }

    /// Sees how a call is doing; `None` if it goes on.
    fn look(self: &Arc<Self>, key: Key, mut running: Running<C>) -> Option<Over<C>> {
        let waker = Waker::from(Arc::new(Nudge { sessions: Arc::downgrade(self), key }));
        let outcome = loop {
            if !running.answer.is_open() {
                let Running { infer, draft, answer, .. } = running;
                // This is what cancels it.
                drop(infer);
                discard([draft]);
                return Some(Over { answer, left: None });
            }
            match Pin::new(&mut running.infer).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(outcome) => break outcome,
                Poll::Pending => running = self.with(|table| table.put_back(key, running))?,
            }
        };
        let Running { draft, answer, waited, .. } = running;
        let left = match outcome {
            Err(error) => {
                discard([draft]);
                Err(error)
            }
            Ok(Response { output, id, mut timings, provenance }) => {
                timings.queue += waited;
                let carried = contained(|| self.carrier.detach(output, draft));
                let told = |(output, state)| (Response { output, id, timings, provenance }, state);
                carried.map(told).map_err(|error| self.told(error))
            }
        };
        Some(Over { answer, left: Some(left) })
    }

    /// A call is over: keeps the state that it has left, if its caller is told of it, and not otherwise.
    fn settle(&self, key: Key, over: Over<C>) {
        let Over { answer, left } = over;
        let now = self.now();
        let (reply, state) = match left {
            None => return self.with(|table| table.settle(now, key, None)),
            Some(Ok((reply, state))) => {
                let bytes = contained(|| Ok(self.carrier.state_bytes(&state)));
                (Ok(reply), Some((Arc::new(state), bytes.unwrap_or_default())))
            }
            Some(Err(error)) => (Err(error), None),
        };
        let (mut reply, mut unwanted) = (Some(reply), None);
        let (told, lost) = self.with(|table| {
            let too_large = state.as_ref().and_then(|(_, bytes)| table.may_keep(key, *bytes).err());
            if let Some(error) = too_large {
                unwanted = reply.replace(Err(error.of_model(self.handle.name())));
            }
            // Nobody can end the call otherwise from here on: its caller hears of what is kept.
            let told = answer.claim();
            let (kept, lost) = if told && unwanted.is_none() { (state, None) } else { (None, state) };
            table.settle(now, key, kept);
            (told, lost)
        });
        discard([(lost, unwanted)]);
        match (told, reply) {
            (true, Some(reply)) => answer.give(reply),
            (_, reply) => discard([reply]),
        }
    }

    /// A call has ended before its time: it leaves the line, or the model.
    pub(super) fn give_up(self: &Arc<Self>, key: Key, call: CallId) {
        let now = self.now();
        discard(self.with(|table| table.leave(now, key, call)).map(|job| job.item));
        self.drive(key, By::Another);
    }

    fn told(&self, error: ModelError) -> Error {
        Error::from_model(error).of_model(self.handle.name())
    }
}

/// Who looks after a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The caller whose call may be the next.
    Caller,
    /// Somebody else, on whose thread no model must run.
    Another,
}

/// Runs a carrier's code. What it throws is the call's, and not that of whoever happens to look after the session.
fn contained<T>(act: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|payload| {
        let text = panic_text(&*payload);
        Err(ModelError::failed(format!("the state could not be carried on: panicked: {text}")))
    })
}

/// What a model wakes when it has answered a session's call.
struct Nudge<C: Carrier> {
    sessions: Weak<Sessions<C>>,
    key: Key,
}

impl<C: Carrier> Wake for Nudge<C> {
    fn wake(self: Arc<Self>) {
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.drive(self.key, By::Another);
        }
    }
}

impl<C: Carrier> Alarm for Sessions<C> {
    fn fire(&self, now: Instant) -> Option<Instant> {
        let (late, next) = {
            let mut watched = self.table.lock();
            let late = watched.table.expire(now);
            watched.wakes_at = watched.table.next_due();
            (late, watched.wakes_at)
        };
        // What has expired is swept up, too.
        self.with(|_| ());
        for Job { item, answer, .. } in late {
            answer.fail(|| {
                self.error(ErrorKind::DeadlineExceeded, "the deadline passed before its turn in the session")
            });
            discard([item]);
        }
        next
    }
}

impl<C: Carrier> Follower for Sessions<C> {
    fn ended(&self, error: &Error) {
        let now = self.now();
        for Job { item, answer, .. } in self.with(|table| table.close(now, error)) {
            answer.fail(|| error.clone());
            discard([item]);
        }
    }
}
