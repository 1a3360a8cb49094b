//! Dispatch: an instance takes a batch out of the queue, formed at that moment.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tracing::Span;
use unruffled_model::{Batch, ModelError, OutputSink, Priority, RequestContext, Row, RunContext};

use super::{Company, Phase, Pool, Running, State, Waiting, Wish};
use crate::arbiter::{MakesWay, Permit};
use crate::queue::{Entry, Taken};
use crate::reply::{Run, Ticket};
use crate::sync::{Wakers, discard};
use crate::urgency::Urgency;

/// With one core, looking for work keeps away whoever would bring it.
static SINGLE_CORE: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1));

/// Who waits for a core waits for so short a run rather than beside it.
const SHORT: Duration = Duration::from_millis(1);

/// How often a request gives way before it is left alone.
const PREEMPTIONS_MAX: u32 = 3;

/// One batch on its way through an instance.
pub(crate) struct Work<I, O> {
    pub(crate) batch: Batch<I, O>,
    pub(super) run: Arc<Run>,
    pub(super) tickets: Company<O>,
    /// The cohort that all of it belongs to.
    pub(super) cohort: u64,
    pub(super) rows: usize,
    pub(super) taken: Instant,
    pub(super) predicted: Option<Duration>,
    pub(super) permit: Option<Permit>,
    pub(super) span: Span,
    /// Whether it runs on its caller's thread.
    pub(super) inline: bool,
    /// Whether it is a call on a lease.
    pub(super) leased: bool,
    pub(super) requests: Vec<RequestContext>,
    pub(super) deadline: Option<Instant>,
}

impl<I, O> Work<I, O> {
    /// The batch, and what the model may ask about its run.
    pub(crate) fn parts(&mut self) -> (&mut Batch<I, O>, RunContext<'_>) {
        let threads = self.permit.as_ref().map_or(1, Permit::cores);
        let ctx =
            RunContext::new(self.run.cancel_token(), self.deadline, &self.requests).with_threads(threads);
        (&mut self.batch, ctx)
    }

    /// The span of the run, to be entered by whoever runs it.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.run.cancel_token().is_cancelled()
    }

    /// Whether it was told to let something more urgent go first.
    #[cfg(test)]
    pub(crate) fn is_yielding(&self) -> bool {
        self.run.is_yielding()
    }

    /// Whether nobody waits for it at a screen.
    pub(crate) fn is_bulk(&self) -> bool {
        is_bulk(&self.requests)
    }

    /// How many rows the batch has.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.rows).unwrap_or(u32::MAX)
    }
}

/// Why a run left rows unanswered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The model said so.
    Error(ModelError),
    /// It panicked, with this text.
    Panic(String),
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Waits for work, and for a core to do it on. `None`: there will be no more.
    pub(crate) fn next(&self, slot: usize) -> Option<Work<I, O>> {
        self.spin(slot);
        while let Some(urgency) = self.wait(slot) {
            // A batch is taken when there is a core for it, and not before: it goes on growing meanwhile.
            let Some(permit) = self.acquire(urgency) else { continue };
            let work = self.take_from(self.state.lock(), slot, self.now(), permit);
            if work.is_some() {
                return work;
            }
        }
        None
    }

    /// Blocks until something is in the queue, or in the line of whoever has leased this instance: says how urgent it is.
    /// `None`: nothing will be.
    fn wait(&self, slot: usize) -> Option<&Arc<Urgency>> {
        let mut state = self.state.lock();
        loop {
            if state.holds.is_held(slot) {
                if state.holds.has_call(slot) {
                    return Some(&self.leased[slot]);
                }
                self.calls[slot].wait(&mut state);
                continue;
            }
            if !state.queue.is_empty() {
                return Some(&self.urgency);
            }
            if !matches!(state.phase, Phase::Open) {
                return None;
            }
            state.seats.sit(slot, self.idle_from());
            // Whoever waits for memory may have waited for this.
            self.environment.memory.stir();
            while !state.seats.get_up(slot) {
                let over = !matches!(state.phase, Phase::Open) && state.queue.is_empty();
                if (over && state.seats.leave(slot)) || state.roster.is_leaving(slot) {
                    return None;
                }
                self.calls[slot].wait(&mut state);
            }
        }
    }

    /// A core for the next run, or none where runs keep no core busy. `None`: what was to be run has gone.
    fn acquire(&self, urgency: &Arc<Urgency>) -> Option<Option<Permit>> {
        match self.model.info().threads {
            0 => Some(None),
            threads => self.environment.arbiter.acquire(urgency, threads).map(Some),
        }
    }

    /// Looks for work for a while, in the hope that it need not sleep.
    fn spin(&self, slot: usize) {
        // Where requests run inline, an instance that looks for work keeps the slot that they would use.
        if self.options.spin.is_zero() || *SINGLE_CORE || self.runs_inline() {
            return;
        }
        let begin = Instant::now();
        let is_idle = || self.urgency.is_empty() && self.leased[slot].is_empty();
        while is_idle() && begin.elapsed() < self.options.spin {
            // Whoever has something to do goes first.
            std::thread::yield_now();
        }
    }

    /// An instance without a thread sits down: it is called when there is work.
    #[cfg(test)]
    pub(crate) fn sit(&self, slot: usize) {
        self.state.lock().seats.sit(slot, self.now());
    }

    /// Whether an instance that sat down has been called, and is up again.
    #[cfg(test)]
    pub(crate) fn get_up(&self, slot: usize) -> bool {
        self.state.lock().seats.get_up(slot)
    }

    /// Who has leased an instance.
    #[cfg(test)]
    pub(crate) fn holder(&self, slot: usize) -> Option<unruffled_model::RequestId> {
        self.state.lock().holds.holder(slot).cloned()
    }

    /// How urgent the next batch is, or the next call of whoever has leased the instance.
    #[cfg(test)]
    pub(crate) fn urgency_of(&self, slot: usize) -> &Arc<Urgency> {
        if self.state.lock().holds.is_held(slot) { &self.leased[slot] } else { &self.urgency }
    }

    /// Takes the next batch, if there is one.
    #[cfg(test)]
    pub(crate) fn take(&self, slot: usize, now: Instant, permit: Option<Permit>) -> Option<Work<I, O>> {
        self.take_from(self.state.lock(), slot, now, permit)
    }

    fn take_from(
        &self,
        mut state: MutexGuard<'_, State<I, O>>,
        slot: usize,
        now: Instant,
        permit: Option<Permit>,
    ) -> Option<Work<I, O>> {
        if state.holds.is_held(slot) {
            return self.take_call(state, slot, now, permit);
        }
        let Taken { batch: taken, hopeless } = {
            let costs = self.costs.lock();
            state.queue.take(now, &self.forecast(&costs, now))
        };
        let mut room = Wakers::default();
        room.extend(state.wants_room.drain(..));
        let granted = self.grant(&mut state, now, slot, &taken, &mut room);
        self.publish(&mut state, now);
        let anything_left = !state.queue.is_empty();
        state.roster.taken(now, anything_left);
        // Somebody else may have been called for the rest and found nothing: one who is called too often sits down again.
        let called = if state.queue.is_empty() { None } else { state.seats.call() };
        let is_over = state.queue.is_empty() && !matches!(state.phase, Phase::Open);
        drop(state);
        if let Some(slot) = called {
            self.calls[slot].notify_one();
        }
        if is_over {
            self.environment.arbiter.look_again(now);
        }
        if let Some(granted) = granted {
            self.follow_grant(slot, granted);
        }
        drop(room);

        // The rest needs no lock that a caller might wait for.
        let run = Run::new(now);
        let size = taken.len();
        let mut tickets = Vec::with_capacity(size);
        let mut batch = Vec::with_capacity(size);
        let mut requests = Vec::with_capacity(size);
        // Dropped when nothing can be lost any more: an input's end is its owner's code.
        let mut unwanted = Vec::new();
        let (mut rows, mut deadline, mut cohort) = (0, Some(now), 0);
        let mut may_yield = true;
        for Entry { item: Waiting { ticket, wish }, cohort: own_cohort, .. } in taken {
            // A lease was granted just now.
            let Wish::Run { input, sink } = wish else { continue };
            if !ticket.join(&run) {
                unwanted.push((input, sink));
                continue;
            }
            cohort = own_cohort;
            rows += ticket.footprint().rows;
            deadline = deadline.zip(ticket.deadline()).map(|(known, own)| known.max(own));
            may_yield &= self.may_be_preempted(ticket.context().priority())
                && sink.is_none()
                && ticket.preempted() < PREEMPTIONS_MAX;
            requests.push(ticket.context().clone());
            batch.push(row(input, sink));
            tickets.push(ticket);
        }
        let tickets: Company<O> = tickets.into();
        let Some(first) = tickets.first() else {
            // Given back before anybody's code runs.
            drop(permit);
            self.give_up_hopeless(now, hopeless);
            discard(unwanted);
            return None;
        };
        let bucket = first.footprint().bucket;
        let predicted = self.costs.lock().estimate(bucket, rows).map(|cost| cost.p50);
        // First of all: whatever breaks from here on, `abandon` finds those who wait.
        let running = Running {
            company: Arc::clone(&tickets),
            run: Arc::clone(&run),
            expected_end: predicted.map(|predicted| now + predicted),
            may_yield,
        };
        let before = self.running[slot].lock().replace(running);
        debug_assert!(before.is_none(), "an instance runs one batch at a time");
        if let Some(error) = self.closed.get() {
            self.give_up(tickets.iter(), error);
        }
        run.leave();
        if let Some(permit) = &permit {
            let makes_way = match predicted {
                _ if may_yield => Some(MakesWay::Stops(Arc::clone(&run))),
                Some(predicted) if predicted <= SHORT => None,
                _ if is_bulk(&requests) => Some(MakesWay::Lends),
                Some(predicted) if is_long(predicted) => Some(MakesWay::No),
                _ => None,
            };
            if let Some(makes_way) = makes_way {
                permit.began(now, predicted, makes_way);
            }
        }
        self.give_up_hopeless(now, hopeless);
        discard(unwanted);
        let span = self.batch_span(slot, rows, &tickets);
        let batch = batch.into_iter().collect();
        let (taken, inline, leased) = (now, false, false);
        Some(Work {
            batch,
            run,
            tickets,
            cohort,
            rows,
            taken,
            predicted,
            permit,
            span,
            inline,
            leased,
            requests,
            deadline,
        })
    }

    /// A run of one request that never was in the queue.
    pub(super) fn work_of(
        &self,
        ticket: &Arc<Ticket<O>>,
        run: Arc<Run>,
        row: Row<I, O>,
        now: Instant,
        slot: usize,
    ) -> Work<I, O> {
        let rows = ticket.footprint().rows;
        let tickets: Company<O> = Arc::from([Arc::clone(ticket)]);
        Work {
            batch: std::iter::once(row).collect(),
            run,
            cohort: 0,
            rows,
            taken: now,
            predicted: None,
            permit: None,
            span: self.batch_span(slot, rows, &tickets),
            inline: false,
            leased: false,
            requests: vec![ticket.context().clone()],
            deadline: ticket.deadline(),
            tickets,
        }
    }

    /// Ends what cannot make its deadline any more: running it would only keep others from making theirs.
    fn give_up_hopeless(&self, now: Instant, hopeless: Vec<Entry<Waiting<I, O>>>) {
        if hopeless.is_empty() {
            return;
        }
        let hopeless = self.put_back_shared(now, hopeless);
        self.give_up_late(now, hopeless.iter().map(|entry| &entry.item.ticket));
        discard(hopeless);
    }

    /// As said, of those that have been taken out of where they waited.
    pub(super) fn give_up_late<'a>(&self, now: Instant, tickets: impl IntoIterator<Item = &'a Arc<Ticket<O>>>)
    where
        O: 'a,
    {
        for ticket in tickets {
            let left =
                ticket.deadline().map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(now));
            let message = match left.is_zero() {
                true => "the deadline passed in the queue".to_owned(),
                false => {
                    format!("the deadline cannot be met any more: {left:.1?} are left and a run takes longer")
                }
            };
            self.end_taken(now, ticket, &self.late(&message));
        }
    }

    fn batch_span(&self, slot: usize, rows: usize, tickets: &[Arc<Ticket<O>>]) -> Span {
        let span = tracing::debug_span!(
            "batch",
            model = &*self.name,
            instance = slot,
            requests = tickets.len(),
            rows
        );
        if !span.is_disabled() {
            for ticket in tickets {
                let request = &ticket.submission.span;
                span.follows_from(request);
                request.follows_from(&span);
            }
        }
        span
    }
}

/// One request's part of a batch.
pub(super) fn row<I, O>(input: I, sink: Option<Box<dyn OutputSink<O>>>) -> Row<I, O> {
    match sink {
        Some(sink) => Row::with_sink(input, sink),
        None => Row::new(input),
    }
}

/// Whether nobody waits for any of these at a screen.
fn is_bulk(requests: &[RequestContext]) -> bool {
    requests.iter().all(|request| request.priority() == Priority::Bulk)
}

/// Whether a run should be written off later than others.
pub(super) fn is_long(predicted: Duration) -> bool {
    predicted > Duration::from_millis(100)
}
