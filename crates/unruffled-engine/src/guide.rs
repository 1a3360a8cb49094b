//! The guide, whose examples are tests: a page that does not compile and run fails `cargo test --doc`.

/// Giving up.
#[doc = include_str!("../../../docs/guide/cancellation.md")]
pub struct Cancellation;

/// One deadline from end to end.
#[doc = include_str!("../../../docs/guide/deadlines.md")]
pub struct Deadlines;

/// Who goes first.
#[doc = include_str!("../../../docs/guide/priorities.md")]
pub struct Priorities;

/// Several requests in one run.
#[doc = include_str!("../../../docs/guide/batches.md")]
pub struct Batches;

/// Only the newest counts.
#[doc = include_str!("../../../docs/guide/supersede.md")]
pub struct Supersede;

/// Many requests under one scope.
#[doc = include_str!("../../../docs/guide/groups.md")]
pub struct Groups;

/// A live source.
#[doc = include_str!("../../../docs/guide/streams.md")]
pub struct Streams;

/// Several outputs for one input.
#[doc = include_str!("../../../docs/guide/outputs.md")]
pub struct Outputs;

/// Several models as one.
#[doc = include_str!("../../../docs/guide/asynchronous.md")]
pub struct Asynchronous;

/// Another model when one fails.
#[doc = include_str!("../../../docs/guide/fallback.md")]
pub struct Fallback;

/// Answers from memory.
#[doc = include_str!("../../../docs/guide/cache.md")]
pub struct Cache;

/// What travels with a request.
#[doc = include_str!("../../../docs/guide/context.md")]
pub struct Context;

/// Metrics, explanations, the watchdog.
#[doc = include_str!("../../../docs/guide/monitoring.md")]
pub struct Monitoring;

/// The caller's thread, and the instances'.
#[doc = include_str!("../../../docs/guide/cheap-models.md")]
pub struct CheapModels;

/// Libraries with a thread pool of their own.
#[doc = include_str!("../../../docs/guide/thread-pools.md")]
pub struct ThreadPools;

/// Models that go to their end whatever happens.
#[doc = include_str!("../../../docs/guide/uninterruptible.md")]
pub struct Uninterruptible;

/// The traps of the usual way.
#[doc = include_str!("../../../docs/guide/usual-wrapper.md")]
pub struct UsualWrapper;
