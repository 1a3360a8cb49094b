//! The cost model as the scheduler sees it: what it believes after which runs.

use std::time::{Duration, Instant};

use super::{BUCKETS, CostModel, Estimate};

const SHAPE: u64 = 7;

/// A clock of its own, and runs that cost what is asked of them.
struct World {
    model: CostModel,
    now: Instant,
    rng: fastrand::Rng,
}

impl World {
    fn new() -> Self {
        Self { model: CostModel::new(), now: Instant::now(), rng: fastrand::Rng::with_seed(20) }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn run(&mut self, rows: usize, secs: f64) {
        let took = Duration::from_secs_f64(secs);
        self.pass(took);
        self.model.observe(SHAPE, rows, took, self.now);
    }

    fn runs(&mut self, count: usize, rows: usize, secs: f64) {
        for _ in 0..count {
            self.run(rows, secs);
        }
    }

    fn estimate(&self, rows: usize) -> (f64, f64) {
        let Estimate { p50, p95 } = self.model.estimate(SHAPE, rows).unwrap();
        assert!(p50 <= p95, "{rows} rows: p50 {p50:?}, p95 {p95:?}");
        (p50.as_secs_f64(), p95.as_secs_f64())
    }

    fn at_least_ms(&self, rows: usize) -> Option<f64> {
        let at_least = self.model.at_least(SHAPE, rows, self.now)?;
        Some((at_least.as_secs_f64() * 1e3).round())
    }
}

#[track_caller]
fn assert_near(what: &str, got: f64, wanted: f64, tolerance: f64) {
    assert!((got / wanted - 1.0).abs() <= tolerance, "{what}: {got} is not {wanted}");
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn costs_of_a_fixed_and_a_growing_part_are_recovered() {
    for (fixed, row) in [(0.0, 1e-3), (5e-3, 1e-3), (2e-2, 1e-5), (1e-6, 1e-7)] {
        let mut world = World::new();
        for _ in 0..1000 {
            let rows = world.rng.usize(1..=32);
            let noise = 1.0 + 0.02 * (world.rng.f64() - 0.5);
            world.run(rows, (fixed + row * rows as f64) * noise);
        }
        for rows in 1..=32 {
            let (p50, p95) = world.estimate(rows);
            let truth = fixed + row * rows as f64;
            assert_near(&format!("p50 of {rows} rows, {fixed} + {row} each"), p50, truth, 0.05);
            assert_near(&format!("p95 of {rows} rows, {fixed} + {row} each"), p95, truth, 0.08);
        }
        let per_row = world.model.per_row(SHAPE, 32).unwrap().as_secs_f64();
        assert_near("per row", per_row, fixed / 32.0 + row, 0.05);
        let beyond = world.estimate(320).0;
        assert!(beyond > fixed + 310.0 * row && beyond < 10.5 * (fixed + 32.0 * row), "an upper bound");
    }
}

#[test]
fn sizes_that_were_never_run_are_bounded_by_those_that_were() {
    let mut world = World::new();
    assert_eq!(world.model.estimate(SHAPE, 1), None);
    assert_eq!(world.model.per_row(SHAPE, 8), None);
    world.runs(4, 8, 0.008);
    let (p50, p95) = world.estimate(1);
    assert_near("half way from constant to proportional", p50, 0.0045, 1e-3);
    assert_near("the pessimistic bound", p95, 0.008, 1e-3);
    assert_near("proportional", world.estimate(16).1, 0.016, 1e-3);
    world.runs(4, 16, 0.012);
    assert_near("along the line of the smallest two", world.estimate(1).0, 0.0045, 1e-3);
    world.runs(40, 16, 0.016);
    assert_near("along the line of the smallest two", world.estimate(1).0, 0.001, 1e-3);
    assert_eq!(world.model.estimate(SHAPE, 0), world.model.estimate(SHAPE, 1));
}

#[test]
fn the_95th_percentile_sees_what_is_slow_often() {
    let mut world = World::new();
    for run in 0..320 {
        world.run(4, if run % 10 == 0 { 0.005 } else { 0.001 });
    }
    let (p50, p95) = world.estimate(4);
    assert_near("p50", p50, 0.001, 1e-3);
    assert_near("p95", p95, 0.005, 1e-3);
}

#[test]
fn one_run_in_32_may_be_a_hundred_times_slower() {
    let mut world = World::new();
    for round in 0..128 {
        for rows in [1, 2, 4] {
            world.run(rows, 0.001 * rows as f64 * if round % 32 == 5 { 100.0 } else { 1.0 });
        }
        if round <= 36 {
            continue;
        }
        for rows in [1, 2, 3, 4, 8] {
            let (p50, p95) = world.estimate(rows);
            assert_near(&format!("p50 of {rows} rows"), p50, 0.001 * rows as f64, 0.1);
            assert_near(&format!("p95 of {rows} rows"), p95, 0.001 * rows as f64, 0.1);
        }
    }
}

#[test]
fn the_first_run_of_a_size_is_forgotten_after_the_second() {
    let mut world = World::new();
    world.run(1, 0.5);
    assert_near("all that is known", world.estimate(1).1, 0.5, 1e-3);
    world.runs(1, 1, 0.001);
    assert_near("p95", world.estimate(1).1, 0.001, 1e-3);
    world.runs(20, 1, 0.001);
    world.run(4, 0.5);
    assert_near("a cold run against many", world.estimate(8).1, 0.008, 1e-3);
}

#[test]
fn estimates_follow_a_shift_within_some_32_runs() {
    for factor in [3.0, 1.0 / 3.0] {
        let mut world = World::new();
        world.runs(100, 8, 0.009);
        world.runs(35, 8, 0.009 * factor);
        let (p50, p95) = world.estimate(8);
        assert_near("p50", p50, 0.009 * factor, 1e-3);
        assert_near("p95", p95, 0.009 * factor, 1e-3);
    }
}

#[test]
fn sizes_not_run_since_a_shift_give_way_to_those_that_were() {
    let mut world = World::new();
    for rows in [1, 4, 32] {
        world.runs(40, rows, 0.001 * rows as f64);
    }
    world.runs(80, 4, 0.012);
    assert_near("larger, by the old belief", world.estimate(32).0, 0.032, 0.01);
    assert!(world.estimate(1).0 > 0.001, "slower than it ever was, but not than it can be");
    assert!(world.estimate(1).1 >= 0.003);
    world.runs(80, 4, 0.001);
    assert_near("larger, by what is known now", world.estimate(32).1, 0.008, 0.01);
}

#[test]
fn what_a_batch_saves_is_told_by_runs_of_both_sizes() {
    let mut world = World::new();
    assert_eq!(world.model.added_by_row(SHAPE, 8), None);
    world.runs(3, 8, 0.080);
    assert_eq!(world.model.added_by_row(SHAPE, 8), None, "what fewer cost is not known");
    world.runs(3, 1, 0.010);
    assert_near("nothing is saved", world.model.added_by_row(SHAPE, 8).unwrap(), 1.0, 0.01);
    assert_near("nor is it beyond", world.model.added_by_row(SHAPE, 64).unwrap(), 1.0, 0.03);
    world.runs(40, 8, 0.017);
    assert_near("a tenth each", world.model.added_by_row(SHAPE, 4).unwrap(), 0.1, 0.05);
}

#[test]
fn estimates_never_fall_with_rows_whatever_was_observed() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut model, mut now) = (CostModel::new(), Instant::now());
        let buckets = rng.u64(1..=4);
        for _ in 0..rng.usize(1..200) {
            let rows = match rng.u8(..10) {
                0 => 0,
                1 => usize::MAX - rng.usize(..3),
                _ => rng.usize(..) >> rng.u8(44..=63),
            };
            let took = match rng.u8(..20) {
                0 => Duration::ZERO,
                1 => Duration::MAX,
                _ => Duration::from_nanos(rng.u64(..) >> rng.u8(14..64)),
            };
            now += millis(rng.u64(..100));
            let bucket = u64::MAX - rng.u64(..buckets);
            model.observe(bucket, rows, took, now);

            if rng.u8(..8) != 0 {
                continue;
            }
            let mut before = Estimate { p50: Duration::ZERO, p95: Duration::ZERO };
            let sizes = (0..70).chain((7..64).flat_map(|log| [(1 << log) - 1, 1 << log, (1 << log) + 1]));
            for rows in sizes.chain([usize::MAX]) {
                let estimate = model.estimate(bucket, rows).unwrap();
                assert!(estimate.p50 <= estimate.p95, "seed {seed}, {rows} rows: {estimate:?}");
                assert!(
                    before.p50 <= estimate.p50 && before.p95 <= estimate.p95,
                    "seed {seed}: {estimate:?} for {rows} rows, {before:?} for fewer"
                );
                before = estimate;
                assert!(model.per_row(bucket, rows) <= model.estimate(bucket, 1).map(|one| one.p95));
                model.at_least(bucket, rows, now);
            }
            assert!(model.rows_trusted(bucket) >= 2);
        }
    }
}

#[test]
fn runs_with_a_deadline_at_most_double_the_largest_seen() {
    let mut world = World::new();
    assert_eq!(world.model.rows_trusted(SHAPE), 1);
    for (rows, trusted) in [(0, 2), (2, 4), (1, 4), (4, 8), (usize::MAX, usize::MAX)] {
        world.run(rows, 0.001);
        assert_eq!(world.model.rows_trusted(SHAPE), trusted);
    }
    assert_eq!(world.model.rows_trusted(SHAPE + 1), 1, "each shape starts slowly");
}

#[test]
fn refusals_rest_on_fresh_runs_of_bounding_sizes_alone() {
    let mut world = World::new();
    assert_eq!(world.at_least_ms(8), None);
    world.runs(3, 8, 0.016);
    assert_eq!(world.at_least_ms(8), None, "too few are sure of too little");
    world.runs(1, 8, 0.016);
    assert_eq!([1, 8, 9].map(|rows| world.at_least_ms(rows)), [2.0, 16.0, 16.0].map(Some));
    assert_eq!(world.model.at_least(SHAPE + 1, 8, world.now), None, "of another shape");

    world.pass(millis(1_001));
    assert_eq!(world.at_least_ms(8), None, "stale");
    world.runs(4, 1, 0.004);
    assert_eq!(world.at_least_ms(8), Some(4.0), "small runs do not vouch for what large ones took long ago");
    world.runs(40, 8, 0.016);
    world.run(8, 0.005);
    assert_eq!(world.at_least_ms(8), Some(5.0), "the newest run has a veto");
    world.run(8, 5.0);
    assert_eq!(world.at_least_ms(8), Some(16.0), "one slow run does not refuse others");
}

#[test]
fn unknown_shapes_cost_what_all_others_do() {
    let mut world = World::new();
    world.runs(10, 4, 0.004);
    assert_eq!(world.model.estimate(u64::MAX, 4), world.model.estimate(SHAPE, 4));
    assert_eq!(world.model.per_row(u64::MAX, 4), Some(millis(1)));
    world.model.observe(u64::MAX, 4, millis(8), world.now);
    assert_near("its own", world.model.estimate(u64::MAX, 4).unwrap().p50.as_secs_f64(), 0.008, 1e-3);
}

#[test]
fn of_too_many_shapes_the_one_unused_for_longest_is_forgotten() {
    let mut world = World::new();
    for bucket in 0..BUCKETS as u64 {
        world.model.observe(bucket, 8, millis(1), world.now);
    }
    world.model.observe(0, 8, millis(1), world.now);
    world.model.observe(u64::MAX, 8, millis(1), world.now);
    assert_eq!(world.model.buckets.len(), BUCKETS);
    let trusted = [0, 1, 2, u64::MAX].map(|bucket| world.model.rows_trusted(bucket));
    assert_eq!(trusted, [16, 1, 16, 16]);
    for bucket in 0..10_000 {
        world.model.observe(bucket, 1, millis(1), world.now);
    }
    assert_eq!(world.model.buckets.len(), BUCKETS);
}

#[test]
fn only_runs_of_one_row_tell_whether_one_row_is_always_quick() {
    let mut world = World::new();
    world.runs(63, 1, 0.000_05);
    world.runs(100, 2, 0.000_05);
    assert!(!world.model.is_always_below(millis(1)), "too few");
    world.run(0, 0.000_05);
    assert!(world.model.is_always_below(millis(1)), "no rows count as one");
    world.run(2, 0.5);
    assert!(world.model.is_always_below(millis(1)), "two rows are another matter");
}
