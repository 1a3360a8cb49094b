//! The sessions of a model: who may call, whose turn it is, what is kept, and until when. Plain data: it takes `now` as an
//! argument, and what is to be dropped or woken is left to whoever asks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use unruffled_model::Name;

use super::options::SequenceOptions;
use crate::error::{Error, ErrorKind};

/// Tells sessions apart, also those that have had the same name.
pub(super) type Key = u64;

/// Tells calls apart, in the order in which they came.
pub(super) type CallId = u64;

/// Why a session takes no calls any more, as those know it who hold it.
pub(super) type Gone = Arc<OnceLock<Error>>;

/// All sessions of one model. A job `J` is a call that waits, a run `R` one that the model has.
pub(super) struct Table<J, R, S> {
    options: SequenceOptions,
    sessions: HashMap<Key, Course<J, R, S>>,
    /// Those that can be found.
    names: HashMap<Name, Key>,
    due: BTreeSet<(Instant, Due)>,
    /// Of states and waiting calls.
    bytes: usize,
    waiting: usize,
    running: usize,
    /// Why no session can begin any more.
    closed: Option<Error>,
    next_key: Key,
    next_call: CallId,
    /// States that nobody needs any more: dropping them runs the callers' code.
    swept: Vec<Arc<S>>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A call that waits is late.
    Late(Key, CallId),
    /// A session has been idle for long enough.
    Idle(Key),
}

/// One session.
struct Course<J, R, S> {
    name: Name,
    state: Arc<S>,
    state_bytes: usize,
    /// Calls that have changed the state.
    steps: u64,
    turn: Turn<R>,
    line: VecDeque<Waiting<J>>,
    idle_until: Option<Instant>,
    /// Set when it takes no calls any more; it goes when those that it has are over.
    gone: Gone,
}

/// Whose turn it is in a session.
enum Turn<R> {
    /// Nobody's.
    Free,
    /// A call's, and somebody looks after it just now; `again` if there is a reason to look once more.
    Away { again: bool },
    /// A call's, which the model has.
    Here(R),
}

/// A call that waits for those before it.
pub(super) struct Waiting<J> {
    pub(super) call: CallId,
    pub(super) job: J,
    bytes: usize,
    deadline: Option<Instant>,
}

/// What whoever looks after a session has to do.
pub(super) enum Next<J, R, S> {
    /// Nothing, or somebody else does it.
    Nothing,
    /// See how the call is doing that the model has.
    Look(R),
    /// Send the next call, with this state.
    Begin(J, Arc<S>),
}

/// What a session begins with.
pub(super) struct Beginning<S> {
    pub(super) state: Arc<S>,
    pub(super) bytes: usize,
    pub(super) steps: u64,
}

/// A session that has begun, or was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) name: Name,
    pub(super) gone: Gone,
}

/// How sessions are doing, counted.
pub(super) struct Counts {
    pub(super) sessions: usize,
    pub(super) waiting: usize,
    pub(super) running: usize,
    pub(super) bytes: usize,
}

impl<J, R, S> Table<J, R, S> {
    pub(super) fn new(options: SequenceOptions) -> Self {
        Self {
            options,
            sessions: HashMap::new(),
            names: HashMap::new(),
            due: BTreeSet::new(),
            bytes: 0,
            waiting: 0,
            running: 0,
            closed: None,
            next_key: 0,
            next_call: 0,
            swept: Vec::new(),
        }
    }

    /// Begins a session; one with a name can be found by it.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        name: Option<Name>,
        beginning: Beginning<S>,
    ) -> Result<Found, Error> {
        let Beginning { state, bytes, steps } = beginning;
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        // Whoever is due makes room, though the timer may not have come to it yet.
        self.expire_idle(now);
        if let Some(name) = name.as_ref().filter(|name| self.names.contains_key(*name)) {
            let message = format!("session `{name}` is there already; end it first, or take another name");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let most = self.options.sessions;
        if self.sessions.len() >= most {
            let message = format!("there are {most} sessions, and no more may be; end one first");
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        self.has_room(bytes)?;
        let key = self.next_key;
        self.next_key += 1;
        if let Some(name) = &name {
            self.names.insert(name.clone(), key);
        }
        let name = name.unwrap_or_else(|| key.to_string().into());
        let gone = Gone::default();
        let found = Found { key, name: name.clone(), gone: Arc::clone(&gone) };
        self.bytes += bytes;
        let course = Course {
            name,
            state,
            state_bytes: bytes,
            steps,
            turn: Turn::Free,
            line: VecDeque::new(),
            idle_until: None,
            gone,
        };
        self.sessions.insert(key, course);
        self.rest(now, key);
        Ok(found)
    }

    /// The session of this name.
    pub(super) fn get(&mut self, now: Instant, name: &str) -> Result<Found, Error> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        self.expire_idle(now);
        let course = self.names.get(name).and_then(|key| Some((*key, self.sessions.get(key)?)));
        match course {
            Some((key, course)) => {
                Ok(Found { key, name: course.name.clone(), gone: Arc::clone(&course.gone) })
            }
            None => {
                let message =
                    format!("there is no session `{name}`: it never began, has ended or has expired");
                Err(Error::new(ErrorKind::NotFound, message))
            }
        }
    }

    /// Takes a call in, behind those of its session. What is refused comes back, to be dropped elsewhere.
    pub(super) fn call(
        &mut self,
        now: Instant,
        key: Key,
        job: J,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> Result<CallId, (Error, J)> {
        self.expire_idle(now);
        let Some(course) = self.sessions.get(&key) else {
            return Err((Error::new(ErrorKind::NotFound, "the session has ended"), job));
        };
        if let Some(error) = course.gone.get() {
            return Err((error.clone(), job));
        }
        let refused = if deadline.is_some_and(|deadline| deadline <= now) {
            Some(Error::new(ErrorKind::DeadlineExceeded, "the deadline had passed on arrival"))
        } else if course.line.len() >= self.options.waiting {
            let (name, most) = (&course.name, self.options.waiting);
            let message = format!("{most} calls of session `{name}` wait already; await one first");
            Some(Error::new(ErrorKind::Overloaded, message))
        } else {
            self.has_room(bytes).err()
        };
        let course = self.sessions.get_mut(&key).expect("just seen");
        if let Some(until) = course.idle_until.take() {
            self.due.remove(&(until, Due::Idle(key)));
        }
        if let Some(error) = refused {
            // Somebody is there, though it was in vain.
            self.rest(now, key);
            return Err((error, job));
        }
        let call = self.next_call;
        self.next_call += 1;
        course.line.push_back(Waiting { call, job, bytes, deadline });
        self.bytes += bytes;
        self.waiting += 1;
        self.due.extend(deadline.map(|deadline| (deadline, Due::Late(key, call))));
        Ok(call)
    }

    /// What is to be done for a session; whoever is told to do something does it, and then [`settle`](Self::settle)s or
    /// [`put`](Self::put_back)s it back.
    pub(super) fn turn(&mut self, key: Key) -> Next<J, R, S> {
        let Some(course) = self.sessions.get_mut(&key) else { return Next::Nothing };
        match std::mem::replace(&mut course.turn, Turn::Away { again: false }) {
            // Here -> Away
            Turn::Here(run) => Next::Look(run),
            // Away -> Away: whoever is at it looks again.
            Turn::Away { .. } => {
                course.turn = Turn::Away { again: true };
                Next::Nothing
            }
            // Free -> Away, or not
            Turn::Free => match course.line.pop_front() {
                Some(waiting) => {
                    let state = Arc::clone(&course.state);
                    self.running += 1;
                    Next::Begin(self.taken_out(key, waiting).job, state)
                }
                None => {
                    course.turn = Turn::Free;
                    Next::Nothing
                }
            },
        }
    }

    /// Away -> Here: the call goes on. What comes back is to be looked at once more.
    pub(super) fn put_back(&mut self, key: Key, run: R) -> Option<R> {
        let course = self.sessions.get_mut(&key).expect("a session stays while a call of it goes on");
        match course.turn {
            Turn::Away { again: true } => {
                course.turn = Turn::Away { again: false };
                Some(run)
            }
            _ => {
                course.turn = Turn::Here(run);
                None
            }
        }
    }

    /// Whether a session may keep a state of so many bytes in place of the one that it has.
    pub(super) fn may_keep(&self, key: Key, bytes: usize) -> Result<(), Error> {
        let kept = self.sessions.get(&key).map_or(0, |course| course.state_bytes);
        self.has_room(bytes.saturating_sub(kept))
    }

    /// Away -> Free: a call is over, and has left this state, or the one that was there before it.
    pub(super) fn settle(&mut self, now: Instant, key: Key, state: Option<(Arc<S>, usize)>) {
        let course = self.sessions.get_mut(&key).expect("a session stays while a call of it goes on");
        course.turn = Turn::Free;
        self.running -= 1;
        if let Some((state, bytes)) = state {
            self.swept.push(std::mem::replace(&mut course.state, state));
            self.bytes = self.bytes - course.state_bytes + bytes;
            course.state_bytes = bytes;
            course.steps += 1;
        }
        self.rest(now, key);
    }

    /// Takes a call out of the line, if it waits there.
    pub(super) fn leave(&mut self, now: Instant, key: Key, call: CallId) -> Option<J> {
        let course = self.sessions.get_mut(&key)?;
        let at = course.line.iter().position(|waiting| waiting.call == call)?;
        let waiting = course.line.remove(at)?;
        let job = self.taken_out(key, waiting).job;
        self.rest(now, key);
        Some(job)
    }

    /// Takes no more calls of a session in, and frees its name; it goes when those that it has are over.
    pub(super) fn end(&mut self, now: Instant, key: Key) {
        let Some(course) = self.sessions.get(&key) else { return };
        let message = format!("session `{}` has ended; begin another", course.name);
        course.gone.get_or_init(|| Error::new(ErrorKind::NotFound, message));
        self.forget_name(key);
        self.rest(now, key);
    }

    /// Ends every session with `error`. What waits comes back, to be told; what runs goes on.
    pub(super) fn close(&mut self, now: Instant, error: &Error) -> Vec<J> {
        self.closed.get_or_insert_with(|| error.clone());
        let keys: Vec<Key> = self.sessions.keys().copied().collect();
        let mut told = Vec::new();
        for key in keys {
            let course = self.sessions.get_mut(&key).expect("nobody has taken it out");
            course.gone.get_or_init(|| error.clone());
            for waiting in std::mem::take(&mut course.line) {
                told.push(self.taken_out(key, waiting).job);
            }
            self.rest(now, key);
        }
        told
    }

    /// Ends what is due: idle sessions, and calls that are late, which come back to be told.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<J> {
        let mut late = Vec::new();
        while let Some((_, due)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            match due {
                Due::Late(key, call) => late.extend(self.leave(now, key, call)),
                Due::Idle(key) => self.expire_one(key),
            }
        }
        late
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What a session keeps: its state, and how many calls have changed it.
    pub(super) fn kept(&self, key: Key) -> Option<(Arc<S>, u64)> {
        self.sessions.get(&key).map(|course| (Arc::clone(&course.state), course.steps))
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            sessions: self.sessions.len(),
            waiting: self.waiting,
            running: self.running,
            bytes: self.bytes,
        }
    }

    /// What is to be dropped once the lock is let go.
    pub(super) fn sweep(&mut self) -> Vec<Arc<S>> {
        std::mem::take(&mut self.swept)
    }

    fn has_room(&self, bytes: usize) -> Result<(), Error> {
        let most = self.options.bytes;
        if self.bytes.saturating_add(bytes) <= most {
            return Ok(());
        }
        let kept = self.bytes;
        let message = format!("sessions keep {kept} bytes; with {bytes} more it would be above {most}");
        Err(Error::new(ErrorKind::Overloaded, message))
    }

    /// A call has left the line.
    fn taken_out(&mut self, key: Key, waiting: Waiting<J>) -> Waiting<J> {
        self.bytes -= waiting.bytes;
        self.waiting -= 1;
        if let Some(deadline) = waiting.deadline {
            self.due.remove(&(deadline, Due::Late(key, waiting.call)));
        }
        waiting
    }

    /// A session has nothing to do: it goes, if it was to, or is idle from now on.
    fn rest(&mut self, now: Instant, key: Key) {
        let Some(course) = self.sessions.get_mut(&key) else { return };
        if !matches!(course.turn, Turn::Free) || !course.line.is_empty() {
            return;
        }
        if course.gone.get().is_some() {
            return self.remove(key);
        }
        if course.idle_until.is_none() {
            course.idle_until = self.options.idle.and_then(|idle| now.checked_add(idle));
            self.due.extend(course.idle_until.map(|until| (until, Due::Idle(key))));
        }
    }

    fn expire_idle(&mut self, now: Instant) {
        let idle = self.due.iter().take_while(|(at, _)| *at <= now);
        let idle = idle.filter_map(|(_, due)| match due {
            Due::Idle(key) => Some(*key),
            Due::Late(..) => None,
        });
        idle.collect::<Vec<_>>().into_iter().for_each(|key| self.expire_one(key));
    }

    fn expire_one(&mut self, key: Key) {
        let idle = self.options.idle.unwrap_or_default();
        if let Some(course) = self.sessions.get(&key) {
            let message = format!(
                "session `{}` has expired: no call came for {idle:?}; begin another, or restore a snapshot of it",
                course.name
            );
            course.gone.get_or_init(|| Error::new(ErrorKind::NotFound, message));
            self.remove(key);
        }
    }

    fn remove(&mut self, key: Key) {
        self.forget_name(key);
        let Some(course) = self.sessions.remove(&key) else { return };
        debug_assert!(course.line.is_empty(), "a call is lost with its session");
        if let Some(until) = course.idle_until {
            self.due.remove(&(until, Due::Idle(key)));
        }
        self.bytes -= course.state_bytes;
        self.swept.push(course.state);
    }

    /// Another may have the name now.
    fn forget_name(&mut self, key: Key) {
        if let Some(course) = self.sessions.get(&key)
            && self.names.get(&course.name) == Some(&key)
        {
            self.names.remove(&course.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Beginning, Key, Next, Table};
    use crate::error::ErrorKind;
    use crate::sequence::SequenceOptions;

    type Plain = Table<&'static str, &'static str, u32>;

    fn table(options: SequenceOptions) -> (Plain, Instant) {
        (Table::new(options.with_idle(Duration::from_secs(10))), Instant::now())
    }

    fn begin(table: &mut Plain, now: Instant, name: &str) -> Key {
        let beginning = Beginning { state: Arc::new(0), bytes: 0, steps: 0 };
        table.begin(now, Some(name.into()), beginning).unwrap().key
    }

    fn call(table: &mut Plain, now: Instant, key: Key, job: &'static str) -> Result<u64, ErrorKind> {
        table.call(now, key, job, 1, None).map_err(|(error, _)| error.kind())
    }

    /// Has the next call begun, and tells it with the state that it was given.
    fn began(table: &mut Plain, key: Key) -> Option<(&'static str, u32)> {
        match table.turn(key) {
            Next::Begin(job, state) => Some((job, *state)),
            Next::Look(_) | Next::Nothing => None,
        }
    }

    #[test]
    fn calls_take_turns() {
        let (mut table, now) = table(SequenceOptions::default());
        let key = begin(&mut table, now, "a");
        assert!(began(&mut table, key).is_none(), "nobody has called");
        for job in ["first", "second", "third"] {
            call(&mut table, now, key, job).unwrap();
        }
        assert_eq!(began(&mut table, key), Some(("first", 0)));
        assert!(table.put_back(key, "run").is_none());
        assert!(matches!(table.turn(key), Next::Look("run")), "the model has it: nothing else begins");
        table.settle(now, key, Some((Arc::new(7), 4)));
        assert_eq!(began(&mut table, key), Some(("second", 7)), "from what the first has left");
        table.settle(now, key, None);
        assert_eq!(began(&mut table, key), Some(("third", 7)), "the second has changed nothing");
        assert_eq!(table.kept(key).unwrap().1, 1);
    }

    #[test]
    fn who_comes_while_somebody_is_at_it_is_heard() {
        let (mut table, now) = table(SequenceOptions::default());
        let key = begin(&mut table, now, "a");
        call(&mut table, now, key, "call").unwrap();
        began(&mut table, key).unwrap();
        assert!(matches!(table.turn(key), Next::Nothing));
        assert_eq!(table.put_back(key, "run"), Some("run"), "look again");
        assert_eq!(table.put_back(key, "run"), None);
    }

    #[test]
    fn everything_is_bounded() {
        let options = SequenceOptions::default().with_sessions(2).with_waiting(2).with_bytes(10);
        let (mut table, now) = table(options);
        let (a, b) = (begin(&mut table, now, "a"), begin(&mut table, now, "b"));
        let beginning = || Beginning { state: Arc::new(0), bytes: 0, steps: 0 };
        assert_eq!(table.begin(now, None, beginning()).unwrap_err().kind(), ErrorKind::Overloaded);
        call(&mut table, now, a, "1").unwrap();
        call(&mut table, now, a, "2").unwrap();
        assert_eq!(call(&mut table, now, a, "3"), Err(ErrorKind::Overloaded), "two wait");
        began(&mut table, a).unwrap();
        call(&mut table, now, a, "3").unwrap();
        let heavy =
            |table: &mut Plain, bytes| table.call(now, b, "heavy", bytes, None).map_err(|(e, _)| e.kind());
        assert_eq!(heavy(&mut table, 9), Err(ErrorKind::Overloaded), "2 bytes wait");
        assert!(table.may_keep(a, 9).is_err() && table.may_keep(a, 8).is_ok());
        table.settle(now, a, Some((Arc::new(1), 8)));
        assert_eq!(heavy(&mut table, 1), Err(ErrorKind::Overloaded), "states count");
        assert!(table.may_keep(a, 8).is_ok(), "in place of the one that is there");
        assert_eq!(table.counts().bytes, 10);
    }

    #[test]
    fn a_session_expires_when_it_has_been_idle() {
        let (mut table, begin_at) = table(SequenceOptions::default());
        let at = |seconds| begin_at + Duration::from_secs(seconds);
        let key = begin(&mut table, at(0), "a");
        assert_eq!(table.next_due(), Some(at(10)));
        call(&mut table, at(9), key, "call").unwrap();
        assert_eq!(table.next_due(), None, "it has something to do");
        began(&mut table, key).unwrap();
        assert!(table.expire(at(100)).is_empty());
        table.settle(at(100), key, None);
        assert_eq!(table.next_due(), Some(at(110)));
        // The timer is late; the caller is not.
        assert_eq!(call(&mut table, at(110), key, "late"), Err(ErrorKind::NotFound));
        assert_eq!(table.get(at(110), "a").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!((table.counts().sessions, table.next_due()), (0, None));
        begin(&mut table, at(110), "a");
    }

    #[test]
    fn an_ended_session_goes_with_its_last_call() {
        let (mut table, now) = table(SequenceOptions::default());
        let key = begin(&mut table, now, "a");
        call(&mut table, now, key, "running").unwrap();
        began(&mut table, key).unwrap();
        let waits = call(&mut table, now, key, "waiting").unwrap();
        table.end(now, key);
        assert_eq!(call(&mut table, now, key, "more"), Err(ErrorKind::NotFound));
        table.settle(now, key, None);
        assert_eq!(table.counts().sessions, 1, "one still waits");
        assert_eq!(table.leave(now, key, waits), Some("waiting"));
        assert_eq!(table.counts().sessions, 0);
    }

    #[test]
    fn closing_ends_all_and_lets_what_runs_go_on() {
        let (mut table, now) = table(SequenceOptions::default());
        let (a, b) = (begin(&mut table, now, "a"), begin(&mut table, now, "b"));
        call(&mut table, now, a, "running").unwrap();
        began(&mut table, a).unwrap();
        call(&mut table, now, a, "waiting").unwrap();
        let error = crate::error::Error::new(ErrorKind::ShuttingDown, "down");
        assert_eq!(table.close(now, &error), ["waiting"]);
        assert_eq!((table.counts().sessions, table.kept(b)), (1, None));
        table.settle(now, a, None);
        let counts = table.counts();
        assert_eq!((counts.sessions, counts.waiting, counts.running, counts.bytes), (0, 0, 0, 0));
        let beginning = Beginning { state: Arc::new(0), bytes: 0, steps: 0 };
        assert_eq!(table.begin(now, None, beginning).unwrap_err().kind(), ErrorKind::ShuttingDown);
    }

    #[test]
    fn who_waits_too_long_is_late() {
        let (mut table, begin_at) = table(SequenceOptions::default());
        let at = |seconds| begin_at + Duration::from_secs(seconds);
        let key = begin(&mut table, at(0), "a");
        call(&mut table, at(0), key, "running").unwrap();
        began(&mut table, key).unwrap();
        table.call(at(0), key, "late", 1, Some(at(5))).unwrap();
        call(&mut table, at(0), key, "patient").unwrap();
        assert_eq!(table.next_due(), Some(at(5)));
        assert_eq!(table.expire(at(5)), ["late"]);
        let (error, _) = table.call(at(5), key, "past", 1, Some(at(5))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        table.settle(at(6), key, None);
        assert_eq!(began(&mut table, key), Some(("patient", 0)));
    }
}
