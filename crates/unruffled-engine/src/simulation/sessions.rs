//! Sessions: callers who ask again and again, each time from what the time before has left.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::{Caller, Carrier, ModelError};

use super::callers::{Diary, Scope};
use super::played::{Input, answer_to};
use super::trace::{At, Event, Id, Micros};
use crate::error::Error;
use crate::handle::{Canceller, Handle};
use crate::sequence::{SequenceOptions, SequenceStatus, Sequences, Session, SessionInfer, Snapshot};
use crate::timer::{Sleep, Timer};

/// How the sessions of a model are bounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) sessions: usize,
    pub(super) bytes: usize,
    pub(super) waiting: usize,
    pub(super) idle: Micros,
}

impl Limits {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            sessions: rng.usize(1..6),
            bytes: rng.usize(60..600),
            waiting: rng.usize(1..6),
            idle: rng.u64(300..8_000),
        }
    }

    fn options(self) -> SequenceOptions {
        SequenceOptions::default()
            .with_sessions(self.sessions)
            .with_bytes(self.bytes)
            .with_waiting(self.waiting)
            .with_idle(Duration::from_micros(self.idle))
    }
}

/// What happens to one session.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// It began with this state, after so many steps.
    Began { idle: Micros, state: u64, steps: u64 },
    /// It could not begin.
    Refused,
    /// It was called.
    Called(Id),
    /// It was asked what it keeps.
    Kept { state: u64, steps: u64 },
    /// It was ended.
    Ended,
    /// How all sessions of a model are doing.
    Status { model: At, limits: Limits, status: SequenceStatus },
}

/// What a state makes of an answer.
fn blend(state: u64) -> u64 {
    state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

/// What a played model gives for a request that comes with this state.
pub(super) fn blended_answer(id: Id, state: u64) -> u64 {
    answer_to(id) ^ blend(state)
}

/// What a call leaves that came to this state.
pub(super) fn state_after(state: u64, id: Id) -> u64 {
    blended_answer(id, state)
}

/// Carries a number that depends on every call before.
pub(super) struct Chain;

impl Carrier for Chain {
    type Item = Input;
    type Reply = u64;
    type State = u64;
    type Input = Input;
    type Output = u64;
    type Draft = u64;

    fn attach(&self, item: Input, state: &Arc<u64>) -> Result<(Input, u64), ModelError> {
        Ok((Input { state: **state, ..item }, **state))
    }

    fn detach(&self, output: u64, before: u64) -> Result<(u64, u64), ModelError> {
        Ok((output ^ blend(before), output))
    }

    fn item_bytes(&self, item: &Input) -> usize {
        item.facts.footprint.bytes
    }

    fn state_bytes(&self, state: &u64) -> usize {
        (state % 50) as usize
    }
}

/// All sessions of a model.
pub(super) struct House {
    model: At,
    limits: Limits,
    sequences: Sequences<Chain>,
}

impl House {
    pub(super) fn new(rng: &mut Rng, model: At, handle: &Handle<Input, u64>) -> Self {
        let limits = Limits::draw(rng);
        let sequences = Sequences::with_carrier(handle, Chain, limits.options());
        Self { model, limits, sequences: sequences.expect("it is not drained yet") }
    }

    /// How it is doing.
    pub(super) fn look(&self, diary: &Diary) {
        let (model, limits, status) = (self.model, self.limits, self.sequences.status());
        diary.note(Event::Session(Id::MAX, Told::Status { model, limits, status }));
    }

    /// Somebody who comes with these requests.
    pub(super) fn visit(
        &self,
        rng: &mut Rng,
        session: Id,
        begin: Instant,
        timer: Timer,
        inputs: Vec<Input>,
    ) -> Box<dyn Scope> {
        let mut plan = VecDeque::new();
        for input in inputs {
            plan.push_back(Act::Call(Box::new(input)));
            match rng.u32(..24) {
                0..6 => {}
                6..12 => plan.push_back(Act::Await),
                12..14 => plan.push_back(Act::Rest(rng.u64(..6_000))),
                14 => plan.extend([Act::Await, Act::Rest(rng.u64(..10_000))]),
                15..17 => plan.push_back(Act::Drop(rng.usize(..8))),
                17..19 => plan.push_back(Act::Cancel(rng.usize(..8))),
                19..21 => plan.push_back(Act::Look),
                21 => plan.push_back(Act::Move),
                22 => plan.push_back(Act::Leave),
                _ => plan.extend([Act::Await, Act::Look]),
            }
        }
        let name = rng.bool().then(|| session.to_string());
        Box::new(Visit {
            id: session,
            name,
            idle: self.limits.idle,
            sequences: self.sequences.clone(),
            session: None,
            plan,
            asked: Vec::new(),
            begin,
            timer,
            sleep: None,
            moves: 0,
        })
    }
}

/// What a visitor does next.
enum Act {
    Call(Box<Input>),
    /// Waits until all calls are over.
    Await,
    /// Does nothing for a while.
    Rest(Micros),
    /// Drops one of its calls.
    Drop(usize),
    /// Cancels one of its calls.
    Cancel(usize),
    /// Asks what the session keeps.
    Look,
    /// Goes on in another session, from a snapshot.
    Move,
    /// Ends the session, and begins another.
    Leave,
}

/// Somebody who has a session.
struct Visit {
    id: Id,
    name: Option<String>,
    idle: Micros,
    sequences: Sequences<Chain>,
    session: Option<Session<Chain>>,
    plan: VecDeque<Act>,
    /// In the order in which they were called.
    asked: Vec<(Id, SessionInfer<Chain>, Canceller)>,
    begin: Instant,
    timer: Timer,
    sleep: Option<Pin<Box<Sleep>>>,
    moves: u64,
}

impl Visit {
    /// A number for the session that it has now.
    fn number(&self) -> Id {
        self.id + (self.moves << 32)
    }

    fn note(&self, diary: &Diary, told: Told) {
        diary.note(Event::Session(self.number(), told));
    }

    fn begin(&mut self, diary: &Diary, from: &Snapshot<u64>) {
        self.session = None;
        self.moves += 1;
        let begun: Result<Session<Chain>, Error> = match &self.name {
            Some(name) => self.sequences.restore_named(format!("{name}/{}", self.moves), from),
            None => self.sequences.restore(from),
        };
        let idle = self.idle;
        match begun {
            Ok(session) => {
                self.session = Some(session);
                let (state, steps) = (*from.state(), from.steps());
                self.note(diary, Told::Began { idle, state, steps });
            }
            Err(_) => self.note(diary, Told::Refused),
        }
    }

    fn hear(&mut self, cx: &mut Context<'_>, diary: &Diary) {
        self.asked.retain_mut(|(id, call, _)| match Pin::new(call).poll(cx) {
            Poll::Ready(outcome) => {
                let told = outcome.map(|response| response.output).map_err(|error| error.kind());
                diary.note(Event::Answered(*id, told));
                false
            }
            Poll::Pending => true,
        });
    }

    fn call(&mut self, diary: &Diary, input: Input) {
        let (id, name, facts) = (input.id, input.name.clone(), input.facts.clone());
        let Some(session) = &self.session else {
            diary.note(Event::Dropped(id));
            return;
        };
        let mut call = session.infer(input).id(name.clone()).baggage("id", name).priority(facts.class);
        if let Some(deadline) = facts.deadline {
            call = call.deadline(self.begin + Duration::from_micros(deadline));
        }
        if let Some(caller) = facts.caller {
            call = call.caller(Caller::new(caller.to_string()).with_weight(caller));
        }
        self.note(diary, Told::Called(id));
        let call = call.submit();
        let canceller = call.canceller();
        self.asked.push((id, call, canceller));
    }

    /// What it keeps; the session is given up if it is gone.
    fn look(&mut self, diary: &Diary) -> Option<Snapshot<u64>> {
        let snapshot = self.session.as_ref()?.snapshot().ok()?;
        self.note(diary, Told::Kept { state: *snapshot.state(), steps: snapshot.steps() });
        Some(snapshot)
    }

    /// Ends the session, and hears what becomes of its calls later.
    fn end(&mut self, diary: &Diary) {
        if let Some(session) = self.session.take() {
            session.end();
            self.note(diary, Told::Ended);
        }
    }
}

impl Scope for Visit {
    fn poll(&mut self, cx: &mut Context<'_>, diary: &Diary) -> Poll<()> {
        if self.moves == 0 {
            self.begin(diary, &Snapshot::new(0, 0));
        }
        loop {
            self.hear(cx, diary);
            if let Some(sleep) = &mut self.sleep {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.sleep = None;
            }
            let (one, count) = (|at: usize, count: usize| at % count, self.asked.len());
            match self.plan.pop_front() {
                None if self.asked.is_empty() => {
                    self.end(diary);
                    return Poll::Ready(());
                }
                None => return Poll::Pending,
                Some(Act::Call(input)) => self.call(diary, *input),
                Some(Act::Await) if self.asked.is_empty() => {}
                Some(Act::Await) => {
                    self.plan.push_front(Act::Await);
                    return Poll::Pending;
                }
                Some(Act::Rest(pause)) => {
                    let until = self.timer.now() + Duration::from_micros(pause);
                    self.sleep = Some(Box::pin(self.timer.sleep_until(until)));
                }
                Some(Act::Drop(_) | Act::Cancel(_)) if count == 0 => {}
                Some(Act::Drop(at)) => {
                    let (id, call, _) = self.asked.remove(one(at, count));
                    diary.note(Event::Dropped(id));
                    drop(call);
                }
                Some(Act::Cancel(at)) => {
                    let (id, _, canceller) = &self.asked[one(at, count)];
                    diary.note(Event::Cancelled(*id));
                    canceller.cancel();
                }
                Some(Act::Look) => drop(self.look(diary)),
                // Only what is over is in a snapshot: with calls on their way, it moves without them.
                Some(Act::Move) => {
                    if let Some(snapshot) = self.look(diary) {
                        self.end(diary);
                        self.begin(diary, &snapshot);
                    }
                }
                Some(Act::Leave) => {
                    self.end(diary);
                    self.begin(diary, &Snapshot::new(0, 0));
                }
            }
        }
    }

    fn give_up(self: Box<Self>, diary: &Diary) {
        let called = self.asked.iter().map(|(id, ..)| *id);
        let planned = self.plan.iter().filter_map(|act| match act {
            Act::Call(input) => Some(input.id),
            _ => None,
        });
        called.chain(planned).for_each(|id| diary.note(Event::Dropped(id)));
        if let Some(session) = &self.session {
            session.end();
            self.note(diary, Told::Ended);
        }
    }
}
