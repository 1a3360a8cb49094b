//! Admission: a request is checked and weighed, and enters the queue or is refused at once. Withdrawal undoes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use unruffled_model::{Footprint, RequestContext, RequestId};

use super::{Phase, Pool, State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::queue::{Full, Key};
use crate::reply::{Left, Ticket};
use crate::request::RequestOptions;
use crate::sync::Wakers;

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Takes a request in, or says why not. Runs on the caller's thread.
    pub(crate) fn submit(
        &self,
        now: Instant,
        input: I,
        options: RequestOptions,
    ) -> Result<Arc<Ticket<O>>, Error> {
        let mut footprint =
            self.model.admit(&input).map_err(|error| Error::from_model(error).of_model(&self.name))?;
        // So that sums over the queue cannot overflow.
        footprint.rows = footprint.rows.min(u32::MAX as usize);
        if options.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(self.late("the deadline had passed on arrival"));
        }
        let arrival = self.arrivals.fetch_add(1, Ordering::Relaxed);
        let key = Key::new(options.priority, options.deadline, now, arrival);
        let context = RequestContext::new(options.id.unwrap_or(RequestId::Number(arrival)));
        let ticket = Ticket::new(key, now, options.deadline, footprint, context);
        let waiting = Waiting { ticket: Arc::clone(&ticket), input };

        let mut state = self.state.lock();
        if let Err(error) = self.may_enter(&state, &footprint) {
            // Dropped without the lock: an input may be large.
            drop(state);
            return Err(error);
        }
        let next_due = state.deadlines.first_key_value().map(|((due, _), _)| *due);
        if let Some(deadline) = options.deadline {
            state.deadlines.insert((deadline, arrival), Arc::clone(&ticket));
        }
        state.queue.push(key, footprint, waiting);
        if state.queue.len() == 1 {
            self.has_work.store(true, Ordering::Release);
        }
        let instance_waits = state.idle > 0;
        drop(state);

        if instance_waits {
            self.work.notify_one();
        }
        if let (Some(deadline), Some(alarm)) = (options.deadline, self.alarm.get())
            && next_due.is_none_or(|next| deadline < next)
        {
            alarm.wake_by(deadline);
        }
        Ok(ticket)
    }

    fn may_enter(&self, state: &State<I, O>, footprint: &Footprint) -> Result<(), Error> {
        match (&state.phase, &state.broken) {
            (Phase::Draining(error) | Phase::Closed(error), _) | (Phase::Open, Some(error)) => {
                return Err(error.clone());
            }
            (Phase::Open, None) => {}
        }
        let limits = self.options.queue;
        let message = match state.queue.has_room(footprint) {
            Ok(()) => return Ok(()),
            Err(Full::Items) => format!("the queue is full: {} requests wait", limits.items),
            Err(Full::Bytes) if footprint.bytes > limits.bytes => {
                let message = format!(
                    "the input has {} bytes; the queue takes {} at most",
                    footprint.bytes, limits.bytes
                );
                return Err(self.error(ErrorKind::InvalidInput, message));
            }
            Err(Full::Bytes) => {
                let (held, most) = (state.queue.bytes(), limits.bytes);
                format!("the queue is full: it holds {held} of {most} bytes")
            }
        };
        let wait = self.cost.predict(state.queue.rows(), self.options.instances);
        let message = match wait {
            Some(wait) => format!("{message}; try again in about {wait:.0?}"),
            None => format!("{message}; try again later"),
        };
        Err(self.error(ErrorKind::Overloaded, message).retry_after_wait(wait))
    }

    /// The caller has gone: queued work is taken out, running work is stopped if nobody else waits for it.
    pub(crate) fn withdraw(&self, ticket: &Ticket<O>) {
        let left = ticket.close();
        if matches!(left, Left::Nowhere) {
            return;
        }
        let mut state = self.state.lock();
        state.forget_deadline(ticket);
        let removed = state.queue.remove(&ticket.key);
        drop(state);
        drop(removed);
        if let Left::Run(run) = left {
            run.leave();
        }
    }

    /// Ends what is due with `DeadlineExceeded`, and says when the next is due.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let (mut wakers, mut runs, mut removed) = (Wakers::default(), Vec::new(), Vec::new());
        let mut state = self.state.lock();
        while let Some(entry) = state.deadlines.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ticket = entry.remove();
            let (left, waker) = ticket.give_up(|| self.late("the deadline passed"));
            wakers.add(waker);
            match left {
                Left::Queue => removed.extend(state.queue.remove(&ticket.key)),
                Left::Run(run) => runs.push(run),
                Left::Nowhere => {}
            }
        }
        let next = state.deadlines.first_key_value().map(|((due, _), _)| *due);
        drop(state);
        // Callers first; then the models' hooks, and the inputs, which may be large.
        drop(wakers);
        runs.iter().for_each(|run| run.leave());
        next
    }

    pub(super) fn late(&self, message: &str) -> Error {
        self.error(ErrorKind::DeadlineExceeded, message)
    }

    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<Box<str>>) -> Error {
        Error::new(kind, message).of_model(&self.name)
    }
}
