//! What is counted, summed up and shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Meter, Metrics, ModelMetrics, RunFigures};
use crate::error::ErrorKind;

const MS: Duration = Duration::from_millis(1);

fn snapshot(meter: &Meter) -> ModelMetrics {
    meter.snapshot(&Arc::from("digits"), None)
}

fn run(meter: &Meter, slot: usize, run: Duration, outcomes: &[Option<ErrorKind>]) {
    let figures = RunFigures { run, requests: outcomes.len(), rows: 2 * outcomes.len() };
    meter.run(slot, figures, Instant::now(), outcomes.iter().map(|outcome| (run / 2, run * 2, *outcome)));
}

#[test]
fn kinds_are_counted_in_the_place_that_they_have_among_all() {
    for (at, kind) in ErrorKind::ALL.iter().enumerate() {
        assert_eq!(*kind as usize, at, "{kind:?}");
    }
}

#[test]
fn a_snapshot_merges_what_all_instances_recorded_and_is_exact_on_counts() {
    let meter = Meter::new(3);
    (0..10_007).for_each(|_| meter.accepted());
    for slot in 0..3 {
        for _ in 0..1000 {
            run(&meter, slot, 3 * MS, &[None, None, Some(ErrorKind::ModelFailed)]);
        }
    }
    run(&meter, 1, 90 * MS, &[Some(ErrorKind::ModelCrashed)]);
    meter.inline_run(MS, 5, Instant::now(), None);
    meter.inline_run(MS, 5, Instant::now(), Some(ErrorKind::ModelFailed));
    meter.ended(ErrorKind::DeadlineExceeded);
    meter.ended(ErrorKind::ModelFailed);
    meter.refused(ErrorKind::Overloaded);
    meter.refused(ErrorKind::Overloaded);
    meter.extra_run();
    meter.preempted();
    meter.superseded();

    let found = snapshot(&meter);
    assert_eq!(&*found.name, "digits");
    assert_eq!(found.accepted, 10_007);
    assert_eq!(found.answered, 6001);
    let failed =
        [(ErrorKind::DeadlineExceeded, 1), (ErrorKind::ModelFailed, 3002), (ErrorKind::ModelCrashed, 1)];
    assert_eq!(found.failed, failed);
    assert_eq!(found.refused, [(ErrorKind::Overloaded, 2)]);
    assert_eq!((found.runs, found.extra_runs, found.inline_runs), (3003, 1, 2));
    assert_eq!((found.preempted, found.superseded), (1, 1));

    assert_eq!((found.run.count, found.run.max), (3003, 90 * MS));
    assert_eq!(found.run.sum, 9092 * MS);
    assert_eq!(found.run.mean, 9092 * MS / 3003);
    assert_eq!((found.queue.count, found.total_answered.count, found.total_failed.count), (9003, 6001, 3002));
    assert_eq!((found.total_answered.max, found.total_failed.max), (6 * MS, 180 * MS));
    assert_eq!((found.batch_requests.sum, found.batch_requests.p50, found.batch_requests.max), (9003, 3, 3));
    assert_eq!((found.batch_rows.count, found.batch_rows.sum, found.batch_rows.max), (3003, 18_012, 6));
    assert_eq!(found.batch_rows.mean, 18_012.0 / 3003.0);
    assert_eq!(snapshot(&meter), found, "looking changes nothing");
}

#[test]
fn quantiles_have_two_significant_digits_from_a_microsecond_to_an_hour() {
    for unit in [1, 10, 1000, 100_000, 3_600_000].map(Duration::from_micros) {
        let meter = Meter::new(1);
        let figures = RunFigures { run: unit, requests: 1, rows: 1 };
        // From one unit to a thousand of them, in an order that is not theirs.
        for at in (0..1000).map(|at| (at * 617) % 1000 + 1) {
            meter.run(0, figures, Instant::now(), [(unit * at, unit * at, None)]);
        }
        let found = snapshot(&meter).queue;
        assert_eq!((found.count, found.max), (1000, unit * 1000));
        assert_eq!(found.mean, unit * 500 + unit / 2);
        for (quantile, exact) in [(found.p50, 500), (found.p90, 900), (found.p99, 990), (found.p999, 999)]
            .map(|(q, at)| (q, unit * at))
        {
            let off = (quantile.as_secs_f64() - exact.as_secs_f64()) / exact.as_secs_f64();
            assert!((0.0..0.01).contains(&off), "{quantile:?} is not {exact:?}");
        }
    }
}

#[test]
fn what_is_out_of_range_counts_at_the_border_and_keeps_the_maximum() {
    let meter = Meter::new(1);
    let day = Duration::from_secs(86_400);
    meter.run(
        0,
        RunFigures { run: day, requests: 1, rows: usize::MAX },
        Instant::now(),
        [(Duration::ZERO, day, None)],
    );
    meter.run(0, RunFigures { run: day, requests: 1, rows: 0 }, Instant::now(), []);
    let found = snapshot(&meter);
    assert_eq!((found.run.max, found.run.mean), (day, day));
    let hour = Duration::from_secs(3600);
    assert!(found.run.p50 >= hour && found.run.p50 < hour.mul_f64(1.01), "{:?}", found.run.p50);
    assert_eq!((found.queue.p999, found.queue.max), (Duration::ZERO, Duration::ZERO));
    assert_eq!((found.batch_rows.max, found.batch_rows.p50), (u64::MAX >> (64 - usize::BITS), 0));
}

#[test]
fn the_histograms_take_no_more_than_they_promise() {
    let meter = Meter::new(2);
    let slots = 3;
    assert!(meter.bytes() <= slots * (12 << 10), "{} bytes at first", meter.bytes());
    let fill = |longest: Duration, rows: usize| {
        for slot in 0..2 {
            for outcome in [None, Some(ErrorKind::ModelFailed)] {
                let figures = RunFigures { run: longest, requests: rows, rows };
                meter.run(slot, figures, Instant::now(), [(longest, longest, outcome)]);
            }
        }
        meter.inline_run(longest, rows, Instant::now(), None);
        meter.inline_run(longest, rows, Instant::now(), Some(ErrorKind::ModelFailed));
    };
    fill(100 * MS, 32);
    assert!(meter.bytes() <= slots * (76 << 10), "{} bytes at 100 ms", meter.bytes());
    fill(Duration::MAX / 4, usize::MAX);
    assert!(meter.bytes() <= slots * (160 << 10), "{} bytes at most", meter.bytes());
}

#[test]
fn metrics_are_displayed_as_a_table() {
    let meter = Meter::new(2);
    (0..12_345).for_each(|_| meter.accepted());
    for at in 0..1000_u32 {
        let outcomes = [None; 8];
        run(&meter, at as usize % 2, MS + MS * (at % 100) / 10, &outcomes);
    }
    run(&meter, 0, 250 * MS, &[Some(ErrorKind::ModelFailed)]);
    (0..14).for_each(|_| meter.refused(ErrorKind::Overloaded));
    meter.refused(ErrorKind::InvalidInput);
    (0..1200).for_each(|_| meter.ended(ErrorKind::DeadlineExceeded));
    (0..3).for_each(|_| meter.ended(ErrorKind::Cancelled));
    (0..2).for_each(|_| meter.superseded());
    meter.extra_run();
    let idle = Meter::new(1).snapshot(&Arc::from("idle"), None);
    let metrics = Metrics { models: vec![snapshot(&meter), idle] };
    let expected = "\
digits
  accepted      12,345  answered       8,000  failed         1,204  refused           15
  runs           1,001  extra              1  inline             0  pre-empted         0
  failed: 1,200 deadline exceeded, 3 cancelled, 1 model failed (2 superseded)
  refused: 1 invalid input, 14 overloaded

                       count      mean       p50       p90       p99     p99.9       max
  queue                8,001    3.0 ms    3.0 ms    5.0 ms    5.5 ms    5.5 ms    125 ms
  run                  1,001    6.2 ms    6.0 ms   10.0 ms   10.9 ms   10.9 ms    250 ms
  answered             8,000   11.9 ms   11.9 ms   19.9 ms   21.6 ms   21.8 ms   21.8 ms
  failed                   1    500 ms    500 ms    500 ms    500 ms    500 ms    500 ms
  requests/run         1,001       8.0         8         8         8         8         8
  rows/run             1,001      16.0        16        16        16        16        16

idle
  accepted           0  answered           0  failed             0  refused            0
  runs               0  extra              0  inline             0  pre-empted         0
";
    assert_eq!(metrics.to_string(), expected, "\n{metrics}");
    assert_eq!(Metrics::default().to_string(), "no models\n");
}
