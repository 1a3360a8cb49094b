//! [`Typed`]: a model of tensors, asked in the types of the program.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{
    Caller, FromTensors, IntoTensors, Name, Priority, RequestContext, Tensors, TraceContext,
};

use crate::error::Error;
use crate::handle::{Canceller, Handle, Infer, Request, Stopped};
use crate::request::Response;

impl Handle<Tensors, Tensors> {
    /// The same model, asked in types of the program: lists, numbers, text, arrays of `ndarray`, types of its own with a field for
    /// each input or output ([`IntoTensors`], [`FromTensors`]).
    ///
    /// ```
    /// # use unruffled_engine::{Error, Handle};
    /// # use unruffled_model::Tensors;
    /// # async fn example(digits: Handle<Tensors, Tensors>) -> Result<(), Error> {
    /// let digits = digits.typed::<Vec<f32>, Vec<f32>>();
    /// let probabilities = digits.infer(vec![0.0; 64]).await?;
    /// println!("{:?}", probabilities.output);
    /// # Ok(())
    /// # }
    /// ```
    pub fn typed<I: IntoTensors, O: FromTensors>(&self) -> Typed<I, O> {
        Typed { handle: self.clone(), types: PhantomData }
    }
}

/// A model of tensors, asked in the types of the program. Cheap to clone.
///
/// What goes in is made tensors on the caller's thread, by moving where that can be done. What comes out is read on the thread
/// that polls, and copied, except into tensors: for outputs of megabytes, read tensors.
pub struct Typed<I, O> {
    handle: Handle<Tensors, Tensors>,
    types: PhantomData<fn(I) -> O>,
}

impl<I: IntoTensors, O: FromTensors> Typed<I, O> {
    /// A request, to be refined and then awaited. An input that does not fit the model is told when it is awaited.
    pub fn infer(&self, input: I) -> TypedRequest<'_, O> {
        let request = match input.into_tensors(&self.handle.info().signature) {
            Ok(tensors) => Ok(self.handle.infer(tensors)),
            Err(error) => Err(Error::from_model(error).of_model(self.handle.name())),
        };
        TypedRequest { request, output: PhantomData }
    }

    /// The model that is asked.
    pub fn handle(&self) -> &Handle<Tensors, Tensors> {
        &self.handle
    }
}

impl<I, O> Clone for Typed<I, O> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), types: PhantomData }
    }
}

impl<I, O> fmt::Debug for Typed<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Typed").field(&self.handle).finish()
    }
}

/// A request in the types of the program, on its way to a model; as [`Request`].
#[must_use = "a request is sent when it is awaited or submitted"]
pub struct TypedRequest<'a, O> {
    request: Result<Request<'a, Tensors, Tensors>, Error>,
    output: PhantomData<fn() -> O>,
}

impl<'a, O> TypedRequest<'a, O> {
    fn refine(
        self,
        refine: impl FnOnce(Request<'a, Tensors, Tensors>) -> Request<'a, Tensors, Tensors>,
    ) -> Self {
        Self { request: self.request.map(refine), output: PhantomData }
    }

    /// As [`Request::deadline`].
    pub fn deadline(self, deadline: Instant) -> Self {
        self.refine(|request| request.deadline(deadline))
    }

    /// As [`Request::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.refine(|request| request.timeout(timeout))
    }

    /// As [`Request::priority`].
    pub fn priority(self, priority: Priority) -> Self {
        self.refine(|request| request.priority(priority))
    }

    /// As [`Request::id`].
    pub fn id(self, id: impl Into<Arc<str>>) -> Self {
        self.refine(|request| request.id(id))
    }

    /// As [`Request::caller`].
    pub fn caller(self, caller: Caller) -> Self {
        self.refine(|request| request.caller(caller))
    }

    /// As [`Request::trace`].
    pub fn trace(self, trace: TraceContext) -> Self {
        self.refine(|request| request.trace(trace))
    }

    /// As [`Request::baggage`].
    pub fn baggage(self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.refine(|request| request.baggage(name, value))
    }

    /// As [`Request::context`].
    pub fn context(self, context: RequestContext) -> Self {
        self.refine(|request| request.context(context))
    }

    /// As [`Request::supersede`].
    pub fn supersede(self, key: impl Into<Name>) -> Self {
        self.refine(|request| request.supersede(key))
    }
}

impl<O: FromTensors> TypedRequest<'_, O> {
    /// As [`Request::submit`].
    pub fn submit(self) -> TypedInfer<O> {
        let (infer, model) = match self.request {
            Ok(request) => {
                let model = request.model().clone();
                (request.submit(), Some(model))
            }
            Err(error) => (Infer::refused(error), None),
        };
        TypedInfer { infer, model, output: PhantomData }
    }
}

impl<O: FromTensors> IntoFuture for TypedRequest<'_, O> {
    type Output = Result<Response<O>, Error>;
    type IntoFuture = TypedInfer<O>;

    fn into_future(self) -> TypedInfer<O> {
        self.submit()
    }
}

impl<O> fmt::Debug for TypedRequest<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedRequest").field("refused", &self.request.as_ref().err()).finish()
    }
}

/// The answer to one request, read as a type of the program; as [`Infer`].
///
/// # Cancel safety
///
/// Dropping it cancels the request; the result is lost.
#[must_use = "dropping an answer cancels the request"]
pub struct TypedInfer<O> {
    infer: Infer<Tensors, Tensors>,
    /// Who is asked; `None` if nobody was.
    model: Option<Name>,
    output: PhantomData<fn() -> O>,
}

impl<O> TypedInfer<O> {
    /// As [`Infer::canceller`].
    pub fn canceller(&self) -> Canceller {
        self.infer.canceller()
    }

    /// As [`Infer::stop`].
    ///
    /// # Cancel safety
    ///
    /// The request is cancelled when this is called; dropping the future only stops waiting for the end.
    pub fn stop(self) -> Stopped {
        self.infer.stop()
    }
}

impl<O: FromTensors> Future for TypedInfer<O> {
    type Output = Result<Response<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.infer).poll(cx).map(|answer| {
            let Response { output, id, timings, provenance } = answer?;
            match O::from_tensors(output) {
                Ok(output) => Ok(Response { output, id, timings, provenance }),
                Err(error) => Err(self.model.iter().fold(Error::from_model(error), Error::of_model)),
            }
        })
    }
}

impl<O> fmt::Debug for TypedInfer<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedInfer").field(&self.infer).finish()
    }
}
