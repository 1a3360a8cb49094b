//! Those who want an instance for themselves: they ask for it, call it, think in between, and let it go or are made to.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{Caller, Footprint};

use super::callers::{Diary, Scope};
use super::played::{Input, answer_to};
use super::trace::{Event, Facts, Id, Kind, Micros};
use crate::error::Error;
use crate::handle::{Handle, Infer};
use crate::lease::{Acquiring, Lease};
use crate::queue::WHOLE;
use crate::timer::Sleep;

/// One who asks for an instance and calls it.
pub(super) struct Tenant {
    id: Id,
    begin: Instant,
    asking: Option<Acquiring<Input, u64>>,
    lease: Option<Lease<Input, u64>>,
    /// What is to be called.
    calls: VecDeque<Input>,
    pending: Vec<(Id, Infer<Input, u64>)>,
    /// So many calls at once at most.
    width: usize,
    /// How long it thinks before it calls again, or lets go.
    thought: Micros,
    thinking: Option<Sleep>,
}

impl Tenant {
    /// Asks for a lease, as the facts of a request say.
    pub(super) fn new(
        id: Id,
        facts: &Facts,
        handle: &Handle<Input, u64>,
        begin: Instant,
        calls: VecDeque<Input>,
        (width, thought): (usize, Micros),
        diary: &Diary,
    ) -> Self {
        let facts = Facts {
            footprint: Footprint::new(0, 0, WHOLE),
            key: None,
            poison: false,
            poor: false,
            kind: Kind::Lease,
            ..facts.clone()
        };
        let mut acquire = handle.acquire().id(id.to_string()).priority(facts.class);
        if let Some(deadline) = facts.deadline {
            acquire = acquire.deadline(begin + Duration::from_micros(deadline));
        }
        if let Some(caller) = facts.caller {
            acquire = acquire.caller(Caller::new(caller.to_string()).with_weight(caller));
        }
        let asking = Some(acquire.submit());
        diary.came(id, facts);
        let pending = Vec::new();
        Self { id, begin, asking, lease: None, calls, pending, width, thought, thinking: None }
    }

    /// Whether the lease is there, or will never be.
    fn poll_lease(&mut self, cx: &mut Context<'_>, diary: &Diary) -> Poll<Result<(), ()>> {
        let Some(asking) = &mut self.asking else { return Poll::Ready(Ok(())) };
        let Poll::Ready(outcome) = Pin::new(asking).poll(cx) else {
            diary.let_in(self.id);
            return Poll::Pending;
        };
        self.asking = None;
        Poll::Ready(match outcome {
            Ok(lease) => {
                self.lease = Some(lease);
                diary.note(Event::Answered(self.id, Ok(answer_to(self.id))));
                Ok(())
            }
            Err(error) => {
                diary.turned_down(self.id, error.kind());
                Err(())
            }
        })
    }

    fn call(&mut self, input: Input, cx: &mut Context<'_>, diary: &Diary) {
        let Some(lease) = &self.lease else { return };
        let (id, name) = (input.id, input.name.clone());
        let mut facts = input.facts.clone();
        (facts.kind, facts.key, facts.caller) = (Kind::Call(self.id), None, None);
        let input = Input { facts: facts.clone(), ..input };
        let mut call = lease.infer(input).id(name.clone()).baggage("id", name).priority(facts.class);
        if let Some(deadline) = facts.deadline {
            call = call.deadline(self.begin + Duration::from_micros(deadline));
        }
        let mut answer = call.submit();
        // No instance works in between: what is ready now was refused.
        let refused = match Pin::new(&mut answer).poll(cx) {
            Poll::Ready(outcome) => {
                Some(outcome.map(drop).map_err(|error| error.kind()).expect_err("a refusal"))
            }
            Poll::Pending => None,
        };
        diary.note(Event::Submitted(id, facts, refused));
        if refused.is_none() {
            self.pending.push((id, answer));
        }
    }

    fn look_at_answers(&mut self, cx: &mut Context<'_>, diary: &Diary) {
        self.pending.retain_mut(|(id, answer)| {
            let Poll::Ready(outcome) = Pin::new(answer).poll(cx) else { return true };
            let told = outcome.as_ref().map(|response| response.output).map_err(Error::kind);
            diary.note(Event::Answered(*id, told));
            false
        });
    }

    fn let_go(&mut self, diary: &Diary) {
        if let Some(lease) = self.lease.take() {
            diary.note(Event::Released(self.id));
            drop(lease);
        }
    }
}

impl Scope for Tenant {
    fn poll(&mut self, cx: &mut Context<'_>, diary: &Diary) -> Poll<()> {
        if std::task::ready!(self.poll_lease(cx, diary)).is_err() {
            return Poll::Ready(());
        }
        loop {
            self.look_at_answers(cx, diary);
            if self.lease.is_none() {
                return if self.pending.is_empty() { Poll::Ready(()) } else { Poll::Pending };
            }
            if let Some(thinking) = &mut self.thinking {
                std::task::ready!(Pin::new(thinking).poll(cx));
                self.thinking = None;
                // Somebody who has nothing more to ask lets go, whatever goes on; whoever has lost it asks all the same.
                match self.calls.pop_front() {
                    Some(input) => self.call(input, cx, diary),
                    None => self.let_go(diary),
                }
                continue;
            }
            if self.pending.len() < self.width {
                let thought = if self.pending.is_empty() { self.thought } else { 1 };
                self.thinking = Some(diary.sleep(thought));
                continue;
            }
            return Poll::Pending;
        }
    }

    fn give_up(mut self: Box<Self>, diary: &Diary) {
        if let Some(asking) = self.asking.take() {
            diary.note(Event::Dropped(self.id));
            drop(asking);
        }
        for (id, answer) in self.pending.drain(..) {
            diary.note(Event::Dropped(id));
            drop(answer);
        }
        self.let_go(diary);
    }
}
