//! The watch on virtual time: what is a stall, who is named, and what is told once.

use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::active::Entered;
use super::heartbeat::{Pulse, Step};
use super::options::WatchOptions;
use super::stall::{Site, Stall};
use super::watch::Watch;
use crate::timer::Alarm as _;

/// A watch with a beat every 10 ms and a limit of 50 ms, whose clock the test moves.
struct World {
    watch: Arc<Watch>,
    pulse: Pulse,
    begin: Instant,
}

impl World {
    fn new() -> Self {
        Self::with(WatchOptions::default())
    }

    fn with(options: WatchOptions) -> Self {
        let watch = Arc::new(Watch::new("main".into(), options));
        Self { pulse: Pulse::new(Arc::clone(&watch)), watch, begin: Instant::now() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.begin + Duration::from_millis(ms)
    }

    /// The loop polls the heartbeat.
    #[track_caller]
    fn poll(&self, ms: u64, next: u64) {
        assert_eq!(self.pulse.poll(self.at(ms), Waker::noop()), Step::CallBy(self.at(next)));
    }

    /// The timer calls for the heartbeat.
    #[track_caller]
    fn fire(&self, ms: u64, next: Option<u64>) {
        assert_eq!(self.pulse.fire(self.at(ms)), next.map(|next| self.at(next)));
    }

    /// The timer looks after what is active.
    #[track_caller]
    fn patrol(&self, ms: u64, next: Option<u64>) {
        assert_eq!(self.watch.fire(self.at(ms)), next.map(|next| self.at(next)));
    }

    #[track_caller]
    fn enter(&self, ms: u64, name: &'static str) -> Entered {
        let site = Arc::new(Site { name: name.into(), location: Location::caller() });
        self.watch.enter(site, self.at(ms)).unwrap()
    }

    fn exit(&self, ms: u64, entered: &Entered) {
        self.watch.exit(entered, self.at(ms));
    }

    fn stalls(&self, ms: u64) -> Vec<Stall> {
        self.watch.stalls(self.at(ms)).1
    }

    /// Compares what is remembered at this time: `name in outer: began+duration`, and `...` if it goes on.
    #[track_caller]
    fn check(&self, ms: u64, expected: &[&str]) {
        let stalls: Vec<String> = self.stalls(ms).iter().map(|stall| self.summary(stall)).collect();
        assert_eq!(stalls, expected);
    }

    fn summary(&self, stall: &Stall) -> String {
        let name = |site: &Option<Site>| site.as_ref().map_or("?".to_owned(), |site| site.name.to_string());
        let within = stall.within.as_ref().map_or(String::new(), |site| format!(" in {}", site.name));
        let (began, lasted) = ((stall.began - self.begin).as_millis(), stall.duration.as_millis());
        let more = if stall.is_over { "" } else { "..." };
        format!("{}{within}: {began}+{lasted}{more}", name(&stall.culprit))
    }
}

#[test]
fn beats_on_time_are_no_stall() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(10, Some(60));
    world.poll(11, 20);
    world.fire(20, Some(70));
    world.poll(69, 70);
    world.check(69, &[]);
    let beats = world.watch.beats(Instant::now());
    assert_eq!((beats.taken, beats.missed), (2, 4));
    assert_eq!(beats.late.max, Duration::from_millis(49));
    assert_eq!(beats.timer_late.max, Duration::ZERO);
}

#[test]
fn a_beat_that_does_not_come_is_a_stall_until_it_comes() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(10, Some(60));
    world.fire(60, None);
    world.check(60, &["?: 10+50..."]);
    world.check(80, &["?: 10+70..."]);
    world.poll(95, 100);
    world.check(200, &["?: 10+85"]);
    let text = world.stalls(200)[0].to_string();
    assert_eq!(
        text,
        "blocked for 85.0ms, unknown: nothing named was running; wrap tasks with `LoopWatch::task`"
    );
}

#[test]
fn the_innermost_is_named_and_the_outer_restored() {
    let world = World::new();
    world.poll(0, 10);
    let task = world.enter(5, "task");
    let first = world.enter(6, "first");
    world.exit(8, &first);
    let second = world.enter(9, "second");
    world.fire(10, Some(60));
    world.patrol(55, Some(105));
    world.check(55, &["second in task: 5+50..."]);
    world.exit(56, &second);
    world.exit(70, &task);
    world.poll(71, 80);
    world.check(99, &["second in task: 5+65"]);

    let task = world.enter(100, "task");
    let section = world.enter(101, "section");
    world.exit(102, &section);
    world.patrol(150, Some(200));
    world.exit(160, &task);
    world.check(160, &["second in task: 5+65", "task: 100+60"]);
}

#[test]
fn a_beat_and_a_task_tell_of_the_same_stall_once() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(10, Some(60));
    // The task begins after the beat was due: the beat is found missing first.
    let task = world.enter(20, "task");
    world.fire(60, None);
    world.check(60, &["task: 10+50..."]);
    world.patrol(70, Some(120));
    world.exit(200, &task);
    world.poll(201, 210);
    world.check(201, &["task: 10+191"]);

    // The task begins before: it is found to run too long first.
    let task = world.enter(205, "task");
    world.fire(210, Some(260));
    world.patrol(255, Some(305));
    world.fire(260, Some(310));
    world.exit(300, &task);
    world.poll(301, 310);
    world.check(301, &["task: 10+191", "task: 205+95"]);
}

#[test]
fn what_keeps_the_loop_after_a_stall_is_another() {
    let world = World::new();
    world.poll(0, 10);
    let task = world.enter(5, "task");
    world.fire(10, Some(60));
    world.patrol(55, Some(105));
    world.exit(58, &task);
    // Not the loop's fault since the beat was due, but since the task ended.
    world.fire(60, Some(108));
    world.fire(108, None);
    world.poll(120, 130);
    world.check(120, &["task: 5+53", "?: 58+62"]);
}

#[test]
fn a_long_section_is_found_when_it_ends_without_the_timer() {
    let world = World::new();
    let task = world.enter(0, "task");
    let section = world.enter(10, "section");
    world.exit(60, &section);
    world.check(60, &["section in task: 0+60..."]);
    world.exit(130, &task);
    world.check(200, &["section in task: 0+130"]);
    let short = world.enter(200, "short");
    world.exit(249, &short);
    assert_eq!(world.watch.stalls(world.at(300)).0, 1);
    assert_eq!(world.watch.active(), 0);
}

#[test]
fn guards_given_back_in_the_wrong_order_do_no_harm() {
    let world = World::new();
    let outer = world.enter(0, "outer");
    let inner = world.enter(1, "inner");
    world.exit(60, &outer);
    world.check(60, &["outer: 0+60..."]);
    world.exit(100, &inner);
    world.check(200, &["outer: 0+100"]);
}

#[test]
fn a_late_timer_is_not_the_loops_fault() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(500, Some(550));
    world.poll(501, 510);
    world.check(501, &[]);
    let beats = world.watch.beats(Instant::now());
    assert_eq!(beats.timer_late.max, Duration::from_millis(490));
    assert_eq!(beats.late.max, Duration::from_millis(491));
}

#[test]
fn a_stall_that_the_timer_overslept_is_found_by_the_beat() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(10, Some(60));
    world.poll(100, 110);
    world.check(200, &["?: 10+90"]);
    assert_eq!(world.stalls(200)[0].timer_lateness, Duration::from_millis(40));
}

#[test]
fn a_thread_that_is_stuck_hides_nobody_else() {
    let world = World::new();
    world.poll(0, 10);
    let enter = || world.enter(1, "stuck");
    let stuck = std::thread::scope(|threads| threads.spawn(enter).join().unwrap());
    world.patrol(51, Some(101));
    world.check(51, &["stuck: 1+50..."]);
    // The loop beats all the same: another of its threads is free.
    world.fire(10, Some(60));
    world.poll(60, 70);
    let other = world.enter(65, "other");
    world.fire(70, Some(120));
    world.fire(120, Some(170));
    world.check(120, &["stuck: 1+119...", "other: 65+55..."]);
    world.exit(130, &other);
    world.fire(170, Some(180));
    world.fire(180, None);
    world.check(180, &["stuck: 1+179...", "other: 65+65", "?: 130+50..."]);
    world.exit(300, &stuck);
    world.poll(310, 320);
    world.check(400, &["stuck: 1+299", "other: 65+65", "?: 130+180"]);
}

#[test]
fn stalls_in_memory_are_bounded() {
    let world = World::with(WatchOptions::default().with_remembered(3));
    for n in 0..10 {
        let task = world.enter(n * 100, "task");
        world.exit(n * 100 + 60, &task);
    }
    let (total, stalls) = world.watch.stalls(world.at(2000));
    let numbers: Vec<u64> = stalls.iter().map(|stall| stall.number).collect();
    assert_eq!((total, numbers), (10, vec![8, 9, 10]));
}

#[test]
fn what_is_active_is_bounded() {
    let world = World::new();
    let site = Arc::new(Site { name: "deep".into(), location: Location::caller() });
    let entered: Vec<_> =
        (0..1000).filter_map(|_| world.watch.enter(Arc::clone(&site), world.begin)).collect();
    assert_eq!((entered.len(), world.watch.active()), (64, 64));
    entered.iter().for_each(|entered| world.exit(1, entered));
    assert_eq!(world.watch.active(), 0);
}

#[test]
fn the_timer_rests_when_nothing_runs() {
    let world = World::new();
    let task = world.enter(0, "task");
    world.exit(1, &task);
    // Something has happened since the last look; then nothing has.
    world.patrol(50, Some(100));
    world.patrol(100, None);
}

#[test]
fn a_dropped_heartbeat_makes_no_stall() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(10, Some(60));
    world.pulse.end(world.at(30));
    world.fire(60, None);
    world.check(60, &[]);
}

#[test]
fn a_heartbeat_dropped_during_a_stall_ends_it() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(10, Some(60));
    world.fire(60, None);
    world.pulse.end(world.at(80));
    world.fire(90, None);
    world.check(90, &["?: 10+70"]);
}

#[test]
fn a_task_that_was_taken_for_another_stall_may_become_its_own() {
    let world = World::new();
    world.poll(0, 10);
    world.fire(10, Some(60));
    let task = world.enter(40, "task");
    world.fire(60, None);
    // The loop beats again while the task goes on: on another thread.
    world.poll(70, 80);
    world.patrol(90, Some(140));
    world.exit(100, &task);
    world.check(100, &["task: 10+60", "task: 40+60"]);
}

#[test]
fn a_closed_watch_records_nothing() {
    let world = World::new();
    world.poll(0, 10);
    let task = world.enter(5, "task");
    world.watch.close();
    world.exit(500, &task);
    world.fire(500, None);
    assert_eq!(world.pulse.poll(world.at(501), Waker::noop()), Step::End);
    world.check(501, &[]);
    assert_eq!(world.watch.active(), 0);
}
