//! What runs of a model have cost so far, and what follows from it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One hand-over between threads is worth so much work: rows that run one after the other share it up to here.
const HAND_OVER: Duration = Duration::from_micros(200);

/// Weight of the newest run in the moving average.
const NEWEST: f64 = 0.2;

/// The moving average of what one row costs, in seconds; NaN before the first run.
///
/// Instances that finish together may overwrite each other's observation: an average survives that, a lock costs more.
#[derive(Debug)]
pub(crate) struct RowCost(AtomicU64);

impl Default for RowCost {
    fn default() -> Self {
        Self(AtomicU64::new(f64::NAN.to_bits()))
    }
}

impl RowCost {
    pub(crate) fn observe(&self, run: Duration, rows: usize) {
        let newest = run.as_secs_f64() / rows.max(1) as f64;
        let average = self.known().map_or(newest, |known| known + NEWEST * (newest - known));
        self.0.store(average.to_bits(), Ordering::Relaxed);
    }

    fn known(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|cost| !cost.is_nan())
    }

    /// How many sequential rows make a batch: enough to share a hand-over, too few to keep anybody waiting.
    pub(crate) fn rows_per_hand_over(&self, max: usize) -> usize {
        match self.known() {
            Some(row) => (HAND_OVER.as_secs_f64() / row.max(1e-9)) as usize,
            None => 1,
        }
        .clamp(1, max)
    }

    /// How long `rows` take on so many instances; unknown before the first run.
    pub(crate) fn predict(&self, rows: usize, instances: usize) -> Option<Duration> {
        self.known()
            .and_then(|row| Duration::try_from_secs_f64(row * rows as f64 / instances.max(1) as f64).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RowCost;

    #[test]
    fn cheap_rows_share_a_hand_over_and_dear_ones_do_not() {
        let cost = RowCost::default();
        assert_eq!((cost.rows_per_hand_over(256), cost.predict(10, 1)), (1, None));
        cost.observe(Duration::from_micros(40), 2);
        assert_eq!(cost.rows_per_hand_over(256), 10);
        assert_eq!(cost.predict(10, 2), Some(Duration::from_micros(100)));
        for _ in 0..100 {
            cost.observe(Duration::from_millis(3), 1);
        }
        assert_eq!(cost.rows_per_hand_over(256), 1);
        for _ in 0..200 {
            cost.observe(Duration::ZERO, 1);
        }
        assert_eq!(cost.rows_per_hand_over(256), 256);
    }
}
