//! [`answers`]: requests come one after the other, and so do their answers, in the same order.
//!
//! So many requests are at work at a time, and no further one is read before the first of them is answered and its answer
//! taken: a client that sends faster than it reads is held back by its own connection. Those at work share batches.

use std::mem::take;
use std::time::Instant;

use futures_core::Stream;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use unruffled_model::{Name, TraceContext};
use unruffled_protocol::InferRequest;

use crate::access::Identity;
use crate::ask::{Answered, ask_each, has_one_answer};
use crate::budget::Part;
use crate::partial::{self, ask_rows};
use crate::refusal::Refusal;
use crate::seats::Busy;
use crate::service::{Found, Service, Target};
use crate::spans::{Operation, Transport};
use crate::terms::{self, Terms};
use crate::trail::Trail;

/// A request that was read.
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) request: InferRequest,
    pub(crate) held: Held,
}

/// What a request holds until its last answer is taken.
pub(crate) struct Held {
    pub(crate) _part: Part,
    pub(crate) _place: OwnedSemaphorePermit,
    /// Its connection, where that is not known to be busy otherwise.
    pub(crate) _busy: Option<Busy>,
}

/// What came from the client. What is wrong with one request concerns no other.
pub(crate) struct Arrived<M> {
    pub(crate) at: Instant,
    pub(crate) mark: M,
    pub(crate) asked: Result<Asked, Refusal>,
}

/// How what is said in an exchange is written.
pub(crate) trait Front: Clone + Send + Sync + 'static {
    /// What is remembered of a request for its answers.
    type Mark: Clone + Send + Sync + 'static;
    /// An answer as it is sent.
    type Told: Send + 'static;

    /// How requests come.
    const TRANSPORT: Transport;

    /// By when everything is to be over.
    fn deadline(&self) -> Option<Instant>;

    /// An answer of the model.
    fn answer(
        &self,
        service: &Service,
        model: &Name,
        mark: &Self::Mark,
        answered: Answered,
    ) -> impl Future<Output = Result<Self::Told, Refusal>> + Send;

    /// What became of a request that is not answered.
    fn refusal(&self, mark: &Self::Mark, refusal: Refusal) -> Self::Told;

    /// What tells the end of several answers, where that is wanted and the last one did not.
    fn end(
        &self,
        found: &Found,
        request: &InferRequest,
        mark: &Self::Mark,
    ) -> Result<Option<Self::Told>, Refusal>;

    /// Why nothing more can be understood.
    fn broken(&self, refusal: Refusal) -> Self::Told;
}

/// The answers to requests that came with this trace, or without one, in their order. Dropped, everything that is under way is cancelled.
pub(crate) fn answers<F: Front>(
    service: Service,
    identity: Identity,
    front: F,
    trace: Option<TraceContext>,
    requests: impl Stream<Item = Result<Arrived<F::Mark>, Refusal>> + Send + 'static,
) -> impl Stream<Item = F::Told> + Send + 'static {
    let at_once = service.options().stream_requests;
    requests
        .map(move |request| {
            let (service, identity, front) = (service.clone(), identity.clone(), front.clone());
            let trace = trace.clone();
            async move {
                match request {
                    Ok(request) => answer(service, identity, front, trace, request).await,
                    Err(refusal) => one(front.broken(refusal)),
                }
            }
        })
        .buffered(at_once)
        .flatten()
}

fn one<T: Send + 'static>(told: T) -> BoxStream<'static, T> {
    stream::once(async { told }).boxed()
}

/// Everything that is answered to one request. An error is an answer too: the next request is another one.
async fn answer<F: Front>(
    service: Service,
    identity: Identity,
    front: F,
    trace: Option<TraceContext>,
    request: Arrived<F::Mark>,
) -> BoxStream<'static, F::Told> {
    let Arrived { at, mark, asked } = request;
    let mut trail = Trail::new(&service, trace, at, Operation::Infer, F::TRANSPORT);
    let begun = match asked {
        Err(refusal) => Err(refusal),
        Ok(asked) => tokio::select! {
            // An answer that is there goes out, also in the last moment.
            biased;
            begun = begin(&service, &identity, &front, at, &mark, asked, &mut trail) => begun,
            () = service.closing() => Err(Refusal::shutting_down()),
        },
    };
    begun.unwrap_or_else(|refusal| {
        trail.refused(&refusal);
        one(front.refusal(&mark, refusal))
    })
}

async fn begin<F: Front>(
    service: &Service,
    identity: &Identity,
    front: &F,
    at: Instant,
    mark: &F::Mark,
    asked: Asked,
    trail: &mut Trail,
) -> Result<BoxStream<'static, F::Told>, Refusal> {
    let Asked { target, request, held } = asked;
    let found = service.find(identity, &target)?;
    trail.is_for(&found, &request);
    let terms = Terms::new(&request.parameters, front.deadline(), at)?.traced(trail.context());
    if found.handle.known_info().is_none() {
        terms::in_time(front.deadline(), async { Ok(found.handle.ready().await?) }).await?;
    }
    let end = front.end(&found, &request, mark)?;
    trail.asks(&terms);
    if has_one_answer(&found, &request)? || partial::is_wanted(&request)? {
        let answered = ask_rows(service, &found, request, &terms).await?;
        trail.answered(&answered);
        let told = front.answer(service, found.handle.name(), mark, answered).await?;
        trail.end(&Ok(()));
        return Ok(stream::once(async move {
            let _held = held;
            told
        })
        .boxed());
    }
    let mut several = Several {
        service: service.clone(),
        front: front.clone(),
        mark: mark.clone(),
        name: found.handle.name().clone(),
        each: ask_each(service.clone(), found, request, &terms)?.boxed(),
        end,
        trail: take(trail),
        is_over: false,
        _held: held,
    };
    // Requests are at work side by side until their first answers: most have no other.
    let first = several.next().await;
    let rest = stream::unfold(several, async |mut several| Some((several.next().await?, several)));
    Ok(stream::iter(first).chain(rest).boxed())
}

/// The answers to a request whose model may give several outputs.
struct Several<F: Front> {
    service: Service,
    front: F,
    mark: F::Mark,
    name: Name,
    each: BoxStream<'static, Result<Answered, Refusal>>,
    /// What tells the end, if the last output did not.
    end: Option<F::Told>,
    trail: Trail,
    is_over: bool,
    _held: Held,
}

impl<F: Front> Several<F> {
    async fn next(&mut self) -> Option<F::Told> {
        if self.is_over {
            return None;
        }
        let answered = tokio::select! {
            biased;
            answered = self.each.next() => answered.transpose(),
            () = self.service.closing() => Err(Refusal::shutting_down()),
        };
        let told = match answered {
            Ok(Some(answered)) => {
                self.is_over = answered.is_last;
                self.trail.answered(&answered);
                self.front.answer(&self.service, &self.name, &self.mark, answered).await
            }
            Ok(None) => {
                self.is_over = true;
                self.trail.end(&Ok(()));
                return self.end.take();
            }
            Err(refusal) => Err(refusal),
        };
        if self.is_over && told.is_ok() {
            self.trail.end(&told);
        }
        Some(told.unwrap_or_else(|refusal| {
            self.is_over = true;
            self.trail.refused(&refusal);
            self.front.refusal(&self.mark, refusal)
        }))
    }
}
