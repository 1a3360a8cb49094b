//! Cost over rows, for runs of one shape: a line from size class to size class.
//!
//! Runs cost `a + b * rows`, with neither below zero: more rows never take less, and never more per row. That bounds
//! the cost of sizes that were never seen: between proportional and constant below the smallest, at most proportional
//! beyond the largest.

use std::time::{Duration, Instant};

use super::class::{Class, Summary};

/// Runs of 1, 2, 3 to 4, 5 to 8 rows, and so on; the last class has all that are larger.
const CLASSES: usize = 16;

/// A class that was not observed for so many runs gives way to others that contradict it ...
const LAG: u64 = 32;

/// ... by more than this factor.
const SLACK: f64 = 1.5;

/// What a run of so many rows takes, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    rows: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
}

impl Point {
    fn new(summary: &Summary) -> Self {
        Self { rows: summary.rows, p50: summary.p50, p95: summary.p95 }
    }

    /// Both costs, so many times.
    fn times(self, rows: f64, factor: f64) -> Self {
        Self { rows, p50: self.p50 * factor, p95: self.p95 * factor }
    }

    /// The point at `rows` on the line to `next`.
    fn towards(self, next: Self, rows: f64) -> Self {
        let part = (rows - self.rows) / (next.rows - self.rows);
        // Rounding must not lift it above the end of the line.
        let between = |from: f64, to: f64| (from + (to - from) * part).min(to);
        Self { rows, p50: between(self.p50, next.p50), p95: between(self.p95, next.p95) }
    }
}

/// What runs of one shape cost, by their rows.
#[derive(Debug, Default)]
pub(super) struct Curve {
    classes: [Option<Box<Class>>; CLASSES],
    runs: u64,
    /// Ascending in all three numbers; one for each class that is believed, and one for the largest run.
    points: Vec<Point>,
    /// The part of the first point's p50 that is there even without rows.
    fixed: f64,
}

impl Curve {
    pub(super) fn observe(&mut self, rows: u32, took: Duration, now: Instant) {
        self.runs += 1;
        let class = self.classes[class_of(rows)].get_or_insert_with(|| Box::new(Class::new(now)));
        if class.observe(rows, took, now, self.runs) {
            self.draw();
        }
    }

    /// What a run of so many rows takes; `None` before the first.
    pub(super) fn at(&self, rows: f64) -> Option<Point> {
        let next = self.points.partition_point(|point| point.rows < rows);
        let before = next.checked_sub(1).map(|last| self.points[last]);
        match (before, self.points.get(next)) {
            (None, None) => None,
            (Some(last), None) => Some(last.times(rows, rows / last.rows)),
            (None, Some(first)) => {
                let p50 = self.fixed + (first.p50 - self.fixed) * (rows / first.rows);
                Some(Point { rows, p50: p50.min(first.p50), p95: first.p95 })
            }
            (Some(before), Some(next)) => Some(before.towards(*next, rows)),
        }
    }

    /// The least that a row takes in runs of up to so many, in seconds.
    pub(super) fn per_row(&self, rows_max: f64) -> Option<f64> {
        let known = self.points.iter().take_while(|point| point.rows <= rows_max).copied();
        known.chain(self.at(rows_max)).map(|point| point.p50 / point.rows).min_by(f64::total_cmp)
    }

    /// What each further row adds to the smallest run that is known, up to a run of so many: as a part of what each of its own
    /// costs. `None` if no smaller one is known.
    pub(super) fn added_by_row(&self, rows: f64) -> Option<f64> {
        let first = self.points.first().filter(|first| first.rows < rows)?;
        let added = (self.at(rows)?.p50 - first.p50) / (rows - first.rows);
        Some(added * first.rows / first.p50)
    }

    /// The least that a run of so many rows takes, by fresh observations only.
    pub(super) fn at_least(&self, rows: f64, now: Instant) -> Option<f64> {
        let fresh = self.classes.iter().flatten().filter(|class| class.is_fresh(now));
        fresh.filter_map(|class| class.at_least(rows)).max_by(f64::total_cmp)
    }

    /// Draws the line anew.
    fn draw(&mut self) {
        let known = || self.classes.iter().flatten();
        let believed = known().filter(|class| !known().any(|other| class.is_refuted_by(other, LAG, SLACK)));
        self.points.clear();
        let (mut first, mut last) = (None, None);
        for summary in believed.map(|class| class.summary()) {
            self.points.push(Point::new(summary));
            first = first.or(Some(*summary));
            last = Some(*summary);
        }
        let classes = self.points.len();
        if let Some(Summary { rows, rows_max, growth, .. }) = last
            && rows_max > rows
        {
            let growth = growth.unwrap_or(1.0);
            let largest = self.points[classes - 1].times(rows_max, 1.0 - growth + growth * rows_max / rows);
            self.points.push(largest);
        }
        for at in 1..self.points.len() {
            let before = self.points[at - 1];
            let point = &mut self.points[at];
            (point.p50, point.p95) = (point.p50.max(before.p50), point.p95.max(before.p95));
        }
        self.fixed = match self.points[..] {
            [first, next, ..] if classes > 1 => {
                let slope = (next.p50 - first.p50) / (next.rows - first.rows);
                (first.p50 - slope * first.rows).max(0.0)
            }
            // Half way between the bounds, if runs of the only class are all alike.
            [only, ..] => only.p50 * (1.0 - first.and_then(|first| first.growth).unwrap_or(0.5)),
            [] => 0.0,
        };
    }
}

fn class_of(rows: u32) -> usize {
    let class = rows.saturating_sub(1).checked_ilog2().map_or(0, |log| log as usize + 1);
    class.min(CLASSES - 1)
}
