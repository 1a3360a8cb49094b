//! What callers' own code and odd models do harms nobody but them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use unruffled_engine::{Engine, ErrorKind, Handle};
use unruffled_model::{
    Batch, Batching, Footprint, LoadedModel, Model, ModelError, ModelInfo, Row, RunContext, Serve,
};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, engine_of, patiently, wait_until};

const SOON: Duration = Duration::from_millis(20);

/// An input: its end may panic, and tells of it first.
enum Fragile {
    Whole(Duration),
    Broken(mpsc::Sender<()>),
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if let Self::Broken(tell) = self {
            let _ = tell.send(());
            panic!("an unlucky input");
        }
    }
}

/// Takes as long as the input says.
fn lasting(gate: &Gate) -> ScriptedModel<Fragile, ()> {
    let model = ScriptedModel::new(|input: &Fragile, _: &RunContext<'_>| {
        let begin = Instant::now();
        while matches!(input, Fragile::Whole(time) if begin.elapsed() < *time) {
            std::hint::spin_loop();
        }
        Ok(())
    });
    model.gated(gate)
}

fn whole() -> Fragile {
    Fragile::Whole(Duration::ZERO)
}

#[tokio::test]
async fn an_input_that_panics_as_its_deadline_passes_stops_nobody_elses_deadline() {
    let (engine, gate, other_gate) = (engine_of(8), Gate::closed(), Gate::closed());
    let model = engine.wrap_model(lasting(&gate)).build().unwrap();
    let other = engine.wrap_model(adding().gated(&other_gate)).build().unwrap();
    let running = model.infer(whole()).submit();
    gate.entered();
    let (tell, told) = mpsc::channel();
    let broken = model.infer(Fragile::Broken(tell)).timeout(SOON).submit();
    let behind = model.infer(whole()).timeout(2 * SOON).submit();
    check_error(patiently(broken).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    told.recv().unwrap();
    check_error(patiently(behind).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    let late = other.infer(1).timeout(SOON).submit();
    check_error(patiently(late).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    other_gate.open();
    gate.open();
    patiently(running).await.unwrap();
    assert_eq!(patiently(other.infer(1).submit()).await.unwrap().output, 2);
}

#[tokio::test]
async fn several_inputs_that_panic_at_once_are_no_worse_than_one() {
    let (engine, gate) = (engine_of(8), Gate::closed());
    let model = engine.wrap_model(lasting(&gate)).build().unwrap();
    let running = model.infer(whole()).submit();
    gate.entered();
    let (tell, told) = mpsc::channel();
    let deadline = Instant::now() + SOON;
    let broken: Vec<_> =
        (0..3).map(|_| model.infer(Fragile::Broken(tell.clone())).deadline(deadline).submit()).collect();
    for broken in broken {
        check_error(patiently(broken).await, ErrorKind::DeadlineExceeded, "the deadline passed");
        told.recv().unwrap();
    }
    gate.open();
    patiently(running).await.unwrap();
    check_error(
        patiently(model.infer(whole()).deadline(deadline).submit()).await,
        ErrorKind::DeadlineExceeded,
        "the deadline had passed",
    );
}

#[tokio::test]
async fn a_hopeless_neighbour_that_panics_leaves_nobody_without_an_answer() {
    let (gate, cost) = (Gate::opened(), Duration::from_millis(20));
    let model = Engine::new().wrap_model(lasting(&gate)).build().unwrap();
    for _ in 0..5 {
        model.infer(Fragile::Whole(cost)).await.unwrap();
        gate.entered();
    }
    gate.close();
    let held = model.infer(whole()).submit();
    gate.entered();
    let (tell, told) = mpsc::channel();
    let deadline = Instant::now() + 20 * cost;
    let hopeless: Vec<_> =
        (0..2).map(|_| model.infer(Fragile::Broken(tell.clone())).deadline(deadline).submit()).collect();
    let others: Vec<_> = (0..3).map(|_| model.infer(whole()).submit()).collect();
    assert_eq!(model.status().queued, 5, "there was hope when they came");
    // Less is left than a run takes.
    wait_until(|| Instant::now() + cost / 2 >= deadline);
    gate.open();
    patiently(held).await.unwrap();
    for hopeless in hopeless {
        check_error(patiently(hopeless).await, ErrorKind::DeadlineExceeded, "the deadline");
        told.recv().unwrap();
    }
    for other in others {
        patiently(other).await.unwrap();
    }
    wait_until(|| model.status().running == 0);
    patiently(model.infer(whole()).submit()).await.unwrap();
    assert_eq!((model.status().queued, model.status().instances), (0, 1));
}

/// What a model does with a batch.
type Habit = fn(&mut Batch<String, String>) -> Result<(), ModelError>;

/// A model of joint batches with a habit; its first run waits until it is told to go on.
struct Odd {
    info: ModelInfo,
    habit: Habit,
    hold: Mutex<mpsc::Receiver<()>>,
    runs: AtomicUsize,
}

struct OddInstance<'a>(&'a Odd);

impl Model for OddInstance<'_> {
    type Input = String;
    type Output = String;

    fn run(&mut self, batch: &mut Batch<String, String>, _: &RunContext<'_>) -> Result<(), ModelError> {
        if self.0.runs.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.hold.lock().unwrap().recv().unwrap();
        }
        (self.0.habit)(batch)
    }
}

impl LoadedModel for Odd {
    type Input = String;
    type Output = String;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &String) -> Result<Footprint, ModelError> {
        Ok(Footprint::single(input.len()))
    }

    fn with_instance(&self, serve: &mut Serve<'_, String, String>) -> Result<(), ModelError> {
        serve(&mut OddInstance(self));
        Ok(())
    }
}

/// What becomes of four requests that share a run of a model with this habit: the output, or `None` for no answer.
async fn outcomes(habit: Habit) -> [Option<String>; 4] {
    let (go_on, hold) = mpsc::channel();
    let info = ModelInfo::new("odd", "rust").with_batching(Batching::Joint);
    let odd = Odd { info, habit, hold: Mutex::new(hold), runs: AtomicUsize::new(0) };
    let model: Handle<String, String> = Engine::new().wrap_model(odd).build().unwrap();
    let first = model.infer("first".into()).submit();
    wait_until(|| model.status().running == 1);
    let answers = ["ccc", "a", "dddd", "bb"].map(|text| model.infer(text.into()).submit());
    go_on.send(()).unwrap();
    let _ = patiently(first).await;
    let mut outcomes = [const { None }; 4];
    for (answer, outcome) in answers.into_iter().zip(&mut outcomes) {
        *outcome = match patiently(answer).await {
            Ok(response) => {
                assert_eq!(response.timings.batch_requests, 4);
                Some(response.output)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ModelFailed, "{error}");
                assert!(error.message().contains("gave no answer"), "{error}");
                None
            }
        };
    }
    assert_eq!(model.status().instances, 1);
    outcomes
}

fn rows_of(batch: &mut Batch<String, String>) -> Vec<Row<String, String>> {
    std::mem::replace(batch, Batch::new([])).into_rows()
}

fn answer(rows: &mut [Row<String, String>]) {
    for row in rows {
        let output = row.input().map(|text| text.to_uppercase());
        output.into_iter().for_each(|output| row.finish(Ok(output)));
    }
}

fn some(texts: [&str; 4]) -> [Option<String>; 4] {
    texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

#[tokio::test]
async fn rows_that_a_model_keeps_are_answered_for_it() {
    let all = |batch: &mut Batch<String, String>| {
        answer(&mut rows_of(batch));
        Ok(())
    };
    assert_eq!(outcomes(all).await, some(["", "", "", ""]));
    // Those that it gives back are their callers', wherever they stand now.
    let short_ones = |batch: &mut Batch<String, String>| {
        let mut rows = rows_of(batch);
        answer(&mut rows);
        rows.retain(|row| row.input().is_some_and(|text| text.len() > 2));
        *batch = rows.into_iter().collect();
        Ok(())
    };
    assert_eq!(outcomes(short_ones).await, some(["CCC", "", "DDDD", ""]));
}

#[tokio::test]
async fn rows_that_a_model_sorts_are_answered_each_with_its_own() {
    let in_place = |batch: &mut Batch<String, String>| {
        batch.rows_mut().sort_by_key(|row| row.input().map(String::len));
        answer(batch.rows_mut());
        Ok(())
    };
    assert_eq!(outcomes(in_place).await, some(["CCC", "A", "DDDD", "BB"]));
    let apart = |batch: &mut Batch<String, String>| {
        let mut rows = rows_of(batch);
        rows.sort_by_key(|row| row.input().map(String::len));
        answer(&mut rows);
        *batch = rows.into_iter().collect();
        Ok(())
    };
    assert_eq!(outcomes(apart).await, some(["CCC", "A", "DDDD", "BB"]));
}
