//! Runs of about the same size: the last few of them, and what they say together.

use std::time::{Duration, Instant};

/// How many runs are remembered: few enough to follow a change, enough that p95 survives one outlier.
const MEMORY: usize = 32;

/// Up to so many runs, each is taken into account at once; later, every [`LAZY`]th run takes the ones before along.
const FEW: usize = 8;
const LAZY: usize = 4;

/// From so many runs on, a single outlier does not move the median.
const WITNESSES: usize = 3;

/// What was observed so long ago, or two runs ago if that is longer, says nothing about now.
const FRESH: Duration = Duration::from_secs(1);

/// A run.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    rows: u32,
    secs: f32,
}

/// What the remembered runs would have cost, had each had as many rows as their median.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) rows: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    /// The most rows of a run.
    pub(super) rows_max: f64,
    /// The part of the cost that grows with the rows, from 0 to 1; `None` if the runs are too alike to tell.
    pub(super) growth: Option<f64>,
}

/// Runs whose rows differ by less than a factor of two.
#[derive(Debug)]
pub(super) struct Class {
    ring: Vec<Sample>,
    next: usize,
    /// The only run so far was the first of its size: memory was planned, kernels were chosen.
    cold: bool,
    newest: Sample,
    seen: Instant,
    /// Which run of the curve the newest was.
    run: u64,
    summary: Summary,
}

impl Class {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ring: Vec::with_capacity(MEMORY),
            next: 0,
            cold: true,
            newest: Sample::default(),
            seen: now,
            run: 0,
            summary: Summary::default(),
        }
    }

    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Remembers a run. Returns whether the summary is a new one.
    pub(super) fn observe(&mut self, rows: u32, took: Duration, now: Instant, run: u64) -> bool {
        self.newest = Sample { rows, secs: took.as_secs_f32() };
        self.seen = now;
        self.run = run;
        if self.ring.len() == 1 && self.cold {
            self.cold = false;
            self.ring[0] = self.newest;
        } else if self.ring.len() < MEMORY {
            self.ring.push(self.newest);
        } else {
            self.ring[self.next] = self.newest;
            self.next = (self.next + 1) % MEMORY;
        }
        let is_due = self.ring.len() <= FEW || (self.ring.len() + self.next).is_multiple_of(LAZY);
        if is_due {
            self.summary = summarize(&self.ring);
        }
        is_due
    }

    /// Whether enough runs are known to believe them rather than others.
    fn is_witness(&self) -> bool {
        self.ring.len() >= WITNESSES
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        let two_runs = Duration::try_from_secs_f64(2.0 * self.summary.p50).unwrap_or(Duration::MAX);
        now.saturating_duration_since(self.seen) <= FRESH.max(two_runs)
    }

    /// Whether `other` shows that these runs are no longer, or never were, what runs of this size take.
    ///
    /// More rows never take less, and never more per row, give or take `slack`. Where two classes are at odds, one that
    /// was not observed for the last `lag` runs, or has too few to be sure of any, gives way.
    pub(super) fn is_refuted_by(&self, other: &Self, lag: u64, slack: f64) -> bool {
        let gives_way = !self.is_witness() || self.run.saturating_add(lag) <= other.run;
        if !other.is_witness() || !gives_way {
            return false;
        }
        let (own, other) = (&self.summary, &other.summary);
        let (small, large) = if own.rows < other.rows { (own, other) } else { (other, own) };
        small.p50 > slack * large.p50 || large.p50 / large.rows > slack * (small.p50 / small.rows)
    }

    /// The least that a run of `rows` takes, if the usual run and the newest one are to be believed.
    pub(super) fn at_least(&self, rows: f64) -> Option<f64> {
        let bound = |known: f64, secs: f64| secs * (rows / known).min(1.0);
        let usual = bound(self.summary.rows, self.summary.p50);
        // One quick run after a slow time is enough to let others in.
        let newest = bound(f64::from(self.newest.rows), f64::from(self.newest.secs));
        self.is_witness().then(|| usual.min(newest))
    }
}

fn summarize(ring: &[Sample]) -> Summary {
    let mut room = [Sample::default(); MEMORY];
    let by_rows = &mut room[..ring.len()];
    by_rows.copy_from_slice(ring);
    by_rows.sort_unstable_by_key(|sample| sample.rows);
    let rows = f64::from(by_rows[rank(50, by_rows.len())].rows);
    let rows_max = f64::from(by_rows[by_rows.len() - 1].rows);
    let growth = growth(by_rows, rows);

    // Percentiles of the cost and not of the size: each run as if it had the median number of rows.
    let part = growth.unwrap_or(0.5);
    let mut room = [0.0; MEMORY];
    let costs = &mut room[..by_rows.len()];
    for (cost, sample) in costs.iter_mut().zip(by_rows.iter()) {
        *cost = f64::from(sample.secs) / (1.0 - part + part * f64::from(sample.rows) / rows);
    }
    costs.sort_unstable_by(f64::total_cmp);
    Summary { rows, p50: costs[rank(50, costs.len())], p95: costs[rank(95, costs.len())], rows_max, growth }
}

/// The part of the cost at `rows` that grows with the rows, from the small and the large third of the runs.
fn growth(by_rows: &[Sample], rows: f64) -> Option<f64> {
    let third = by_rows.len() / 3;
    if third < WITNESSES {
        return None;
    }
    let (small, large) = (&by_rows[..third], &by_rows[by_rows.len() - third..]);
    let middle = rank(50, third);
    let (few, many) = (f64::from(small[middle].rows), f64::from(large[middle].rows));
    if many < 1.25 * few {
        return None;
    }
    let (little, much) = (median_secs(small), median_secs(large));
    let slope = (much - little).max(0.0) / (many - few);
    let cost = little + slope * (rows - few).max(0.0);
    (cost > 0.0).then(|| (slope * rows / cost).min(1.0))
}

fn median_secs(third: &[Sample]) -> f64 {
    let mut room = [0.0; MEMORY / 3];
    let secs = &mut room[..third.len()];
    for (secs, sample) in secs.iter_mut().zip(third) {
        *secs = sample.secs;
    }
    secs.sort_unstable_by(f32::total_cmp);
    f64::from(secs[rank(50, secs.len())])
}

/// Where the percentile stands in a sorted list of so many: the nearest rank.
fn rank(percent: usize, len: usize) -> usize {
    (len * percent).div_ceil(100).saturating_sub(1)
}
