//! One request of a group, whatever its input: sent when there is room for it, and followed to its end.

use std::any::Any;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use unruffled_model::RequestContext;

use super::terms::Terms;
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Infer, Request, Stopped};
use crate::pool::{Demand, Refusal};
use crate::request::{RequestOptions, Response};
use crate::timer::Sleep;
use crate::version::Sent;

/// How one request ended.
pub(crate) type Outcome<O> = Result<Response<O>, Error>;

/// How one request of a group ended, and what of it still goes on.
pub(crate) type Ended<O> = (Outcome<O>, Option<Stopped>);

/// A request of a group, of any input.
pub(crate) trait Item<O>: Send {
    /// Makes the scope's terms its own; to be called once, before it is polled.
    fn enter(&mut self, terms: &Terms);

    /// The model that it is for, to tell those of one.
    fn model(&self) -> *const ();

    /// Sends it together with others of its model, so that they may share a run.
    fn send_with(&mut self, others: &mut [&mut Box<dyn Item<O>>]);

    /// Itself, of whatever input.
    fn as_any(&mut self) -> &mut dyn Any;

    /// Sends it if it was not sent, and is ready once it is answered.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended<O>>;

    /// Cancels it, unless it is answered, and says what of it still goes on.
    fn stop(&mut self) -> (Option<Outcome<O>>, Option<Stopped>);
}

pub(crate) struct Entry<I: Send + 'static, O: Send + 'static> {
    handle: Handle<I, O>,
    options: RequestOptions,
    stage: Stage<I, O>,
}

enum Stage<I: Send + 'static, O: Send + 'static> {
    /// Not sent.
    Here(I),
    /// There was no room for it in the queue.
    WaitsForRoom(I, usize, Option<Sleep>),
    /// It was not taken in, and will not be.
    Refused(Error),
    /// With the model.
    Sent(Infer<I, O>),
    /// Answered, or stopped.
    Over,
}

impl<I: Send + 'static, O: Send + 'static> Entry<I, O> {
    pub(crate) fn new(request: Request<'_, I, O>) -> Self {
        let (handle, input, options) = request.into_parts();
        Self { handle, options, stage: Stage::Here(input) }
    }

    /// What is to be sent, if it was not sent.
    fn demand(&mut self) -> Option<Demand<I, O>> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Here(input) => Some(self.demand_of(input)),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// A full queue is waited for, not refused by.
    fn demand_of(&self, input: I) -> Demand<I, O> {
        let options = RequestOptions { patient: true, ..self.options.clone() };
        Demand { input, options, outlet: None }
    }

    /// Sends it alone.
    fn send(&self, input: I) -> Stage<I, O> {
        self.sent(self.handle.send(self.handle.now(), self.demand_of(input))).unwrap_or_else(Stage::Refused)
    }

    /// What follows from an attempt to send it.
    fn sent(&self, submitted: Sent<I, O>) -> Result<Stage<I, O>, Error> {
        let deadline = self.options.context.as_ref().and_then(RequestContext::deadline);
        match submitted {
            Ok(accepted) => Ok(Stage::Sent(Infer::of(accepted))),
            Err(Refusal { input: Some(input), bytes, .. }) => {
                let timeout = deadline.map(|deadline| self.handle.environment().timer.sleep_until(deadline));
                Ok(Stage::WaitsForRoom(input, bytes, timeout))
            }
            Err(refusal) => Err(refusal.error),
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Entry<I, O> {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::WaitsForRoom(..)) {
            self.handle.forget_room();
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Item<O> for Entry<I, O> {
    fn enter(&mut self, terms: &Terms) {
        terms.apply(&mut self.options);
    }

    fn model(&self) -> *const () {
        Arc::as_ptr(self.handle.versions_of()).cast()
    }

    fn send_with(&mut self, others: &mut [&mut Box<dyn Item<O>>]) {
        let others = others.iter_mut().filter_map(|other| other.as_any().downcast_mut::<Self>());
        let mut all: Vec<&mut Self> = std::iter::once(self).chain(others).collect();
        let (mut demands, mut senders) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for (at, item) in all.iter_mut().enumerate() {
            if let Some(demand) = item.demand() {
                demands.push(demand);
                senders.push(at);
            }
        }
        let handle = all[0].handle.clone();
        let submitted = handle.send_all(handle.now(), demands);
        for (at, submitted) in senders.into_iter().zip(submitted) {
            all[at].stage = all[at].sent(submitted).unwrap_or_else(Stage::Refused);
        }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended<O>> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                // Here -> WaitsForRoom | Sent | Refused.
                Stage::Here(input) => self.send(input),
                // Refused -> Over.
                Stage::Refused(error) => return Poll::Ready((Err(error), None)),
                // WaitsForRoom -> Sent | WaitsForRoom | Refused | Over.
                Stage::WaitsForRoom(input, bytes, mut timeout) => {
                    let late = timeout.as_mut().is_some_and(|sleep| Pin::new(sleep).poll(cx).is_ready());
                    if late {
                        let message = "the deadline passed before there was room in the queue";
                        let error = Error::new(ErrorKind::DeadlineExceeded, message);
                        return Poll::Ready((Err(error.of_model(self.handle.name())), None));
                    }
                    if self.handle.poll_room(cx, &self.options, bytes).is_pending() {
                        self.stage = Stage::WaitsForRoom(input, bytes, timeout);
                        return Poll::Pending;
                    }
                    self.send(input)
                }
                // Sent -> Over.
                Stage::Sent(mut answer) => match answer.poll_with_end(cx) {
                    Poll::Ready((outcome, end)) => {
                        return Poll::Ready((outcome, Some(end).filter(|end| !end.is_over())));
                    }
                    Poll::Pending => {
                        self.stage = Stage::Sent(answer);
                        return Poll::Pending;
                    }
                },
                Stage::Over => panic!("a request of a group was polled after its answer"),
            };
        }
    }

    fn stop(&mut self) -> (Option<Outcome<O>>, Option<Stopped>) {
        let mut answer = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Sent(answer) => answer,
            Stage::Refused(error) => return (Some(Err(error)), None),
            Stage::Here(_) | Stage::WaitsForRoom(..) | Stage::Over => return (None, None),
        };
        // What is there by now is kept.
        match answer.poll_with_end(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((outcome, end)) => (Some(outcome), Some(end)),
            Poll::Pending => (None, Some(answer.stop())),
        }
    }
}
