//! One request of a group, whatever its input: sent when there is room for it, and followed to its end.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use unruffled_model::RequestContext;

use super::terms::Terms;
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Infer, Request, Stopped};
use crate::pool::{Demand, Refusal};
use crate::request::{RequestOptions, Response};
use crate::timer::Sleep;

/// How one request ended.
pub(super) type Outcome<O> = Result<Response<O>, Error>;

/// How one request of a group ended, and what of it still goes on.
pub(super) type Ended<O> = (Outcome<O>, Option<Stopped>);

/// A request of a group, of any input.
pub(super) trait Item<O>: Send {
    /// Makes the scope's terms its own; to be called once, before it is polled.
    fn enter(&mut self, terms: &Terms);

    /// Sends it if it was not sent, and is ready once it is answered.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended<O>>;

    /// Cancels it, unless it is answered, and says what of it still goes on.
    fn stop(&mut self) -> (Option<Outcome<O>>, Option<Stopped>);
}

pub(super) struct Entry<I: Send + 'static, O: Send + 'static> {
    handle: Handle<I, O>,
    options: RequestOptions,
    stage: Stage<I, O>,
}

enum Stage<I: Send + 'static, O: Send + 'static> {
    /// Not sent.
    Here(I),
    /// There was no room for it in the queue.
    WaitsForRoom(I, usize, Option<Sleep>),
    /// With the model.
    Sent(Infer<I, O>),
    /// Answered, or stopped.
    Over,
}

impl<I: Send + 'static, O: Send + 'static> Entry<I, O> {
    pub(super) fn new(request: Request<'_, I, O>) -> Self {
        let (handle, input, options) = request.into_parts();
        Self { handle, options, stage: Stage::Here(input) }
    }

    /// Sends it, as far as there is room.
    fn send(&mut self, input: I) -> Result<Stage<I, O>, Error> {
        let pool = self.handle.pool();
        let options = RequestOptions { patient: true, ..self.options.clone() };
        let demand = Demand { input, options, outlet: None };
        match Infer::of(pool, pool.submit(pool.now(), demand)) {
            Ok(answer) => Ok(Stage::Sent(answer)),
            Err(Refusal { input: Some(input), bytes, .. }) => {
                let deadline = self.options.context.as_ref().and_then(RequestContext::deadline);
                let timeout = deadline.map(|deadline| pool.environment().timer.sleep_until(deadline));
                Ok(Stage::WaitsForRoom(input, bytes, timeout))
            }
            Err(refusal) => Err(refusal.error),
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Item<O> for Entry<I, O> {
    fn enter(&mut self, terms: &Terms) {
        terms.apply(&mut self.options);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended<O>> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                // Here -> Sent | WaitsForRoom | Over.
                Stage::Here(input) => match self.send(input) {
                    Ok(next) => next,
                    Err(error) => return Poll::Ready((Err(error), None)),
                },
                // WaitsForRoom -> Here | Over.
                Stage::WaitsForRoom(input, bytes, mut timeout) => {
                    let late = timeout.as_mut().is_some_and(|sleep| Pin::new(sleep).poll(cx).is_ready());
                    if late {
                        let message = "the deadline passed before there was room in the queue";
                        let error = Error::new(ErrorKind::DeadlineExceeded, message);
                        return Poll::Ready((Err(error.of_model(self.handle.name())), None));
                    }
                    if self.handle.pool().poll_room(cx, bytes).is_pending() {
                        self.stage = Stage::WaitsForRoom(input, bytes, timeout);
                        return Poll::Pending;
                    }
                    Stage::Here(input)
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
        let Stage::Sent(mut answer) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return (None, None);
        };
        // What is there by now is kept.
        match answer.poll_with_end(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((outcome, end)) => (Some(outcome), Some(end)),
            Poll::Pending => (None, Some(answer.stop())),
        }
    }
}
