//! [`Group`]: many requests under one scope, which nothing of them outlives.

mod terms;

mod item;

mod scope;

mod failed;
mod report;

use std::fmt;
use std::time::{Duration, Instant};

use unruffled_model::{Priority, RequestContext};

use crate::handle::Request;
use crate::request::Response;
use crate::timer::Timer;
pub use failed::FailedGroup;
use item::Outcome;
pub(crate) use item::{Entry, Item};
pub use report::{GroupError, Report};
use scope::Scope;
use terms::Terms;

/// So many requests of a group are with their models at a time unless said otherwise: two full batches.
const IN_FLIGHT: usize = 64;

/// Several requests that belong together: to one model or to several, with inputs of any types and outputs of one.
///
/// Nothing is sent before [`run_all`](Self::run_all) or [`fail_fast`](Self::fail_fast) is awaited, and nothing goes on
/// when one of them completes: no request waits, and no model runs one, also none whose deadline passed while its model
/// could not be stopped. Needs no runtime, and spawns nothing: the requests are sent, and polled, by whoever polls the
/// group; those to one model are sent together, so that they may share a run.
///
/// A queue that is full with the work of others fails no request of a group: it waits for room, as long as its deadline
/// allows.
///
/// ```
/// # use std::time::Duration;
/// # use unruffled_engine::Engine;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new();
/// let count = engine.wrap(|text: String| text.split_whitespace().count()).name("words").build()?;
/// let round = engine.wrap(|number: f64| number.round() as usize).name("round").build()?;
/// let group = engine.empty_group().add(count.infer("to be or not".to_owned())).add(round.infer(2.7));
/// let both = group.timeout(Duration::from_secs(1)).fail_fast().await?;
/// assert_eq!((both[0].output, both[1].output), (4, 3));
/// # Ok(())
/// # }
/// ```
#[must_use = "the requests of a group are sent when `run_all` or `fail_fast` is awaited"]
pub struct Group<O: Send + 'static> {
    timer: Timer,
    items: Vec<Box<dyn Item<O>>>,
    terms: Terms,
    in_flight: usize,
}

impl<O: Send + 'static> Group<O> {
    pub(crate) fn new(timer: Timer) -> Self {
        Self { timer, items: Vec::new(), terms: Terms::default(), in_flight: IN_FLIGHT }
    }

    /// Adds a request. Its place in the results is the one in which it was added.
    #[allow(clippy::should_implement_trait, reason = "nobody takes it for a sum")]
    pub fn add<I: Send + 'static>(mut self, request: Request<'_, I, O>) -> Self {
        self.items.push(Box::new(Entry::new(request)));
        self
    }

    /// Adds several, in their order.
    pub fn add_all<'a, I: Send + 'static>(
        self,
        requests: impl IntoIterator<Item = Request<'a, I, O>>,
    ) -> Self {
        requests.into_iter().fold(self, Group::add)
    }

    /// Gives up at this instant: for each request, the earlier of this and its own deadline counts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.terms.deadline = Some(deadline);
        self
    }

    /// Gives up so long after now.
    pub fn timeout(self, timeout: Duration) -> Self {
        // A timeout beyond what the clock can count is none.
        match self.timer.now().checked_add(timeout) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }

    /// Gives all of them this priority, whatever their own.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.terms.priority = Some(priority);
        self
    }

    /// Says what they are a part of: a request from elsewhere, whose deadline and priority are then the scope's, and whose
    /// trace, caller and baggage each request has that has none of its own.
    pub fn context(mut self, context: &RequestContext) -> Self {
        self.terms.deadline = [self.terms.deadline, context.deadline()].into_iter().flatten().min();
        self.terms.priority = Some(context.priority());
        self.terms.context = Some(context.clone());
        self
    }

    /// How many of them are with their models at a time, waiting or running; 64 unless said, at least 1. The others wait
    /// here, so that a large group neither fills a queue nor keeps other callers out of it.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests.max(1);
        self
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Runs all of them, whatever becomes of the others, and tells each one's outcome, in the order in which they were
    /// added. Needs no runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, all that have no answer are cancelled, and all results are lost. Dropping cannot await:
    /// what cannot be stopped at once may go on for a while, in a slot that is not given away meanwhile.
    pub async fn run_all(self) -> Report<O> {
        let mut outcomes: Vec<Option<Outcome<O>>> = Vec::new();
        outcomes.resize_with(self.len(), || None);
        let mut scope = self.begin();
        while let Some((at, outcome)) = scope.next().await {
            outcomes[at] = Some(outcome);
        }
        let outcomes = outcomes.into_iter();
        Report::new(outcomes.map(|outcome| outcome.expect("a scope ends when all are answered")).collect())
    }

    /// Runs all of them as long as none fails. At the first failure all others are cancelled, and their ends awaited. Needs
    /// no runtime.
    ///
    /// # Errors
    ///
    /// The first failure, with the results that were there by then.
    ///
    /// # Cancel safety
    ///
    /// As [`run_all`](Self::run_all).
    pub async fn fail_fast(self) -> Result<Vec<Response<O>>, FailedGroup<O>> {
        let mut results: Vec<Option<Response<O>>> = Vec::new();
        results.resize_with(self.len(), || None);
        let mut scope = self.begin();
        while let Some((at, outcome)) = scope.next().await {
            match outcome {
                Ok(response) => results[at] = Some(response),
                Err(error) => {
                    let stopped = scope.stop().await;
                    return Err(FailedGroup::new(at, error, results, stopped));
                }
            }
        }
        let results = results.into_iter();
        Ok(results.map(|result| result.expect("a scope ends when all are answered")).collect())
    }

    fn begin(self) -> Scope<O> {
        Scope::new(self.items, self.terms, self.in_flight)
    }
}

impl<O: Send + 'static> fmt::Debug for Group<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("requests", &self.len())
            .field("deadline", &self.terms.deadline)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
