//! [`Meter`]: where a pool counts what happens to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use unruffled_model::Name;

use super::batches::Batches;
use super::distribution::{Durations, Sizes};
use super::report::ModelMetrics;
use crate::error::ErrorKind;

/// How many kinds of error there are.
const KINDS: usize = ErrorKind::ALL.len();

/// So many instances record apart from each other: what they take is bounded, however many there are.
const RECORDINGS: usize = 16;

/// What one run was like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunFigures {
    /// How long it took, gathering and scattering included.
    pub(crate) run: Duration,
    /// How many requests it began with.
    pub(crate) requests: usize,
    /// How many rows these had together.
    pub(crate) rows: usize,
}

/// Counts what happens in one pool.
///
/// Runs are recorded by the instance's thread under a lock of its own, which only [`snapshot`](Self::snapshot) ever
/// shares; all else is one relaxed addition. Each accepted request is to be counted once more when it ends, by
/// [`run`](Self::run), [`inline_run`](Self::inline_run) or [`ended`](Self::ended).
///
/// Takes 12 KiB per instance at first, some 60 KiB with times up to 100 ms, 160 KiB at most; and as much once for
/// inline runs. Beyond 16 instances, they share what there is for 16.
pub(crate) struct Meter {
    accepted: AtomicU64,
    extra_runs: AtomicU64,
    preempted: AtomicU64,
    superseded: AtomicU64,
    leases: AtomicU64,
    refused: Kinds,
    ended: Kinds,
    /// One per instance, up to so many, and the last for inline runs.
    slots: Box<[Slot]>,
}

type Kinds = [AtomicU64; KINDS];

/// Apart from its neighbours, so that instances do not take each other's cache lines.
#[repr(align(128))]
struct Slot(Mutex<Recording>);

/// What one instance recorded.
struct Recording {
    run: Durations,
    requests: Sizes,
    rows: Sizes,
    batches: Batches,
    queue: Durations,
    answered: Durations,
    failed: Durations,
    failed_kinds: [u64; KINDS],
    /// When the last run ended that gave an answer.
    last: Option<Instant>,
}

impl Recording {
    fn new() -> Self {
        Self {
            run: Durations::new(),
            requests: Sizes::new(),
            rows: Sizes::new(),
            batches: Batches::default(),
            queue: Durations::new(),
            answered: Durations::new(),
            failed: Durations::new(),
            failed_kinds: [0; KINDS],
            last: None,
        }
    }

    fn run(&mut self, figures: RunFigures) {
        self.run.record(figures.run);
        self.requests.record(figures.requests);
        self.rows.record(figures.rows);
    }

    fn request(&mut self, queue: Duration, total: Duration, outcome: Option<ErrorKind>) {
        self.queue.record(queue);
        match outcome {
            None => self.answered.record(total),
            Some(kind) => {
                self.failed.record(total);
                self.failed_kinds[kind as usize] += 1;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.run.merge(&other.run);
        self.requests.merge(&other.requests);
        self.rows.merge(&other.rows);
        self.batches.merge(&other.batches);
        self.queue.merge(&other.queue);
        self.answered.merge(&other.answered);
        self.failed.merge(&other.failed);
        self.last = self.last.max(other.last);
        for (sum, more) in self.failed_kinds.iter_mut().zip(other.failed_kinds) {
            *sum += more;
        }
    }
}

impl Meter {
    pub(crate) fn new(instances: usize) -> Self {
        Self {
            accepted: AtomicU64::new(0),
            extra_runs: AtomicU64::new(0),
            preempted: AtomicU64::new(0),
            superseded: AtomicU64::new(0),
            leases: AtomicU64::new(0),
            refused: Kinds::default(),
            ended: Kinds::default(),
            slots: (0..=instances.min(RECORDINGS)).map(|_| Slot(Mutex::new(Recording::new()))).collect(),
        }
    }

    /// A run has ended, however it did, on the instance `slot`. `done` are the requests that ended with it: how long each
    /// waited until the run, how long it took from arrival to end, and why it failed if it did.
    pub(crate) fn run(
        &self,
        slot: usize,
        figures: RunFigures,
        ended: Instant,
        done: impl IntoIterator<Item = (Duration, Duration, Option<ErrorKind>)>,
    ) {
        let mut recording = self.slot(slot).0.lock();
        recording.run(figures);
        let mut answered = false;
        for (queue, total, outcome) in done {
            recording.request(queue, total, outcome);
            answered |= outcome.is_none();
        }
        if answered {
            recording.batches.record(figures.rows, figures.run);
            recording.last = recording.last.max(Some(ended));
        }
    }

    /// A request for a lease was granted, after so long a wait: it is answered.
    pub(crate) fn leased(&self, slot: usize, queue: Duration) {
        self.leases.fetch_add(1, Ordering::Relaxed);
        self.slot(slot).0.lock().request(queue, queue, None);
    }

    /// A request has been run on its caller's thread, without waiting.
    ///
    /// Under a lock that callers share: they are few at a time, and it is held for less than a microsecond.
    pub(crate) fn inline_run(&self, run: Duration, rows: usize, ended: Instant, outcome: Option<ErrorKind>) {
        let mut recording = self.inline_slot().0.lock();
        recording.run(RunFigures { run, requests: 1, rows });
        recording.request(Duration::ZERO, run, outcome);
        if outcome.is_none() {
            recording.batches.record(rows, run);
            recording.last = recording.last.max(Some(ended));
        }
    }

    /// A request has been answered from the cache, without a run.
    pub(crate) fn recalled(&self, took: Duration) {
        self.inline_slot().0.lock().answered.record(took);
    }

    /// A request has been let in.
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has not been let in.
    pub(crate) fn refused(&self, kind: ErrorKind) {
        self.refused[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// An accepted request has ended otherwise than with a run: it expired, or was withdrawn, shed or drained.
    pub(crate) fn ended(&self, kind: ErrorKind) {
        self.ended[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A run was, or will be, made only because an earlier one of the same requests failed.
    pub(crate) fn extra_run(&self) {
        self.extra_runs.fetch_add(1, Ordering::Relaxed);
    }

    /// A run was stopped for something more urgent.
    pub(crate) fn preempted(&self) {
        self.preempted.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was cancelled by a newer one with the same key. It [ends](Self::ended), too.
    pub(crate) fn superseded(&self) {
        self.superseded.fetch_add(1, Ordering::Relaxed);
    }

    /// What has happened so far. Keeps each instance from recording for a few microseconds.
    pub(crate) fn snapshot(&self, name: &Name, version: Option<&Name>) -> ModelMetrics {
        let inline_runs = self.inline_slot().0.lock().run.count();
        let mut all = Recording::new();
        for slot in &self.slots {
            all.merge(&slot.0.lock());
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ModelMetrics {
            name: Name::clone(name),
            version: version.cloned(),
            accepted: count(&self.accepted),
            refused: by_kind(|at| count(&self.refused[at])),
            answered: all.answered.count(),
            failed: by_kind(|at| all.failed_kinds[at] + count(&self.ended[at])),
            queue: all.queue.report(),
            run: all.run.report(),
            total_answered: all.answered.report(),
            total_failed: all.failed.report(),
            batch_requests: all.requests.report(),
            batch_rows: all.rows.report(),
            batches: all.batches.report(),
            runs: all.run.count(),
            extra_runs: count(&self.extra_runs),
            inline_runs,
            preempted: count(&self.preempted),
            superseded: count(&self.superseded),
            leases: count(&self.leases),
            last_run: all.last,
            cache: None,
        }
    }

    /// Where an instance records; the last slot is that of inline runs.
    fn slot(&self, instance: usize) -> &Slot {
        &self.slots[instance % (self.slots.len() - 1)]
    }

    fn inline_slot(&self) -> &Slot {
        &self.slots[self.slots.len() - 1]
    }

    /// What the histograms take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let bytes = |one: &Recording| {
            one.requests.bytes()
                + one.rows.bytes()
                + one.batches.bytes()
                + [&one.run, &one.queue, &one.answered, &one.failed]
                    .iter()
                    .map(|one| one.bytes())
                    .sum::<usize>()
        };
        self.slots.iter().map(|slot| bytes(&slot.0.lock())).sum()
    }
}

/// The kinds that occurred, in the order of [`ErrorKind::ALL`].
fn by_kind(count: impl Fn(usize) -> u64) -> Vec<(ErrorKind, u64)> {
    let all = ErrorKind::ALL.iter().map(|kind| (*kind, count(*kind as usize)));
    all.filter(|(_, count)| *count > 0).collect()
}
