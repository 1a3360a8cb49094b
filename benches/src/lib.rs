//! What the benchmarks share: a model that costs what it is told to, histograms, CPU time, tables.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Runtime};

/// Steps of arithmetic that take about a microsecond here, on a core of one's own.
static STEPS_PER_MICROSECOND: LazyLock<f64> = LazyLock::new(|| {
    const STEPS: u64 = 200_000;
    let fastest = (0..50).map(|_| {
        let begin = Instant::now();
        steps(STEPS);
        begin.elapsed()
    });
    let fastest = fastest.min().expect("fifty tries");
    STEPS as f64 / (fastest.as_secs_f64() * 1e6)
});

fn steps(count: u64) {
    let mut state = 1_u64;
    for _ in 0..count {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// A model that does work worth `cost` of a core, and gives its input back.
///
/// Work, not waiting: two of them on one core take twice as long.
pub fn busy(cost: Duration, input: u64) -> u64 {
    if !cost.is_zero() {
        steps((cost.as_secs_f64() * 1e6 * *STEPS_PER_MICROSECOND) as u64);
    }
    input
}

/// The event loop of all benchmarks: tokio with two workers.
///
/// # Panics
///
/// If the operating system refuses it.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}

/// An empty histogram of durations, from 1 ns to a minute, to three digits.
///
/// # Panics
///
/// Never: the bounds are constants that fit.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds")
}

/// Adds a duration to a histogram; what lies above a minute counts as a minute.
pub fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(duration.as_nanos().clamp(1, u128::from(u64::MAX)) as u64);
}

/// A quantile as a readable duration.
pub fn quantile(histogram: &Histogram<u64>, quantile: f64) -> Duration {
    Duration::from_nanos(histogram.value_at_quantile(quantile))
}

/// CPU time of this process so far; `None` where the system does not tell.
pub fn cpu_time() -> Option<Duration> {
    // Fields 14 and 15 behind the command, which may hold blanks: ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}

/// The middle one of a few figures.
///
/// # Panics
///
/// If there is none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Says what machine this is, since figures mean nothing without it.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_matches([' ', '\t', ':']));
    format!("{} cores, {}, {}", cores, model.unwrap_or("unknown processor"), std::env::consts::OS)
}

/// A number of calls per second, short.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}
