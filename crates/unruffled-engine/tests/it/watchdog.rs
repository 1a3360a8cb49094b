//! A blocked event loop is told of while it is blocked: here it stays blocked until it has been told of.

use std::panic::Location;
use std::sync::mpsc;
use std::time::Duration;

use unruffled_engine::{Engine, LoopWatch, Stall, WatchOptions};

use crate::support::runtime;

const LIMIT: Duration = Duration::from_millis(20);

/// A watch and the stalls that it tells of.
fn watched(engine: &Engine) -> (LoopWatch, mpsc::Receiver<Stall>) {
    watched_to(engine, LIMIT)
}

fn watched_to(engine: &Engine, limit: Duration) -> (LoopWatch, mpsc::Receiver<Stall>) {
    let (tell, told) = mpsc::channel();
    let options = WatchOptions::default().with_limit(limit).with_on_stall(move |stall: &Stall| {
        // The test may be over.
        let _ = tell.send(stall.clone());
    });
    (engine.watch_loop("main", options), told)
}

/// Blocks the thread until a stall with this culprit is told of.
fn block_until_told(told: &mpsc::Receiver<Stall>, culprit: Option<&str>) -> Stall {
    told.iter().find(|stall| stall.culprit.as_ref().map(|site| &*site.name) == culprit).unwrap()
}

#[track_caller]
fn check(stall: &Stall, culprit: &str, within: Option<&str>) {
    assert_eq!(stall.culprit.as_ref().map(|site| &*site.name), Some(culprit), "{stall}");
    assert_eq!(stall.within.as_ref().map(|site| &*site.name), within, "{stall}");
    assert!(stall.duration >= LIMIT && !stall.is_over, "{stall}");
}

#[track_caller]
fn here() -> &'static Location<'static> {
    Location::caller()
}

#[test]
fn a_task_that_blocks_the_loop_is_named_while_it_does() {
    let engine = Engine::new();
    let (watch, told) = watched(&engine);
    let block = async { block_until_told(&told, Some("resize")) };
    let (task, near) = (watch.task("resize", block), here());
    let stall = runtime().block_on(task);
    check(&stall, "resize", None);
    let location = stall.culprit.as_ref().unwrap().location;
    assert_eq!((location.file(), location.line()), (near.file(), near.line()));
    let over = watch.report().stalls.into_iter().find(|one| one.number == stall.number).unwrap();
    assert!(over.is_over && over.duration >= stall.duration, "{over}");
}

#[test]
fn a_section_is_named_before_its_task() {
    let engine = Engine::new();
    let (watch, told) = watched(&engine);
    let task = watch.task("upload", async {
        let first = loop {
            let section = watch.section(format!("part {}", 1));
            let stall = told.recv().unwrap();
            drop(section);
            // The stall goes on until the task gives the loop back; the next is another.
            tokio::task::yield_now().await;
            // On a crowded machine, the limit may pass before the section begins.
            if stall.culprit.as_ref().is_some_and(|site| site.name == "part 1") {
                break stall;
            }
        };
        (first, block_until_told(&told, Some("upload")))
    });
    let (first, second) = runtime().block_on(task);
    check(&first, "part 1", Some("upload"));
    check(&second, "upload", None);
}

#[test]
fn who_has_no_name_is_found_by_the_heartbeat() {
    let engine = Engine::new();
    let (watch, told) = watched(&engine);
    runtime().block_on(async {
        tokio::spawn(watch.heartbeat());
        tokio::task::yield_now().await;
        let stall = block_until_told(&told, None);
        assert!(stall.to_string().contains("unknown: nothing named was running"), "{stall}");
        assert!(stall.duration >= LIMIT && !stall.is_over, "{stall}");
        while watch.report().beats == 0 {
            tokio::task::yield_now().await;
        }
    });
    let report = watch.report();
    assert!(report.stalls[0].is_over && report.lateness.max >= LIMIT, "{report}");
    assert!(report.lateness.p50 <= report.lateness.p99 && report.lateness.p99 <= report.lateness.max);
    assert!(report.missed >= 1, "{report}");
}

#[test]
fn two_threads_are_told_apart() {
    let engine = Engine::new();
    let (watch, told) = watched(&engine);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (release, released) = (0..2).map(|_| mpsc::channel::<()>()).unzip::<_, _, Vec<_>, Vec<_>>();
    let tasks: Vec<_> = ["left", "right"]
        .into_iter()
        .zip(released)
        .map(|(name, released)| runtime.spawn(watch.task(name, async move { released.recv() })))
        .collect();
    let mut names: Vec<_> = told
        .iter()
        .take(2)
        .map(|stall| {
            assert!(stall.duration >= LIMIT && stall.within.is_none(), "{stall}");
            stall.culprit.unwrap().name
        })
        .collect();
    names.sort();
    assert_eq!(names, ["left", "right"]);
    for release in release {
        release.send(()).unwrap();
    }
    for task in tasks {
        runtime.block_on(task).unwrap().unwrap();
    }
    assert!(watch.report().stalls.iter().all(|stall| stall.is_over));
}

#[test]
fn a_panicking_callback_harms_nobody() {
    let engine = Engine::new();
    let (tell, told) = mpsc::channel();
    let options = WatchOptions::default().with_limit(LIMIT).with_on_stall(move |stall: &Stall| {
        let _ = tell.send(stall.clone());
        panic!("as the test wants it");
    });
    let watch = engine.watch_loop("main", options);
    // The second is told of by the thread that called the first.
    for name in ["first", "second"] {
        runtime().block_on(watch.task(name, async { block_until_told(&told, Some(name)) }));
    }
    let slow = engine.wrap(|()| ()).build().unwrap();
    let answer = runtime().block_on(slow.infer(()).timeout(Duration::from_secs(60)).into_future());
    assert!(answer.is_ok());
}

#[test]
fn a_panicking_task_is_not_left_running() {
    let engine = Engine::new();
    let (watch, told) = watched(&engine);
    let runtime = runtime();
    let join = runtime.spawn(watch.task("panics", async { panic!("as the test wants it") }));
    assert!(runtime.block_on(join).is_err());
    let stall = runtime.block_on(watch.task("blocks", async { block_until_told(&told, Some("blocks")) }));
    check(&stall, "blocks", None);
}

#[test]
fn a_dropped_heartbeat_makes_no_stall() {
    let engine = Engine::new();
    // Far apart, so that a crowded machine does not make what is looked for.
    let (watch, told) = watched_to(&engine, Duration::from_millis(250));
    let (other, other_told) = watched_to(&engine, Duration::from_millis(500));
    runtime().block_on(async {
        let heartbeat = tokio::spawn(watch.heartbeat());
        tokio::task::yield_now().await;
        heartbeat.abort();
        assert!(heartbeat.await.is_err());
        // One that was never polled measures nothing either.
        let unused = watch.heartbeat();
        other.task("blocks", async { block_until_told(&other_told, Some("blocks")) }).await;
        drop(unused);
    });
    assert!(told.try_recv().is_err());
    assert_eq!(watch.report().stalls_total, 0);
}

#[test]
fn a_heartbeat_ends_with_the_last_watch() {
    let engine = Engine::new();
    let (watch, told) = watched(&engine);
    runtime().block_on(async {
        let heartbeat = tokio::spawn(watch.heartbeat());
        let task = watch.task("outlives its watch", async { 1 });
        tokio::task::yield_now().await;
        drop(watch.clone());
        drop(watch);
        heartbeat.await.unwrap();
        assert_eq!(task.await, 1);
    });
    // What would tell of stalls is gone too.
    assert!(told.iter().all(|stall| stall.culprit.is_none()));
}

#[test]
fn the_report_reads_well() {
    let engine = Engine::new();
    let (watch, told) = watched(&engine);
    let empty = watch.report().to_string();
    assert_eq!(
        empty,
        "event loop `main`: 0 beats, 0 missed\n  loop late by: p50 0.0ns, p99 0.0ns, max 0.0ns\n  \
         timer late by: p50 0.0ns, p99 0.0ns, max 0.0ns\n  stalls of 20ms or more: 0"
    );
    runtime().block_on(watch.task("resize", async { block_until_told(&told, Some("resize")) }));
    let report = watch.report().to_string();
    assert!(report.contains("stalls of 20ms or more: 1\n    1. blocked for "), "{report}");
    assert!(report.contains(" by `resize` (") && report.contains("watchdog.rs:"), "{report}");
}
