//! Single checks, each of one thing that is promised.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use unruffled_model::{Caller, Priority, TraceContext};

use super::MakeStore;
use super::bench::{Bench, MODELS, seen, text};
use crate::error::{Error, ErrorKind};
use crate::job::{
    CancelAnswer, JobFailure, JobFilter, JobId, JobLimits, JobOutcome, JobProgress, JobState, Release,
    Stored, Submitted,
};

/// One check.
type Case = fn(&mut MakeStore<'_>);

pub(super) const CASES: &[(&str, Case)] = &[
    ("a job is queued, runs and is done", goes_through_its_states),
    ("what is said of a job reaches its runner", terms_travel),
    ("the same key is the same job", keys),
    ("a full queue refuses, and has room again", full),
    ("an input that is too large is refused", too_large),
    ("times without an end are possible", no_end_of_time),
    ("urgent jobs go first, and nobody waits for ever", priorities),
    ("each model has its line", models_apart),
    ("what waits is cancelled at once", cancelled_in_the_queue),
    ("what runs is cancelled by its runner", cancelled_while_it_runs),
    ("a job that is late is not begun", deadlines),
    ("a job waits for its time", not_before),
    ("a failed attempt is made again, so often", retries),
    ("what was not begun costs no attempt", postponed),
    ("a silent runner loses what it holds, and one that calls does not", heartbeats),
    ("a result counts once", results_once),
    ("dead letters are kept, queued again and dropped", dead_letters),
    ("results go after their while", kept_for_a_while),
    ("what is kept is bounded, the oldest goes first", kept_within_bounds),
    ("watching shows the last state, and ends", watching),
    ("news are told", news),
    ("lists are in order and by pages", lists),
    ("what nobody knows is not found", unknown),
    ("all of it is there after the process has died", reopened),
];

fn goes_through_its_states(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let job = bench.job("in");
    let id = bench.accept(job);
    let status = bench.status(id).expect("accepted");
    assert_eq!((status.state, status.attempts, status.submitted), (JobState::Queued, 0, bench.now));
    assert_eq!((bench.outcome(id), bench.input(id)), (None, Some(text("in"))));

    bench.pass(1);
    let claim = bench.claim_one();
    assert_eq!((claim.key.id, claim.attempt, &claim.input), (id, 1, &text("in")));
    let status = bench.status(id).expect("it runs");
    assert_eq!((status.state, status.started), (JobState::Running, Some(bench.now)));
    assert!(bench.claim(9).is_empty(), "nobody else gets it");

    bench.pass(1);
    assert_eq!(bench.finish(claim.key, "out"), Stored::First);
    let status = bench.status(id).expect("kept");
    assert_eq!((status.state, status.finished, status.attempts), (JobState::Done, Some(bench.now), 1));
    assert_eq!(status.result.map(|result| (result.kind, result.bytes)), Some(("text/plain".into(), 3)));
    assert_eq!(bench.outcome(id), Some(JobOutcome::Done(text("out"))));
    assert_eq!(bench.input(id), None, "nobody needs it any more");
}

fn terms_travel(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let mut job = bench.keyed("k", "in");
    job.terms.priority = Priority::Bulk;
    job.terms.deadline = Some(bench.now + Duration::from_secs(60));
    job.terms.trace = TraceContext::new(7, 9, true).map(|trace| trace.with_state("vendor=1"));
    job.terms.caller = Some(Caller::new("window").with_weight(3));
    job.terms.baggage = vec![("tenant".into(), "a".into())];
    let terms = job.terms.clone();
    bench.accept(job);
    assert_eq!(bench.claim_one().terms, terms);
}

fn keys(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default().with_jobs(2));
    let (first, again, other) = (bench.keyed("k", "a"), bench.keyed("k", "a"), bench.keyed("k", "b"));
    let id = bench.accept(first);
    assert_eq!(bench.submit(again.clone()).expect("known"), Submitted::Known(id));
    let error = check_refused(bench.submit(other.clone()), ErrorKind::InvalidInput, "`k`");
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    // It is known in whatever state it is, and also when there is no room for another.
    let claim = bench.claim_one();
    let filler = bench.job("x");
    bench.accept(filler);
    assert_eq!(bench.submit(again.clone()).expect("known"), Submitted::Known(id));
    bench.finish(claim.key, "out");
    assert_eq!(bench.submit(again).expect("known"), Submitted::Known(id));
    // Forgotten, it is new.
    bench.forget(id).expect("it has ended");
    assert_eq!(bench.submit(other).expect("new"), Submitted::New);
}

fn full(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default().with_jobs(2).with_bytes(10));
    let (a, b, c) = (bench.job("aaaa"), bench.job("bbbb"), bench.job("c"));
    let a = bench.accept(a);
    bench.accept(b);
    check_refused(bench.submit(c.clone()), ErrorKind::Overloaded, "2 jobs");
    assert_eq!(bench.status(c.id), None, "what is refused is not there");
    bench.cancel(a);
    let large = bench.job("1234567");
    check_refused(bench.submit(large), ErrorKind::Overloaded, "7");
    bench.accept(c);
}

fn too_large(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default().with_input_bytes(3));
    let (large, fits) = (bench.job("1234"), bench.job("123"));
    check_refused(bench.submit(large), ErrorKind::InvalidInput, "4 bytes; 3 is the most");
    bench.accept(fits);
    let mut wordy = bench.job("1");
    wordy.terms.baggage = vec![("note".into(), "x".repeat(16 << 10).into())];
    check_refused(bench.submit(wordy), ErrorKind::InvalidInput, "16384 is the most");
}

fn no_end_of_time(make: &mut MakeStore<'_>) {
    let for_ever = Duration::MAX;
    let limits = JobLimits::default().with_hold(for_ever).with_keep_max(for_ever).with_ageing(for_ever);
    let mut bench = Bench::new(make, limits);
    let mut job = bench.urgent(Priority::Bulk);
    job.terms.keep = for_ever;
    let id = bench.accept(job);
    let failure = JobFailure::new(ErrorKind::NotReady, "never");
    let claim = bench.claim_one();
    bench.release(claim.key, Release::Postpone { after: for_ever, failure });
    bench.pass(1_000_000);
    assert!(bench.claim(1).is_empty());
    bench.cancel(id);
    bench.pass(1_000_000_000);
    bench.sweep();
    assert_eq!(bench.state(id), JobState::Cancelled, "it is kept");
}

fn priorities(make: &mut MakeStore<'_>) {
    let ageing = 60;
    let limits =
        JobLimits::default().with_ageing(Duration::from_secs(ageing)).with_hold(Duration::from_secs(9_999));
    let mut bench = Bench::new(make, limits);
    let mut order = Vec::new();
    for priority in [Priority::Bulk, Priority::Normal, Priority::Interactive, Priority::Normal] {
        let job = bench.urgent(priority);
        order.push(bench.accept(job));
    }
    let [bulk, normal, interactive, second] = order[..] else { unreachable!("four were made") };
    let next = |bench: &Bench| bench.claim_one().key.id;
    assert_eq!(next(&bench), interactive);
    assert_eq!(next(&bench), normal);
    assert_eq!(next(&bench), second);
    // What is younger by more than two classes are worth goes behind.
    bench.pass(2 * ageing + 1);
    let late = bench.urgent(Priority::Interactive);
    let late = bench.accept(late);
    assert_eq!((next(&bench), next(&bench)), (bulk, late));
}

fn models_apart(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let (first, mut second, third) = (bench.job("1"), bench.job("2"), bench.job("3"));
    second.terms.model = MODELS[1].into();
    let (first, second, third) = (bench.accept(first), bench.accept(second), bench.accept(third));
    let ids = |wants: &[(&str, usize)]| -> Vec<JobId> {
        bench.call("r", &[], wants).claims.iter().map(|claim| claim.key.id).collect()
    };
    assert_eq!(ids(&[("unheard of", 5)]), []);
    assert_eq!(ids(&[(MODELS[0], 1), (MODELS[1], 5)]), [first, second]);
    assert_eq!(ids(&[(MODELS[0], 5), (MODELS[1], 5)]), [third]);
}

fn cancelled_in_the_queue(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let job = bench.job("in");
    let id = bench.accept(job);
    assert_eq!(bench.cancel(id), CancelAnswer::Removed);
    assert_eq!((bench.state(id), bench.outcome(id)), (JobState::Cancelled, Some(JobOutcome::Cancelled)));
    assert!(bench.claim(1).is_empty());
    assert_eq!(bench.cancel(id), CancelAnswer::TooLate);
    assert_eq!(bench.input(id), None);
}

fn cancelled_while_it_runs(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let (a, b) = (bench.job("a"), bench.job("b"));
    let (a, b) = (bench.accept(a), bench.accept(b));
    let keys: Vec<_> = bench.claim(2).iter().map(|claim| claim.key).collect();
    assert_eq!(bench.cancel(a), CancelAnswer::Asked);
    assert!(bench.status(a).is_some_and(|status| status.state == JobState::Running && status.cancel_asked));
    // Its runner hears of it, and only of it.
    assert_eq!(bench.call("r", &keys, &[]).withdrawn, [keys[0]]);
    assert_eq!(bench.complete(keys[0], JobOutcome::Cancelled), Stored::First);
    assert_eq!((bench.state(a), bench.state(b)), (JobState::Cancelled, JobState::Running));
    // One that goes back instead is cancelled just so.
    assert_eq!(bench.cancel(b), CancelAnswer::Asked);
    bench.release(keys[1], Release::Return);
    assert_eq!(bench.state(b), JobState::Cancelled);
    // One that was quicker keeps its result.
    let c = bench.job("c");
    let c = bench.accept(c);
    let claim = bench.claim_one();
    bench.cancel(c);
    bench.finish(claim.key, "out");
    assert_eq!(bench.state(c), JobState::Done);
}

fn deadlines(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let (mut late, mut past) = (bench.job("late"), bench.job("past"));
    late.terms.deadline = Some(bench.now + Duration::from_secs(5));
    past.terms.deadline = Some(bench.now);
    let past = bench.accept(past);
    let late = bench.accept(late);
    let failed = |bench: &Bench, id| match bench.outcome(id) {
        Some(JobOutcome::Failed(failure)) => failure.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(&bench, past), ErrorKind::DeadlineExceeded);
    assert_eq!(bench.call("r", &[], &[]).next, Some(bench.now + Duration::from_secs(5)));
    bench.pass(4);
    bench.sweep();
    assert_eq!(bench.state(late), JobState::Queued);
    bench.pass(1);
    assert!(bench.claim(1).is_empty());
    assert_eq!(failed(&bench, late), ErrorKind::DeadlineExceeded);
    // Queued again by hand, it has no deadline that has passed.
    bench.requeue(late).expect("it has failed");
    assert_eq!(bench.claim_one().key.id, late);
}

fn not_before(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let (mut later, at_once) = (bench.job("later"), bench.job("now"));
    later.terms.not_before = Some(bench.now + Duration::from_secs(10));
    later.terms.priority = Priority::Interactive;
    let later = bench.accept(later);
    let at_once = bench.accept(at_once);
    let claimed = bench.call("r", &[], &[(MODELS[0], 5)]);
    assert_eq!(claimed.claims.iter().map(|claim| claim.key.id).collect::<Vec<_>>(), [at_once]);
    assert_eq!(claimed.next, Some(bench.now + Duration::from_secs(10)));
    assert_eq!(bench.status(later).map(|status| status.ready), claimed.next);
    bench.pass(10);
    assert_eq!(bench.claim_one().key.id, later);
}

fn retries(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let mut job = bench.job("in");
    job.terms.attempts = 2;
    let id = bench.accept(job);
    let retry = || Release::Retry {
        after: Duration::from_secs(3),
        failure: JobFailure::new(ErrorKind::ModelCrashed, "it broke"),
    };
    let claim = bench.claim_one();
    bench.release(claim.key, retry());
    let status = bench.status(id).expect("it waits");
    assert_eq!((status.state, status.attempts), (JobState::Queued, 1));
    assert_eq!(status.failure.map(|failure| failure.message), Some("it broke".into()));
    assert!(bench.claim(1).is_empty(), "it waits");
    bench.pass(3);
    let claim = bench.claim_one();
    assert_eq!((claim.attempt, claim.returned, &claim.input), (2, 1, &text("in")));
    bench.release(claim.key, retry());
    match bench.outcome(id) {
        Some(JobOutcome::Failed(failure)) => {
            assert_eq!(failure.kind, ErrorKind::ModelCrashed);
            assert_eq!(&*failure.message, "it broke (the last of 2 attempts)");
        }
        other => panic!("{other:?}"),
    }
    // One that came back is handed out under another name: the old one is worth nothing.
    assert_eq!(bench.complete(claim.key, JobOutcome::Cancelled), Stored::AlreadyThere);
}

fn postponed(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let mut job = bench.job("in");
    job.terms.attempts = 1;
    let id = bench.accept(job);
    for round in 0..4 {
        let claim = bench.claim_one();
        assert_eq!((claim.attempt, claim.returned), (1, round));
        let failure = JobFailure::new(ErrorKind::NotReady, "is being loaded");
        let release = match round {
            2 => Release::Return,
            _ => Release::Postpone { after: Duration::from_secs(1), failure },
        };
        bench.release(claim.key, release);
        assert_eq!(
            bench.status(id).map(|status| (status.state, status.attempts)),
            Some((JobState::Queued, 0))
        );
        bench.pass(1);
    }
    let failure = bench.status(id).and_then(|status| status.failure);
    assert_eq!(failure.map(|failure| failure.kind), Some(ErrorKind::NotReady), "it says what it waits for");
}

fn heartbeats(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default().with_hold(Duration::from_secs(10)));
    let job = bench.job("in");
    let id = bench.accept(job);
    let first = bench.claim_one().key;
    for _ in 0..5 {
        bench.pass(9);
        assert_eq!(bench.call("r", &[first], &[(MODELS[0], 1)]).claims.len(), 0);
    }
    bench.pass(10);
    let second = bench.call("s", &[], &[(MODELS[0], 1)]).claims.pop().expect("nobody heard of the first");
    assert_eq!((second.key.id, second.attempt), (id, 2));
    assert_ne!(second.key, first);
    // The first hears that it has lost it.
    assert_eq!(bench.call("r", &[first], &[]).withdrawn, [first]);
    assert_eq!(bench.call("s", &[second.key], &[]).withdrawn, []);
    bench.release(first, Release::Return);
    assert_eq!(bench.state(id), JobState::Running, "it is not the first's to give back");
}

fn results_once(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default().with_hold(Duration::from_secs(10)));
    let job = bench.job("in");
    let id = bench.accept(job);
    let first = bench.claim_one().key;
    bench.pass(10);
    let second = bench.claim_one().key;
    let failure = JobFailure::new(ErrorKind::ModelFailed, "no");
    assert_eq!(bench.complete(first, JobOutcome::Failed(failure)), Stored::AlreadyThere);
    // A result is what the job was for, whoever brings it.
    assert_eq!(bench.finish(first, "first"), Stored::First);
    assert_eq!(bench.finish(second, "second"), Stored::AlreadyThere);
    assert_eq!(bench.finish(first, "third"), Stored::AlreadyThere);
    assert_eq!(bench.outcome(id), Some(JobOutcome::Done(text("first"))));
    assert_eq!(bench.call("r", &[second], &[]).withdrawn, [second]);
}

fn dead_letters(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default().with_jobs(1));
    let job = bench.job("in");
    let id = bench.accept(job);
    let check_refuses = |bench: &Bench| {
        check_refused(bench.requeue(id), ErrorKind::InvalidInput, "only what has failed");
        check_refused(bench.forget(id), ErrorKind::InvalidInput, "cancel it first");
    };
    check_refuses(&bench);
    let claim = bench.claim_one();
    check_refuses(&bench);
    let failure = JobFailure::new(ErrorKind::InvalidInput, "`x`: expected f32");
    bench.complete(claim.key, JobOutcome::Failed(failure.clone()));
    assert_eq!(bench.outcome(id), Some(JobOutcome::Failed(failure)));
    assert_eq!(bench.input(id), Some(text("in")), "it can be looked into");
    let dead = bench.list(JobFilter::default().with_state(JobState::Failed));
    assert_eq!(dead.iter().map(|status| status.id).collect::<Vec<_>>(), [id]);

    let other = bench.job("other");
    let other = bench.accept(other);
    check_refused(bench.requeue(id), ErrorKind::Overloaded, "1 jobs");
    bench.cancel(other);
    bench.requeue(id).expect("there is room");
    assert_eq!(bench.status(id).map(|status| (status.state, status.attempts)), Some((JobState::Queued, 0)));
    let claim = bench.claim_one();
    assert_eq!((claim.key.id, claim.attempt, &claim.input), (id, 1, &text("in")));
    bench.finish(claim.key, "out");
    bench.forget(id).expect("it has ended");
    assert_eq!((bench.status(id), bench.outcome(id)), (None, None));
}

fn kept_for_a_while(make: &mut MakeStore<'_>) {
    let limits = JobLimits::default()
        .with_keep_max(Duration::from_secs(100))
        .with_keep_failed(Duration::from_secs(50));
    let mut bench = Bench::new(make, limits);
    let keeps = [20, 500, 500];
    let jobs = keeps.map(|keep| {
        let mut job = bench.job("in");
        job.terms.keep = Duration::from_secs(keep);
        bench.accept(job)
    });
    for (at, claim) in bench.claim(3).into_iter().enumerate() {
        let outcome = match at {
            2 => JobOutcome::Failed(JobFailure::new(ErrorKind::ModelFailed, "no")),
            _ => JobOutcome::Done(text("out")),
        };
        bench.complete(claim.key, outcome);
    }
    let mut known = |seconds| {
        bench.pass(seconds);
        bench.sweep();
        jobs.map(|id| bench.status(id).is_some())
    };
    assert_eq!(known(19), [true, true, true]);
    assert_eq!(known(1), [false, true, true]);
    assert_eq!(known(30), [false, true, false]);
    assert_eq!(known(49), [false, true, false]);
    assert_eq!(known(1), [false; 3]);
}

fn kept_within_bounds(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default().with_kept(3).with_kept_bytes(10));
    let mut done = |result: &str| {
        bench.pass(1);
        let job = bench.job("in");
        let id = bench.accept(job);
        let claim = bench.claim_one();
        bench.finish(claim.key, result);
        (id, bench.list(JobFilter::default()).iter().map(|status| status.id).collect::<Vec<_>>())
    };
    let (a, _) = done("1");
    let (b, _) = done("2");
    let (c, kept) = done("3");
    assert_eq!(kept, [a, b, c]);
    let (d, kept) = done("4");
    assert_eq!(kept, [b, c, d]);
    let (e, kept) = done("123456789");
    assert_eq!(kept, [d, e]);
    // What is larger than all that is kept is a failure that says so.
    let (f, _) = done("12345678901");
    match bench.outcome(f) {
        Some(JobOutcome::Failed(failure)) => assert!(failure.message.contains("11 bytes; 10"), "{failure:?}"),
        other => panic!("{other:?}"),
    }
}

fn watching(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let job = bench.job("in");
    let id = bench.accept(job);
    let (mut every, mut last) = (bench.watch(id).expect("known"), bench.watch(id).expect("known"));
    assert_eq!(seen(&mut every), Poll::Ready(Some(JobState::Queued)));
    assert_eq!(seen(&mut every), Poll::Pending);
    let claim = bench.claim_one();
    assert_eq!(seen(&mut every), Poll::Ready(Some(JobState::Running)));
    bench.queue().progress(claim.key, JobProgress { part: Some(0.5), text: None });
    assert_eq!(bench.status(id).and_then(|status| status.progress?.part), Some(0.5));
    assert_eq!(seen(&mut every), Poll::Ready(Some(JobState::Running)));
    bench.finish(claim.key, "out");
    assert_eq!(seen(&mut every), Poll::Ready(Some(JobState::Done)));
    assert_eq!(seen(&mut every), Poll::Ready(None));
    // Whoever looks seldom has missed some, but not the last.
    assert_eq!(seen(&mut last), Poll::Ready(Some(JobState::Queued)));
    assert_eq!(seen(&mut last), Poll::Ready(Some(JobState::Done)));
    assert_eq!(seen(&mut last), Poll::Ready(None));
    let mut late = bench.watch(id).expect("kept");
    assert_eq!(seen(&mut late), Poll::Ready(Some(JobState::Done)));
    assert_eq!(seen(&mut late), Poll::Ready(None));
    // A state has its number, and what has ended has no progress.
    let status = bench.status(id).expect("kept");
    assert!(status.revision > 0 && status.progress.is_none());
    // One that was queued again and then forgotten ends too.
    let other = bench.job("x");
    let other = bench.accept(other);
    let mut forgotten = bench.watch(other).expect("known");
    bench.cancel(other);
    bench.forget(other).expect("it has ended");
    assert_eq!(seen(&mut forgotten), Poll::Ready(Some(JobState::Queued)));
    while let Poll::Ready(Some(state)) = seen(&mut forgotten) {
        assert_eq!(state, JobState::Cancelled);
    }
}

fn news(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let check_told = |bench: &Bench, what: &str, act: &mut dyn FnMut()| {
        let mut changed = bench.queue().changed();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(changed.as_mut().poll(&mut cx).is_pending(), "nothing has happened before {what}");
        act();
        assert!(changed.as_mut().poll(&mut cx).is_ready(), "{what}");
    };
    let job = bench.job("in");
    let id = job.id;
    check_told(&bench, "a submission", &mut || {
        bench.accept(job.clone());
    });
    let claim = bench.claim_one();
    check_told(&bench, "a return", &mut || bench.release(claim.key, Release::Return));
    let claim = bench.claim_one();
    check_told(&bench, "a wish to cancel what runs", &mut || {
        bench.cancel(id);
    });
    let failure = JobFailure::new(ErrorKind::ModelFailed, "no");
    bench.complete(claim.key, JobOutcome::Failed(failure));
    check_told(&bench, "a dead letter that is queued again", &mut || {
        bench.requeue(id).expect("it has failed");
    });
}

fn lists(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let ids: Vec<JobId> = (0..5)
        .map(|at| {
            let mut job = bench.job("in");
            job.terms.model = MODELS[at % 2].into();
            bench.accept(job)
        })
        .collect();
    bench.cancel(ids[2]);
    let list = |filter: JobFilter| bench.list(filter).iter().map(|status| status.id).collect::<Vec<_>>();
    assert_eq!(list(JobFilter::default()), ids);
    assert_eq!(list(JobFilter::default().with_max(2)), ids[..2]);
    assert_eq!(list(JobFilter::default().with_after(ids[1]).with_max(2)), ids[2..4]);
    let newest = JobFilter::default().with_newest_first();
    assert_eq!(list(newest.clone().with_max(2)), [ids[ids.len() - 1], ids[ids.len() - 2]]);
    assert_eq!(list(newest.with_after(ids[2])), [ids[1], ids[0]]);
    assert_eq!(list(JobFilter::default().with_model(MODELS[1])), [ids[1], ids[3]]);
    assert_eq!(list(JobFilter::default().with_state(JobState::Cancelled)), [ids[2]]);
}

fn unknown(make: &mut MakeStore<'_>) {
    let bench = Bench::new(make, JobLimits::default());
    let id = JobId::from(99);
    assert_eq!((bench.status(id), bench.outcome(id), bench.input(id)), (None, None, None));
    assert_eq!(bench.cancel(id), CancelAnswer::Unknown);
    check_refused(bench.requeue(id), ErrorKind::NotFound, &id.to_string());
    check_refused(bench.forget(id), ErrorKind::NotFound, &id.to_string());
    assert!(bench.watch(id).is_none());
}

fn reopened(make: &mut MakeStore<'_>) {
    let mut bench = Bench::new(make, JobLimits::default());
    let (mut waits, mut runs, done) = (bench.keyed("k", "waits"), bench.job("runs"), bench.job("done"));
    let (mut last, mut failed) = (bench.job("last"), bench.job("failed"));
    (waits.terms.model, last.terms.attempts) = (MODELS[1].into(), 1);
    (runs.terms.attempts, failed.terms.priority) = (2, Priority::Bulk);
    let again = waits.clone();
    let waits = bench.accept(waits);
    let [done, runs, last, failed] = [done, runs, last, failed].map(|job| bench.accept(job));
    let keys: Vec<_> = bench.claim(4).iter().map(|claim| claim.key).collect();
    assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [done, runs, last, failed]);
    bench.finish(keys[0], "out");
    bench.complete(keys[3], JobOutcome::Failed(JobFailure::new(ErrorKind::ModelFailed, "no")));
    bench.pass(5);
    if !bench.store.reopen(bench.now) {
        return;
    }
    assert_eq!(bench.outcome(done), Some(JobOutcome::Done(text("out"))));
    assert_eq!(bench.state(waits), JobState::Queued);
    assert_eq!(bench.submit(again).expect("known"), Submitted::Known(waits), "keys are kept");
    assert_eq!(bench.input(failed), Some(text("failed")));
    // What ran is begun again, as often as it may be.
    match bench.outcome(last) {
        Some(JobOutcome::Failed(failure)) => assert_eq!(failure.kind, ErrorKind::ModelCrashed),
        other => panic!("{other:?}"),
    }
    let claim = bench.claim_one();
    assert_eq!((claim.key.id, claim.attempt, &claim.input), (runs, 2, &text("runs")));
    assert_eq!(bench.finish(claim.key, "out"), Stored::First);
    let waiting = bench.call("r", &[], &[(MODELS[1], 9)]).claims;
    assert_eq!(waiting.iter().map(|claim| (claim.key.id, claim.attempt)).collect::<Vec<_>>(), [(waits, 1)]);
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(outcome: Result<T, Error>, kind: ErrorKind, text: &str) -> Error {
    let error = outcome.expect_err("it should have been refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "`{error}` does not mention `{text}`");
    error
}
