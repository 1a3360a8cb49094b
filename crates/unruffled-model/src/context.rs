//! What travels with a request and with a run: [`RequestId`], [`RequestContext`], [`RunContext`].

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use crate::cancel::{CancelToken, HookGuard};
use crate::trace::TraceContext;

/// Names one request in logs, replies and errors; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// Given by the engine, unique within it.
    Number(u64),
    /// Given by the caller.
    Text(Arc<str>),
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestId::Number(number) => write!(f, "{number}"),
            RequestId::Text(text) => f.write_str(text),
        }
    }
}

/// Who goes first when work waits. Within a class the earliest deadline goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody looks at the screen and waits.
    Interactive,
    /// The usual.
    #[default]
    Normal,
    /// Whenever nothing else waits.
    Bulk,
}

impl Priority {
    /// Every class, the most urgent first.
    pub const ALL: [Priority; 3] = [Priority::Interactive, Priority::Normal, Priority::Bulk];
}

/// On whose behalf a request is made: callers of one class share a model fairly, in proportion to their weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The tenant, user, API key or window.
    pub key: Arc<str>,
    /// Its share beside the others'; 1 is usual.
    pub weight: NonZeroU32,
}

impl Caller {
    /// A caller with the usual share.
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self { key: key.into(), weight: NonZeroU32::MIN }
    }

    /// With so many times the usual share; 0 counts as 1.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = NonZeroU32::new(weight).unwrap_or(NonZeroU32::MIN);
        self
    }
}

/// What a caller sends along with an input: immutable, and never mixed with that of a neighbour in the batch.
///
/// Cheap to clone: what few requests have is behind one shared pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    id: RequestId,
    deadline: Option<Instant>,
    priority: Priority,
    more: Option<Arc<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    trace: Option<TraceContext>,
    caller: Option<Caller>,
    baggage: Vec<(Arc<str>, Arc<str>)>,
}

impl RequestContext {
    /// The context of a request of this name.
    pub fn new(id: RequestId) -> Self {
        Self { id, deadline: None, priority: Priority::default(), more: None }
    }

    /// With another name.
    #[must_use]
    pub fn with_id(mut self, id: RequestId) -> Self {
        self.id = id;
        self
    }

    /// With a deadline, or without one.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// With a priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// With a place in a trace.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.more_mut().trace = Some(trace);
        self
    }

    /// On behalf of a caller.
    #[must_use]
    pub fn with_caller(mut self, caller: Caller) -> Self {
        self.more_mut().caller = Some(caller);
        self
    }

    /// With one more piece of baggage: a name and a value that go wherever the request goes.
    #[must_use]
    pub fn with_baggage(mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.more_mut().baggage.push((name.into(), value.into()));
        self
    }

    fn more_mut(&mut self) -> &mut More {
        Arc::make_mut(self.more.get_or_insert_default())
    }

    /// The name of the request.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// When its caller gives up; `None` waits for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How urgent it is.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Its place in a trace.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.more.as_ref()?.trace.as_ref()
    }

    /// On whose behalf it is made.
    pub fn caller(&self) -> Option<&Caller> {
        self.more.as_ref()?.caller.as_ref()
    }

    /// Names and values of its baggage, in the order in which they were added.
    pub fn baggage(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.more.as_ref().map_or(&[][..], |more| more.baggage.as_slice());
        pairs.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// What a model may ask about the run that it is in.
#[derive(Clone, Copy, Debug)]
pub struct RunContext<'a> {
    cancel: &'a CancelToken,
    deadline: Option<Instant>,
    requests: &'a [RequestContext],
    /// The one that is being run, where that is known.
    row: Option<usize>,
    threads: usize,
}

impl<'a> RunContext<'a> {
    /// The context of a run over these requests, one per row of the batch, on one thread.
    pub fn new(cancel: &'a CancelToken, deadline: Option<Instant>, requests: &'a [RequestContext]) -> Self {
        Self { cancel, deadline, requests, row: None, threads: 1 }
    }

    /// With so many threads to use.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// For the row with this [index](crate::Row::index) alone.
    #[must_use]
    pub fn of_row(mut self, index: usize) -> Self {
        self.row = Some(index);
        self
    }

    /// Whether nobody waits for this run any more. Ask it between steps, and return
    /// [`ModelError::cancelled`](crate::ModelError::cancelled) when it says so.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Has `hook` run, once, when nobody waits any more: the way to stop a library that is running. It runs on the thread
    /// that gives up last, or at once on this one if that has happened already. The hook neither runs nor is running once
    /// the guard is dropped.
    #[must_use = "dropping the guard takes the hook away"]
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> HookGuard<'a> {
        self.cancel.on_cancel(hook)
    }

    /// When the last of the requests gives up; `None` if one of them waits for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The requests of this run; the index is that of the row in the batch.
    pub fn requests(&self) -> &'a [RequestContext] {
        self.requests
    }

    /// The request that is being run: what a function that is called row by row asks. `None` where a run has several rows at
    /// once, and in a batch that nobody made requests of.
    pub fn request(&self) -> Option<&'a RequestContext> {
        match (self.row, self.requests) {
            (Some(row), requests) => requests.get(row),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// How many threads the run may keep busy, this one included: its share of the cores just now, at least 1.
    pub fn threads(&self) -> usize {
        self.threads
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, Priority, RequestContext, RequestId};
    use crate::trace::TraceContext;

    #[test]
    fn a_changed_copy_leaves_the_original_alone() {
        let plain = RequestContext::new(RequestId::Number(1)).with_baggage("tenant", "a");
        let changed = plain
            .clone()
            .with_caller(Caller::new("window").with_weight(0))
            .with_trace(TraceContext::new(1, 2, false).unwrap())
            .with_priority(Priority::Bulk)
            .with_baggage("tenant", "b");
        assert_eq!(plain.baggage().collect::<Vec<_>>(), [("tenant", "a")]);
        assert_eq!((plain.caller(), plain.trace(), plain.priority()), (None, None, Priority::Normal));
        assert_eq!(changed.baggage().count(), 2);
        assert_eq!(changed.caller().map(|caller| caller.weight.get()), Some(1));
    }
}
