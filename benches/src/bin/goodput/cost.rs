//! What a run costs, and a [`Device`] that takes exactly so long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The last part of a wait is spent looking at the clock: a sleep ends some 60 microseconds late.
const SPIN: Duration = Duration::from_micros(150);

/// The cost of a joint batch of n rows: `base + n * row`, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) base: u64,
    pub(crate) row: u64,
    pub(crate) max_batch: usize,
}

impl Cost {
    /// What a run of so many rows takes.
    pub(crate) fn of(&self, rows: usize) -> u64 {
        self.base + self.row * rows as u64
    }

    /// The share of one row in a run of so many.
    pub(crate) fn per_row(&self, rows: usize) -> f64 {
        self.base as f64 / rows as f64 + self.row as f64
    }

    /// Rows per second in full batches: no schedule does more.
    pub(crate) fn capacity(&self) -> f64 {
        1e9 / self.per_row(self.max_batch)
    }

    /// The largest batch that ends within so many nanoseconds; zero if none does.
    pub(crate) fn rows_within(&self, time: u64) -> usize {
        (time.saturating_sub(self.base) / self.row).min(self.max_batch as u64) as usize
    }
}

/// Runs batches by waiting: never shorter than they cost, and longer by microseconds.
///
/// It sleeps rather than works, as a model on an accelerator does: two cores have to carry the load generator and the
/// callers as well, and work that fights them for a core has no exact cost.
#[derive(Debug)]
pub(crate) struct Device {
    cost: Cost,
    runs: AtomicU64,
    rows: AtomicU64,
    over: AtomicU64,
}

/// What a device has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) runs: u64,
    pub(crate) rows: u64,
    /// How much longer than they cost all runs took, in nanoseconds.
    pub(crate) over: u64,
}

impl Done {
    pub(crate) fn since(self, before: Done) -> Done {
        Done { runs: self.runs - before.runs, rows: self.rows - before.rows, over: self.over - before.over }
    }
}

impl Device {
    pub(crate) fn new(cost: Cost) -> Self {
        Self { cost, runs: AtomicU64::new(0), rows: AtomicU64::new(0), over: AtomicU64::new(0) }
    }

    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }

    /// Occupies the calling thread for what so many rows cost.
    pub(crate) fn run(&self, rows: usize) {
        let end = Instant::now() + Duration::from_nanos(self.cost.of(rows));
        wait_until(end);
        self.over.fetch_add(end.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn done(&self) -> Done {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Done { runs: get(&self.runs), rows: get(&self.rows), over: get(&self.over) }
    }
}

/// Returns at `end`, not before it, and if the machine allows, not later than microseconds after it.
fn wait_until(end: Instant) {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left > SPIN {
            // May return early, when somebody had a wake-up left over.
            std::thread::park_timeout(left - SPIN);
        } else if left.is_zero() {
            return;
        } else {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Cost, Device};

    const COST: Cost = Cost { base: 4_000, row: 500, max_batch: 32 };

    #[test]
    fn batches_are_priced_and_sized() {
        assert_eq!((COST.of(1), COST.of(32)), (4_500, 20_000));
        let within = [0, 4_499, 4_500, 5_999, 20_000, 90_000].map(|time| COST.rows_within(time));
        assert_eq!(within, [0, 0, 1, 3, 32, 32]);
        assert_eq!(COST.capacity().round(), 1_600_000.0);
    }

    #[test]
    fn a_run_is_never_shorter_than_it_costs() {
        let device = Device::new(Cost { base: 300_000, row: 10_000, max_batch: 8 });
        let begin = Instant::now();
        device.run(5);
        device.run(1);
        assert!(begin.elapsed().as_nanos() >= 660_000);
        let done = device.done();
        assert_eq!((done.runs, done.rows), (2, 6));
    }
}
