//! A [`Handle`] as a `tower::Service`, so that tower's middleware can stand in front of a model.

use std::task::{Context, Poll};

use tower_service::Service;

use crate::error::Error;
use crate::handle::{Handle, Infer};
use crate::request::Response;

/// Always ready: a model whose queue is full says so in the answer, with how long to wait, instead of keeping its caller. A
/// limit in front of it, such as tower's `ConcurrencyLimit`, keeps callers waiting if that is wanted. Dropping the future
/// cancels the request, so that tower's `Timeout` reaches the running model; a deadline of [`Handle::infer`] does more, since the
/// model knows of it beforehand.
impl<I: Send + 'static, O: Send + 'static> Service<I> for Handle<I, O> {
    type Response = Response<O>;
    type Error = Error;
    type Future = Infer<I, O>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, input: I) -> Infer<I, O> {
        self.infer(input).submit()
    }
}
