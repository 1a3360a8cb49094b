//! Pipelines: calls that ask several models, item by item and side by side, and the plan by which their answers are right.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fastrand::Rng;
use parking_lot::Mutex;
use unruffled_model::{
    Caller, DType, Dim, ModelInfo, Name, RequestContext, RequestId, Signature, Tensor, TensorSpec, Tensors,
};

use super::callers::{Diary, Scope};
use super::played::Input;
use super::trace::{Event, Facts, Id};
use crate::error::{Error, ErrorKind};
use crate::group::{Entry, Item};
use crate::handle::{Handle, Stopped};
use crate::pipeline::passage::Passage;
use crate::pipeline::{Ask, Asked, Pipeline, PipelineStep, Told as Heard, check};

/// What happens to one call of a pipeline.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// A step has asked for an item, or once; so many of its requests may be under way.
    Asked { id: Id, step: usize, item: usize, most: usize },
    /// It has ended: what it had asked, and whether its answer was right.
    Ended { asked: Vec<Id>, outcome: Result<bool, ErrorKind>, bounded: bool },
}

/// How a step of a plan asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Once,
    /// For each row of `a`, and of `b` if that is said.
    Each {
        both: bool,
        in_flight: usize,
    },
    Scan,
}

/// One step of a plan: which values it takes. Value 0 is the input, n + 1 what step n gives; all have as many rows.
#[derive(Clone, Debug)]
struct Step {
    a: usize,
    b: usize,
    way: Way,
}

/// What a step gives for rows of `a`, all of `b` and a state: every number counts, and so does its place.
fn given(step: usize, a: &[u64], b: &[u64], state: u64) -> (Vec<u64>, u64) {
    let mix = |x: u64, y: u64| (x ^ y.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let others = b.iter().fold(step as u64 + 1, |sum, x| mix(sum, *x));
    let rows = a.iter().map(|x| mix(mix(*x, others), state)).collect();
    (rows, a.iter().fold(mix(state, others), |sum, x| mix(sum, *x)))
}

/// What every value must be, computed plainly.
fn expected(plan: &[Step], x: &[u64]) -> Vec<Vec<u64>> {
    let mut values = vec![x.to_vec()];
    for (at, step) in plan.iter().enumerate() {
        let (a, b) = (values[step.a].clone(), values[step.b].clone());
        let value = match step.way {
            Way::Once => given(at, &a, &b, 0).0,
            Way::Each { both, .. } => {
                let row = |(place, x): (usize, &u64)| {
                    let b = if both { &b[place..=place] } else { &b[..] };
                    given(at, &[*x], b, 0).0[0]
                };
                a.iter().enumerate().map(row).collect()
            }
            Way::Scan => {
                let mut state = 0;
                let row = |x: &u64| {
                    let (rows, next) = given(at, &[*x], &b, state);
                    state = next;
                    rows[0]
                };
                a.iter().map(row).collect()
            }
        };
        values.push(value);
    }
    values
}

/// What the steps of one call share with whoever polls it.
#[derive(Default)]
struct Desk {
    /// What was noted while it was polled.
    notes: Vec<Event>,
    /// Requests under way.
    open: Vec<Id>,
    asked: Vec<Id>,
}

/// A step's model, as a pipeline sees it: numbers come in, and go on to a played model as a request.
struct Player {
    name: Name,
    info: Arc<ModelInfo>,
    call: Id,
    step: usize,
    most: usize,
    handle: Handle<Input, u64>,
    inputs: Mutex<VecDeque<Input>>,
    desk: Arc<Mutex<Desk>>,
}

impl Ask for Player {
    fn name(&self) -> &Name {
        &self.name
    }

    fn info(&self) -> Arc<ModelInfo> {
        Arc::clone(&self.info)
    }

    fn now(&self) -> Instant {
        self.handle.pool().now()
    }

    fn one(&self, inputs: Tensors, context: RequestContext) -> Box<dyn Asked> {
        let mut input = self.inputs.lock().pop_front().expect("as many as there can be");
        input.name = context.id().to_string();
        let item = input.name.rsplit('/').next().and_then(|item| item.parse().ok()).unwrap_or(0);
        let id = input.id;
        let mut desk = self.desk.lock();
        desk.notes.push(Event::Planned(id, input.facts.clone()));
        desk.notes
            .push(Event::Pipeline(self.call, Told::Asked { id, step: self.step, item, most: self.most }));
        desk.open.push(id);
        desk.asked.push(id);
        let numbers =
            |name: &str| inputs.get(name).map_or(Vec::new(), |x| x.elements::<u64>().unwrap().to_vec());
        let state = numbers("state").first().copied().unwrap_or(0);
        let (rows, state) = given(self.step, &numbers("a"), &numbers("b"), state);
        let output = Tensors::new()
            .with("y", Tensor::new(&[rows.len()], rows).unwrap())
            .with("state", Tensor::new(&[1], vec![state]).unwrap());
        let entry = Entry::new(self.handle.infer(input).context(context));
        Box::new(Question { id, entry, output: Some(output), desk: Arc::clone(&self.desk) })
    }

    fn several(&self, _: Tensors, _: RequestContext) -> Box<dyn Asked> {
        unreachable!("played models give one output")
    }
}

struct Question {
    id: Id,
    entry: Entry<Input, u64>,
    output: Option<Tensors>,
    desk: Arc<Mutex<Desk>>,
}

impl Question {
    /// It has ended like this, if it has not ended before.
    fn close(&self, event: Event) {
        let mut desk = self.desk.lock();
        if let Some(at) = desk.open.iter().position(|open| *open == self.id) {
            desk.open.remove(at);
            desk.notes.push(event);
        }
    }
}

impl Asked for Question {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        let (outcome, end) = std::task::ready!(self.entry.poll(cx));
        let told = outcome.as_ref().map(|response| response.output).map_err(Error::kind);
        self.close(Event::Answered(self.id, told));
        let timings = outcome.as_ref().ok().map(|response| response.timings);
        let outcome = outcome.map(|_| self.output.take().expect("it is answered once"));
        Poll::Ready(Some(Heard { outcome, timings, end }))
    }

    fn stop(mut self: Box<Self>) -> Option<Stopped> {
        let (answer, stopped) = self.entry.stop();
        // What has been answered already is stopped to no effect: a failure of the step comes after its answer.
        if !self.desk.lock().open.contains(&self.id) {
            return stopped;
        }
        self.close(match answer {
            Some(outcome) => {
                Event::Answered(self.id, outcome.map(|answer| answer.output).map_err(|error| error.kind()))
            }
            None => Event::Dropped(self.id),
        });
        stopped
    }
}

/// The rows of a call at most, and its steps.
const ROWS: usize = 5;
const STEPS: usize = 5;

/// One call of a pipeline.
pub(super) struct Voyage {
    id: Id,
    passage: Passage,
    desk: Arc<Mutex<Desk>>,
    /// What the outputs must be, and which is emitted.
    expected: Vec<(Name, Vec<u64>)>,
    emitted: Option<(Name, Vec<u64>)>,
    bytes: usize,
}

impl Voyage {
    /// A call of a pipeline as drawn. `input` draws a request for a model of the world, of which `handles` are some.
    pub(super) fn new(
        rng: &mut Rng,
        id: Id,
        begin: Instant,
        handles: &[Handle<Input, u64>],
        mut input: impl FnMut(&mut Rng, usize) -> Input,
    ) -> Self {
        let desk = Arc::new(Mutex::new(Desk::default()));
        let plan: Vec<Step> = (0..rng.usize(1..=STEPS)).map(|at| draw(rng, at)).collect();
        let x: Vec<u64> = (0..rng.usize(..=ROWS)).map(|_| rng.u64(..)).collect();
        let terms = input(rng, 0).facts;
        let mut asks: Vec<Arc<dyn Ask>> = Vec::new();
        for (step, Step { way, .. }) in plan.iter().enumerate() {
            let model = rng.usize(..handles.len());
            let mut inputs = VecDeque::new();
            for _ in 0..ROWS.max(1) {
                let mut drawn = input(rng, model);
                let poison = drawn.facts.poison && rng.u32(..3) == 0;
                let Facts { class, deadline, caller, .. } = terms;
                drawn.facts = Facts { class, deadline, caller, key: None, poison, ..drawn.facts };
                inputs.push_back(drawn);
            }
            let most = match way {
                Way::Each { in_flight, .. } => *in_flight,
                Way::Once | Way::Scan => 1,
            };
            asks.push(Arc::new(Player {
                name: format!("m{step}").into(),
                info: Arc::new(ModelInfo::new("played", "simulation").with_signature(signature())),
                call: id,
                step,
                most,
                handle: handles[model].clone(),
                inputs: Mutex::new(inputs),
                desk: Arc::clone(&desk),
            }));
        }
        let values = expected(&plan, &x);
        let bytes = if rng.u32(..8) == 0 { rng.usize(8..200) } else { usize::MAX };
        let emits = plan.iter().position(|step| step.way != Way::Once).filter(|_| rng.bool());
        let (pipeline, outputs) = written(&plan, emits, bytes);
        let graph = Arc::new(check(&pipeline, &asks).unwrap_or_else(|error| panic!("{error} in {plan:?}")));
        let emitted = emits.map(|step| (name_of(step), values[step + 1].clone()));
        let expected = outputs.into_iter().filter(|step| Some(*step) != emits);
        let expected = expected.map(|step| (name_of(step), values[step + 1].clone())).collect();
        let mut context =
            RequestContext::new(RequestId::Text(id.to_string().into())).with_priority(terms.class);
        context = context.with_deadline(terms.deadline.map(|at| begin + Duration::from_micros(at)));
        if let Some(caller) = terms.caller {
            context = context.with_caller(Caller::new(caller.to_string()).with_weight(caller));
        }
        let inputs = Tensors::new().with("x", Tensor::new(&[x.len()], x).unwrap());
        let passage = Passage::new(&graph, inputs, context, emits.is_some());
        Self { id, passage, desk, expected, emitted, bytes }
    }

    fn drain(&self, diary: &Diary) {
        let notes = std::mem::take(&mut self.desk.lock().notes);
        notes.into_iter().for_each(|event| diary.note(event));
    }

    fn is_right(&self, outputs: Option<&Tensors>, given: &[u64]) -> bool {
        let is = |(name, numbers): &(Name, Vec<u64>)| {
            let output = outputs.and_then(|outputs| outputs.get(name));
            output.is_some_and(|output| output.elements::<u64>().is_ok_and(|told| told == numbers))
        };
        self.expected.iter().all(is) && self.emitted.as_ref().is_none_or(|(_, numbers)| numbers == given)
    }
}

impl Scope for Voyage {
    fn poll(&mut self, cx: &mut Context<'_>, diary: &Diary) -> Poll<()> {
        let Self { passage, emitted, desk, .. } = self;
        let mut given = Vec::new();
        let polled = passage.poll(cx, &mut |output| {
            if let Some((name, _)) = emitted {
                given
                    .extend_from_slice(output.get(name).expect("what is emitted").elements::<u64>().unwrap());
            }
            Ok(())
        });
        if let Some((_, numbers)) = emitted {
            // What was emitted in order is struck off; what was not makes the rest wrong.
            let fits = numbers.starts_with(&given);
            numbers.drain(..given.len().min(numbers.len()));
            if !fits {
                numbers.push(0);
            }
        }
        assert!(passage.held() <= self.bytes, "a call holds {} bytes of {}", passage.held(), self.bytes);
        let asked = desk.lock().asked.clone();
        self.drain(diary);
        let Poll::Ready(outcome) = polled else { return Poll::Pending };
        let bounded = self.bytes < usize::MAX;
        let outcome = outcome.map(|outputs| {
            let kept: usize = outputs.iter().map(Tensors::byte_len).sum();
            self.is_right(outputs.as_ref(), &[]) && self.passage.held() == kept
        });
        let outcome = outcome.map_err(|error| error.kind());
        diary.note(Event::Pipeline(self.id, Told::Ended { asked, outcome, bounded }));
        Poll::Ready(())
    }

    fn give_up(self: Box<Self>, diary: &Diary) {
        self.drain(diary);
        self.desk.lock().open.iter().for_each(|id| diary.note(Event::Dropped(*id)));
    }
}

fn draw(rng: &mut Rng, at: usize) -> Step {
    let way = match rng.u32(..4) {
        0 => Way::Once,
        1 => Way::Scan,
        _ => Way::Each { both: rng.bool(), in_flight: rng.usize(1..4) },
    };
    Step { a: rng.usize(..=at), b: rng.usize(..=at), way }
}

fn signature() -> Signature {
    let spec = |name: &str, symbol: &str| TensorSpec::new(name, DType::U64, [Dim::Symbolic(symbol.into())]);
    let state = || TensorSpec::new("state", DType::U64, [Dim::Fixed(1)]);
    let first = TensorSpec { default: Some(Tensor::filled(&[1], 0_u64).unwrap()), ..state() };
    Signature { inputs: vec![spec("a", "n"), spec("b", "m"), first], outputs: vec![spec("y", "n"), state()] }
}

fn name_of(step: usize) -> Name {
    format!("s{step}").into()
}

/// A plan as users write it, and the steps whose values are its outputs: those that no other takes.
fn written(plan: &[Step], emits: Option<usize>, bytes: usize) -> (Pipeline, Vec<usize>) {
    let value = |at: usize| match at {
        0 => "input.x".to_owned(),
        at => format!("s{}.y", at - 1),
    };
    let mut pipeline = Pipeline::new().bytes(bytes);
    for (at, Step { a, b, way }) in plan.iter().enumerate() {
        let step = PipelineStep::new(name_of(at), "played").input("a", &*value(*a)).input("b", &*value(*b));
        pipeline = pipeline.step(match way {
            Way::Once => step,
            Way::Each { both: false, in_flight } => step.each(["a"]).in_flight(*in_flight),
            Way::Each { both: true, in_flight } => step.each(["a", "b"]).in_flight(*in_flight),
            Way::Scan => step.scan(["a"]).carry("state", "state"),
        });
    }
    let is_taken = |at: usize| plan.iter().any(|step| step.a == at + 1 || step.b == at + 1);
    let outputs: Vec<usize> = (0..plan.len()).filter(|at| !is_taken(*at) || Some(*at) == emits).collect();
    for at in &outputs {
        pipeline = pipeline.output(name_of(*at), format!("s{at}.y"));
    }
    (pipeline.emit(emits.map(name_of)), outputs)
}
