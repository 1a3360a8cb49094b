//! A bad row of a batch costs itself, and its neighbours no more than a few runs.

use std::time::Duration;

use unruffled_engine::{Engine, Error, ErrorKind, Infer};
use unruffled_model::ModelError;
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, ids, poll_once};

/// Inputs from here on are bad.
const BAD: u32 = 1000;

fn bad(x: u32) -> Result<(), ModelError> {
    if x < BAD { Ok(()) } else { Err(ModelError::failed(format!("cannot read {x}"))) }
}

/// A model of joint batches that fail as a whole if one input is bad.
fn picky() -> ScriptedModel<u32, u32> {
    adding().rerunnable().poisoned_by(|x| bad(*x))
}

/// The outcomes of requests that came while the only instance was held, and the sizes of the runs that followed.
async fn together(
    model: ScriptedModel<u32, u32>,
    inputs: impl IntoIterator<Item = u32>,
) -> (Vec<Result<u32, Error>>, Vec<usize>) {
    let gate = Gate::closed();
    let model = model.gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    let answers: Vec<_> = inputs.into_iter().map(|x| handle.infer(x).submit()).collect();
    gate.open();
    held.await.unwrap();
    let mut outcomes = Vec::new();
    for answer in answers {
        outcomes.push(answer.await.map(|response| response.output));
    }
    (outcomes, script.batch_sizes().split_off(1))
}

/// 32 requests of which some are bad.
fn among_32(bad: &[usize]) -> impl Iterator<Item = u32> {
    (0..32).map(|x| if bad.contains(&(x as usize)) { BAD + x } else { x })
}

/// Checks that those fail, with this, and nobody else, and returns how many more runs than one it took.
#[track_caller]
fn check_outcomes(outcomes: &[Result<u32, Error>], bad: &[usize], kind: ErrorKind, text: &str) {
    for (at, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(output) => assert!(!bad.contains(&at) && *output == at as u32 + 1, "{at}: {output}"),
            Err(error) => {
                assert!(bad.contains(&at), "{at}: {error}");
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.message().contains(text), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn one_bad_row_of_32_is_found_in_twice_log_2_runs() {
    for at in [0, 13, 31] {
        let (outcomes, sizes) = together(picky(), among_32(&[at])).await;
        check_outcomes(&outcomes, &[at], ErrorKind::ModelFailed, "cannot read");
        let error = outcomes[at].as_ref().unwrap_err();
        let source = std::error::Error::source(error).expect("the model's own error");
        assert_eq!(source.to_string(), format!("cannot read {}", BAD as usize + at));
        assert_eq!(sizes[0], 32);
        assert!(sizes.len() - 1 <= 10, "{sizes:?}");
    }
}

#[tokio::test]
async fn one_row_that_panics_breaks_instances_and_no_neighbour() {
    let (outcomes, sizes) = together(
        adding().rerunnable().poisoned_by(|x| {
            assert!(*x < BAD, "cannot bear {x}");
            Ok(())
        }),
        among_32(&[13]),
    )
    .await;
    check_outcomes(&outcomes, &[13], ErrorKind::ModelCrashed, "cannot bear 1013");
    assert!(sizes.len() - 1 <= 10, "{sizes:?}");
}

#[tokio::test]
async fn two_bad_rows_are_found_too() {
    for pair in [[3, 4], [0, 31]] {
        let (outcomes, sizes) = together(picky(), among_32(&pair)).await;
        check_outcomes(&outcomes, &pair, ErrorKind::ModelFailed, "cannot read");
        assert!(sizes.len() - 1 <= 20, "{sizes:?}");
    }
}

#[tokio::test]
async fn rows_that_must_not_run_twice_share_the_failure() {
    let all: Vec<_> = (0..32).collect();
    let (outcomes, sizes) = together(adding().poisoned_by(|x| bad(*x)), among_32(&[5])).await;
    check_outcomes(&outcomes, &all, ErrorKind::ModelFailed, "cannot read 1005");
    assert_eq!(sizes, [32]);
}

/// A function by value is never given an input twice, and rows behind the one that panicked were not begun.
#[tokio::test]
async fn a_function_that_panics_costs_one_row() {
    let engine = Engine::new();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sees = std::sync::Arc::clone(&seen);
    let model = engine
        .wrap(move |x: u32| {
            sees.lock().unwrap().push(x);
            assert!(x < BAD, "cannot bear {x}");
            x + 1
        })
        .build()
        .unwrap();
    // Quick ones first: then several share a hand-over.
    for x in 0..50 {
        model.infer(x).await.unwrap();
    }
    for round in 0..5 {
        seen.lock().unwrap().clear();
        let answers: Vec<_> = among_32(&[7]).map(|x| model.infer(x).submit()).collect();
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.push(answer.await.map(|response| response.output));
        }
        check_outcomes(&outcomes, &[7], ErrorKind::ModelCrashed, "cannot bear 1007");
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        let mut once: Vec<_> = among_32(&[7]).collect();
        once.sort_unstable();
        assert_eq!(seen, once, "round {round}: each was begun once");
    }
}

#[tokio::test]
async fn neighbours_that_go_meanwhile_do_no_harm() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(picky().gated(&gate)).build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    let mut answers: Vec<Option<Infer<u32, u32>>> =
        [BAD, 1, 2, 3, 4, 5, 6, 7].map(|x| Some(handle.infer(x).id(x.to_string()).submit())).into();
    gate.release(1);
    held.await.unwrap();
    assert_eq!(gate.entered().len(), 8);
    gate.release(1);
    assert_eq!(gate.entered(), ids(&["1000", "1", "2", "3"]), "the first half is run again");
    // Two of those that run, two of those that wait.
    for at in [1, 2, 5, 6] {
        answers[at] = None;
    }
    gate.open();
    for (at, answer) in answers.into_iter().enumerate() {
        let Some(answer) = answer else { continue };
        match at {
            0 => drop(check_error(answer.await, ErrorKind::ModelFailed, "cannot read 1000")),
            _ => assert_eq!(answer.await.unwrap().output, at as u32 + 1),
        }
    }
    let status = handle.status();
    assert_eq!((status.queued, status.queued_bytes), (0, 0));
}

#[tokio::test]
async fn an_innocents_deadline_holds_while_it_is_run_again() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(picky().gated(&gate)).build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    // A run of four first: how large a batch with a deadline may be is learned.
    let warm: Vec<_> = (0..4).map(|x| handle.infer(x).submit()).collect();
    gate.release(1);
    held.await.unwrap();
    gate.entered();
    let mut late = Box::pin(handle.infer(1).id("late").timeout(Duration::from_millis(300)).submit());
    let bad = handle.infer(BAD).id("bad").submit();
    let others: Vec<_> = [2, 3].map(|x| handle.infer(x).submit()).into();
    gate.release(1);
    for answer in warm {
        answer.await.unwrap();
    }
    let mut runs_of_late = 0;
    while runs_of_late < 2 {
        let Some(run) = gate.try_entered() else {
            // On a crowded machine it may have run alone, or not at all: then there is nothing to see.
            match poll_once(late.as_mut()) {
                std::task::Poll::Ready(_) => return,
                std::task::Poll::Pending => std::thread::yield_now(),
            }
            continue;
        };
        runs_of_late += usize::from(run.contains(&ids(&["late"])[0]));
        if runs_of_late < 2 {
            gate.release(1);
        }
    }
    // Its second run waits at the gate until its deadline has passed.
    check_error(late.await, ErrorKind::DeadlineExceeded, "the deadline passed");
    gate.open();
    check_error(bad.await, ErrorKind::ModelFailed, "cannot read 1000");
    for (answer, expected) in others.into_iter().zip([3, 4]) {
        assert_eq!(answer.await.unwrap().output, expected);
    }
}
