//! What is remembered, and how it is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unruffled_model::{Name, RequestId};

use super::{Arrival, Ending, Explanation, Place, Record, Recorder, RunEnd, RunNote, listed};
use crate::error::{Error, ErrorKind};
use unruffled_model::Priority;

/// A recorder, and a clock that began when the first request came.
struct World {
    recorder: Recorder,
    origin: Instant,
}

fn id(text: &str) -> RequestId {
    RequestId::Text(text.into())
}

fn ids(texts: &str) -> Vec<RequestId> {
    texts.split(' ').map(id).collect()
}

fn tenths(tenths: u64) -> Duration {
    Duration::from_micros(tenths * 100)
}

impl World {
    fn new(capacity: usize) -> Self {
        Self { recorder: Recorder::new(capacity), origin: Instant::now() }
    }

    /// So many tenths of a millisecond after the beginning.
    fn at(&self, at: u64) -> Instant {
        self.origin + tenths(at)
    }

    fn ending(&self, name: &str, ended: u64, place: Place, outcome: Result<(), Error>) -> Ending {
        Ending {
            id: id(name),
            priority: Priority::Interactive,
            deadline: Some(self.at(1000)),
            arrival: Arrival {
                at: self.at(0),
                ahead_requests: 12,
                ahead_rows: 14,
                running: 2,
                predicted_wait: Some(tenths(180)),
                predicted_run: Some(tenths(40)),
            },
            ended: self.at(ended),
            place,
            outcome,
        }
    }

    fn note(&self, requests: &[RequestId], began: u64, ended: u64, end: RunEnd) -> Arc<RunNote> {
        Arc::new(RunNote {
            requests: listed(requests),
            request_count: requests.len(),
            instance: 0,
            rows: requests.len(),
            began: self.at(began),
            ended: self.at(ended),
            predicted: Some(tenths(40)),
            end,
        })
    }

    fn explain(&self, name: &str) -> Option<Explanation> {
        self.recorder.explain(&id(name), &Name::from("digits"))
    }

    #[track_caller]
    fn check(&self, name: &str, expected: &str) {
        let explanation = self.explain(name).expect("it is remembered");
        assert_eq!(explanation.waited + explanation.ran, explanation.total);
        assert_eq!(explanation.to_string(), expected, "\n{explanation}");
    }
}

fn error(kind: ErrorKind, message: &str) -> Result<(), Error> {
    Err(Error::new(kind, message).of_model(&Name::from("digits")))
}

#[test]
fn an_answered_request_tells_how_long_it_waited_and_with_whom_it_ran() {
    let world = World::new(100);
    let note = world.note(&ids("abc a b c d e f g"), 189, 231, RunEnd::Completed);
    world.recorder.end([world.ending("abc", 231, Place::Ran(note), Ok(()))]);
    world.check(
        "abc",
        "\
request `abc` to `digits`: answered after 23.1 ms (interactive, 100 ms allowed)
   0.0 ms  came; 12 requests (14 rows) ahead, 2 runs going on; predicted: wait 18.0 ms, run 4.0 ms
  18.9 ms  run on instance 0 with 7 others (8 rows): `a`, `b`, `c` and 4 more; predicted 4.0 ms
  23.1 ms  answered; waited 18.9 ms, ran 4.2 ms
",
    );

    let found = world.explain("abc").unwrap();
    assert_eq!((found.waited, found.ran), (tenths(189), tenths(42)));
    assert_eq!(found.runs[0].neighbours, ids("a b c d e f g"));
    let since = found.arrived.elapsed().unwrap_or_default();
    assert!(since < Duration::from_secs(60), "it came just now, not {since:?} ago");
}

#[test]
fn a_request_that_was_shed_on_arrival_tells_what_was_in_its_way() {
    let world = World::new(100);
    let outcome =
        error(ErrorKind::Overloaded, "the queue is full: 12 requests wait; try again in about 20ms");
    let mut ending = world.ending("abc", 0, Place::Arrival, outcome);
    ending.deadline = None;
    ending.priority = Priority::Normal;
    world.recorder.end([ending]);
    world.check(
        "abc",
        "\
request `abc` to `digits`: refused on arrival, overloaded (normal, no deadline)
  0.0 ms  came; 12 requests (14 rows) ahead, 2 runs going on; predicted: wait 18.0 ms, run 4.0 ms
  0.0 ms  refused: the queue is full: 12 requests wait; try again in about 20ms
",
    );
}

#[test]
fn a_request_that_expired_in_the_queue_never_ran() {
    let world = World::new(100);
    let outcome = error(ErrorKind::DeadlineExceeded, "the deadline passed in the queue");
    let mut ending = world.ending("abc", 1001, Place::Queue, outcome);
    ending.arrival.predicted_run = None;
    world.recorder.end([ending]);
    world.check(
        "abc",
        "\
request `abc` to `digits`: deadline exceeded after 100 ms in the queue (interactive, 100 ms allowed)
    0.0 ms  came; 12 requests (14 rows) ahead, 2 runs going on; predicted: wait 18.0 ms
  100.1 ms  deadline exceeded: the deadline passed in the queue; never ran
",
    );
}

#[test]
fn a_request_that_was_preempted_and_then_answered_tells_of_both_runs() {
    let world = World::new(100);
    let first = world.note(&ids("abc a"), 1, 52, RunEnd::Preempted);
    world.recorder.run(&ids("abc a"), &first);
    let second = world.note(&ids("abc"), 93, 495, RunEnd::Completed);
    let mut ending = world.ending("abc", 495, Place::Ran(second), Ok(()));
    ending.priority = Priority::Bulk;
    ending.arrival = Arrival {
        ahead_requests: 0,
        ahead_rows: 0,
        running: 0,
        predicted_wait: None,
        predicted_run: None,
        ..ending.arrival
    };
    world.recorder.end([ending]);
    world.check(
        "abc",
        "\
request `abc` to `digits`: answered after 49.5 ms (bulk, 100 ms allowed)
   0.0 ms  came; nothing ahead, no run going on; nothing predicted yet
   0.1 ms  run on instance 0 with 1 other (2 rows): `a`; predicted 4.0 ms
   5.2 ms  pre-empted after 5.1 ms by something more urgent; back in the queue
   9.3 ms  run on instance 0, alone (1 row); predicted 4.0 ms
  49.5 ms  answered; waited 4.2 ms, ran 45.3 ms in 2 runs
",
    );
}

#[test]
fn a_request_whose_batch_was_split_tells_of_the_failure_that_was_not_its_own() {
    let world = World::new(100);
    let together = world.note(&ids("abc a b c"), 20, 50, RunEnd::Split);
    world.recorder.run(&ids("abc a b c"), &together);
    let apart = world.note(&ids("abc a"), 50, 80, RunEnd::Completed);
    let bad = world.note(&ids("b"), 80, 110, RunEnd::Failed);
    let failure = error(ErrorKind::ModelFailed, "cannot divide by zero,\nnor by nothing");
    world.recorder.end([
        world.ending("abc", 80, Place::Ran(apart), Ok(())),
        world.ending("b", 110, Place::Ran(bad), failure),
    ]);
    world.check(
        "abc",
        "\
request `abc` to `digits`: answered after 8.0 ms (interactive, 100 ms allowed)
  0.0 ms  came; 12 requests (14 rows) ahead, 2 runs going on; predicted: wait 18.0 ms, run 4.0 ms
  2.0 ms  run on instance 0 with 3 others (4 rows): `a`, `b`, `c`; predicted 4.0 ms
  5.0 ms  the run failed after 3.0 ms; its requests are run again in parts
  5.0 ms  run on instance 0 with 1 other (2 rows): `a`; predicted 4.0 ms
  8.0 ms  answered; waited 2.0 ms, ran 6.0 ms in 2 runs
",
    );
    world.check(
        "b",
        "\
request `b` to `digits`: model failed after 11.0 ms (interactive, 100 ms allowed)
   0.0 ms  came; 12 requests (14 rows) ahead, 2 runs going on; predicted: wait 18.0 ms, run 4.0 ms
   2.0 ms  run on instance 0 with 3 others (4 rows): `abc`, `a`, `c`; predicted 4.0 ms
   5.0 ms  the run failed after 3.0 ms; its requests are run again in parts
   8.0 ms  run on instance 0, alone (1 row); predicted 4.0 ms
  11.0 ms  model failed: cannot divide by zero,
           nor by nothing; waited 5.0 ms, ran 6.0 ms
",
    );
}

#[test]
fn a_request_that_left_its_run_tells_of_the_run_once_that_has_ended() {
    let world = World::new(100);
    let outcome = error(ErrorKind::Cancelled, "the caller has gone");
    let place = Place::Running { began: world.at(10) };
    world.recorder.end([world.ending("abc", 30, place, outcome)]);
    world.check(
        "abc",
        "\
request `abc` to `digits`: cancelled after 3.0 ms while it ran (interactive, 100 ms allowed)
  0.0 ms  came; 12 requests (14 rows) ahead, 2 runs going on; predicted: wait 18.0 ms, run 4.0 ms
  1.0 ms  taken into a run
  3.0 ms  cancelled: the caller has gone; waited 1.0 ms, ran 2.0 ms
",
    );
    let note = world.note(&ids("abc a"), 10, 70, RunEnd::Completed);
    world.recorder.run(&ids("abc"), &note);
    world.check(
        "abc",
        "\
request `abc` to `digits`: cancelled after 3.0 ms while it ran (interactive, 100 ms allowed)
  0.0 ms  came; 12 requests (14 rows) ahead, 2 runs going on; predicted: wait 18.0 ms, run 4.0 ms
  1.0 ms  run on instance 0 with 1 other (2 rows): `a`; predicted 4.0 ms
  3.0 ms  cancelled: the caller has gone; waited 1.0 ms, ran 2.0 ms
  7.0 ms  the run came to its end after 6.0 ms, without this request
",
    );
}

#[test]
fn short_requests_are_told_in_microseconds() {
    let world = World::new(100);
    let note = world.note(&ids("abc"), 1, 3, RunEnd::Completed);
    world.recorder.end([world.ending("abc", 3, Place::Ran(note), Ok(()))]);
    let text = world.explain("abc").unwrap().to_string();
    assert!(text.contains("\n  100.0 us  run on instance 0"), "{text}");
}

#[test]
fn the_newest_of_equal_ids_is_explained_with_its_own_runs() {
    let world = World::new(100);
    let old = world.note(&ids("abc"), 1, 5, RunEnd::Preempted);
    world.recorder.run(&ids("abc"), &old);
    world.recorder.end([world.ending("abc", 10, Place::Queue, error(ErrorKind::Cancelled, "old"))]);
    let mut ending = world.ending("abc", 90, Place::Queue, error(ErrorKind::Cancelled, "new"));
    ending.arrival.at = world.at(20);
    world.recorder.end([ending, world.ending("other", 95, Place::Queue, Ok(()))]);
    let found = world.explain("abc").unwrap();
    assert_eq!(found.outcome.unwrap_err().message(), "new");
    assert_eq!((found.runs.len(), found.total), (0, tenths(70)));
    assert!(world.explain("nobody").is_none());
}

#[test]
fn no_more_is_remembered_than_the_capacity_allows() {
    let world = World::new(5);
    for at in 0..100_u64 {
        let name = at.to_string();
        let note = world.note(&ids(&name), at, at, RunEnd::Preempted);
        world.recorder.run(&ids(&format!("{name} more")), &note);
        world.recorder.end([world.ending(&name, at, Place::Queue, Ok(()))]);
        assert!(world.recorder.len() <= 5);
    }
    assert_eq!(world.recorder.len(), 5);
    assert!(world.recorder.ring.lock().capacity() <= 5);
    assert!(world.explain("97").is_none() && world.explain("98").is_some());
    assert!(size_of::<Record>() <= 160, "{} bytes", size_of::<Record>());

    let many = (0..1000).map(RequestId::Number).collect::<Vec<_>>();
    let note = world.note(&many, 0, 1, RunEnd::Completed);
    assert_eq!((note.requests.len(), note.request_count), (16, 1000));
    // Each in an allocation with two counters.
    let bytes = size_of::<RunNote>() + size_of_val(&*note.requests) + 4 * size_of::<usize>();
    assert!(bytes <= 512, "{bytes} bytes");
}

#[test]
fn a_recorder_without_capacity_does_nothing() {
    let world = World::new(0);
    assert!(!world.recorder.is_on());
    let note = world.note(&ids("abc"), 1, 5, RunEnd::Preempted);
    world.recorder.run(&ids("abc"), &note);
    assert_eq!(Arc::strong_count(&note), 1);
    world.recorder.end(std::iter::from_fn(|| panic!("nobody asks for records")));
    assert!(world.explain("abc").is_none());
}

#[test]
fn the_last_requests_are_told_newest_first_with_their_runs() {
    let world = World::new(100);
    let both = ids("a b");
    world.recorder.run(&both, &world.note(&both, 10, 20, RunEnd::Preempted));
    let second = world.note(&ids("a"), 30, 50, RunEnd::Completed);
    world.recorder.end([world.ending("a", 50, Place::Ran(second), Ok(()))]);
    let expired = error(ErrorKind::DeadlineExceeded, "the deadline passed");
    world.recorder.end([world.ending("b", 70, Place::Queue, expired)]);
    let digits = Name::from("digits");
    let told = |most| {
        let recent = world.recorder.recent(most, &digits);
        recent.iter().map(|one| (one.id.to_string(), one.runs.len(), one.ended)).collect::<Vec<_>>()
    };
    let (a, b) = (("a".to_owned(), 2, world.at(50)), ("b".to_owned(), 1, world.at(70)));
    assert_eq!(told(1), std::slice::from_ref(&b));
    assert_eq!(told(9), [b, a]);
    assert_eq!(told(0), []);
}
