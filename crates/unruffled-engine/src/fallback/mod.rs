//! [`Chain`]: several models of which one answers, the best that can in the time there is.

mod ask;

mod link;

mod course;
mod tally;

mod attempt;

mod model;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use unruffled_model::{Name, RequestId, SharedModel};

use crate::asynchronous::{AsyncModel, Call, Single};
use crate::error::Error;
use crate::timer::Timer;
use course::Order;
use model::ChainModel;
use tally::Tally;

pub use attempt::{Attempt, ChainRequest};
pub use link::Link;
pub use tally::{ChainStatus, LinkStatus};

/// A chain that is being put together: [`Engine::fallback`](crate::Engine::fallback).
#[must_use = "`build` makes the chain"]
pub struct Fallback<I, O>(Links<I, O>);

/// The last resort, that needs no model.
type LastResort<I, O> = Box<dyn Fn(&I) -> O + Send + Sync>;

/// What the requests of a chain share.
pub(crate) struct Links<I, O> {
    name: Name,
    timer: Timer,
    links: Vec<(Link<I, O>, Tally)>,
    order: Order,
    default: Option<LastResort<I, O>>,
    requests: AtomicU64,
    defaults: AtomicU64,
}

impl<I, O> Links<I, O> {
    fn next_id(&self) -> RequestId {
        RequestId::Number(self.requests.fetch_add(1, Ordering::Relaxed))
    }

    fn count_default(&self) {
        self.defaults.fetch_add(1, Ordering::Relaxed);
    }
}

impl<I: Send + 'static, O: Send + 'static> Fallback<I, O> {
    pub(crate) fn new(timer: Timer, first: Link<I, O>) -> Self {
        let links = Links {
            name: "fallback".into(),
            timer,
            links: vec![(first, Tally::default())],
            order: Order::InTurn,
            default: None,
            requests: AtomicU64::new(0),
            defaults: AtomicU64::new(0),
        };
        Self(links)
    }

    /// What the chain is called in errors and logs.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.0.name = name.into();
        self
    }

    /// Whom to ask when all before have failed: a handle, or a [`Link`] that says on what terms.
    pub fn then(mut self, next: impl Into<Link<I, O>>) -> Self {
        self.0.links.push((next.into(), Tally::default()));
        self
    }

    /// Passes over whom cannot be expected to be in time, by what its runs have cost and what is ahead of it: for variants of
    /// one model, the best first. One of which nothing is known yet is given a try, and the last is asked in any case.
    pub fn by_slack(mut self) -> Self {
        self.0.order = Order::BySlack;
        self
    }

    /// Asks all at once. The first that succeeds gives the answer, and the others are stopped.
    pub fn race(mut self) -> Self {
        self.0.order = Order::AtOnce;
        self
    }

    /// What to answer when all have failed. Runs where the chain is polled, and must be as quick as whatever else runs there.
    ///
    /// There is no answer after the deadline, not even this: give the last model a budget.
    pub fn default(mut self, default: impl Fn(&I) -> O + Send + Sync + 'static) -> Self {
        self.0.default = Some(Box::new(default));
        self
    }

    /// The chain.
    pub fn build(self) -> Chain<I, O> {
        Chain(Arc::new(self.0))
    }
}

impl<I, O> fmt::Debug for Fallback<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_links("Fallback", &self.0, f)
    }
}

/// Several models of which one answers. Cheap to clone; the clones share their breakers and counters.
///
/// The next is asked when those before have failed, broken down, are overloaded, not ready or have used up their budgets;
/// never because the input is wrong, because nobody wants an answer any more, or after the deadline. The answer says if it
/// is degraded, by whom and why: [`Provenance::degraded`](crate::Provenance::degraded).
pub struct Chain<I, O>(Arc<Links<I, O>>);

impl<I: Send + 'static, O: Send + 'static> Chain<I, O> {
    /// A request, to be refined and then awaited.
    pub fn infer(&self, input: I) -> ChainRequest<'_, I, O> {
        ChainRequest::new(self, input)
    }

    /// The chain as a model, each call of which is a request of its own: for [`Engine::load_with`](crate::Engine::load_with).
    /// Elsewhere, [`Engine::wrap_chain`](crate::Engine::wrap_chain) does it all.
    pub fn model(&self) -> SharedModel<I, O> {
        let chain = self.clone();
        let calls = AsyncModel::new(async move |input: I, call: &mut Call<'_, O>| {
            let response = chain.infer(input).context(call.context().clone()).await?;
            if let Some(provenance) = response.provenance {
                *call.provenance() = *provenance;
            }
            Ok::<_, Error>(Single(response.output))
        });
        Arc::new(ChainModel::new(&self.0, calls))
    }
}

impl<I, O> Chain<I, O> {
    /// What it is called.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// How it stands, and what it has done so far.
    pub fn status(&self) -> ChainStatus {
        let report = |(link, tally): &(Link<I, O>, Tally)| {
            tally.report(link.ask.name(), link.breaker.as_ref().map(crate::breaker::Breaker::status))
        };
        ChainStatus {
            links: self.0.links.iter().map(report).collect(),
            defaults: self.0.defaults.load(Ordering::Relaxed),
        }
    }
}

impl<I, O> Clone for Chain<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O> fmt::Debug for Chain<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_links("Chain", &self.0, f)
    }
}

fn fmt_links<I, O>(what: &str, links: &Links<I, O>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(what)
        .field("name", &links.name)
        .field("links", &links.links.iter().map(|(link, _)| link).collect::<Vec<_>>())
        .field("default", &links.default.is_some())
        .finish()
}
