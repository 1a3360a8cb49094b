//! What a caller says about a request reaches the model, row by row, and is never mixed.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use unruffled_engine::{Caller, Engine, Priority, RequestContext, RequestId, TraceContext};
use unruffled_model::{
    Batch, Batching, Footprint, LoadedModel, Model, ModelError, ModelInfo, RunContext, Serve,
};

/// Answers each row with its context and that of the whole run, once the test lets it.
struct Mirror {
    info: ModelInfo,
    gate: Mutex<mpsc::Receiver<()>>,
}

#[derive(Debug)]
struct Seen {
    own: RequestContext,
    requests: usize,
    run_deadline: Option<Instant>,
}

impl LoadedModel for Mirror {
    type Input = u32;
    type Output = (u32, Seen);

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, _: &u32) -> Result<Footprint, ModelError> {
        Ok(Footprint::single(4))
    }

    fn with_instance(&self, serve: &mut Serve<'_, u32, (u32, Seen)>) -> Result<(), ModelError> {
        serve(&mut Instance(self));
        Ok(())
    }
}

struct Instance<'a>(&'a Mirror);

impl Model for Instance<'_> {
    type Input = u32;
    type Output = (u32, Seen);

    fn run(&mut self, batch: &mut Batch<u32, (u32, Seen)>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        self.0.gate.lock().unwrap().recv().unwrap();
        for (row, own) in batch.rows_mut().iter_mut().zip(ctx.requests()) {
            let seen =
                Seen { own: own.clone(), requests: ctx.requests().len(), run_deadline: ctx.deadline() };
            let input = *row.input().unwrap();
            row.finish(Ok((input, seen)));
        }
        Ok(())
    }
}

fn mirror() -> (Mirror, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    (
        Mirror { info: ModelInfo::new("mirror", "rust").with_batching(Batching::Joint), gate: gate.into() },
        open,
    )
}

/// What request `x` says.
fn context(x: u32, begin: Instant) -> RequestContext {
    let caller = Caller::new(format!("caller {x}"));
    RequestContext::new(RequestId::Text(format!("request {x}").into()))
        .with_priority([Priority::Normal, Priority::Bulk][x as usize % 2])
        .with_trace(TraceContext::new(u128::from(x) + 1, u64::from(x) + 1, x.is_multiple_of(2)).unwrap())
        .with_caller(caller)
        .with_deadline(Some(begin + Duration::from_secs(1000 + u64::from(x))))
        .with_baggage("x", x.to_string())
}

#[tokio::test]
async fn neighbours_in_a_batch_never_mix() {
    let (model, open) = mirror();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    // Larger and larger runs first: how large a batch with deadlines may be is learned.
    for size in [1, 16, 32] {
        let held = handle.infer(0).submit();
        while handle.status().running == 0 {
            std::thread::yield_now();
        }
        let answers: Vec<_> = (0..size).map(|x| handle.infer(x).submit()).collect();
        open.send(()).unwrap();
        held.await.unwrap();
        open.send(()).unwrap();
        for answer in answers {
            answer.await.unwrap();
        }
    }
    let held = handle.infer(0).submit();
    while handle.status().running == 0 {
        std::thread::yield_now();
    }
    let begin = Instant::now();
    let answers: Vec<_> = (0..32)
        .map(|x| {
            let sent = context(x, begin);
            let request = handle
                .infer(x)
                .id(format!("request {x}"))
                .priority(sent.priority())
                .caller(sent.caller().unwrap().clone())
                .trace(sent.trace().unwrap().clone())
                .deadline(sent.deadline().unwrap());
            request.baggage("x", x.to_string()).submit()
        })
        .collect();
    // One for the held run, and more than enough for those that follow.
    (0..40).for_each(|_| open.send(()).unwrap());
    held.await.unwrap();
    let mut together = 0;
    for (answer, x) in answers.into_iter().zip(0..) {
        let response = answer.await.unwrap();
        assert_eq!(response.id, *context(x, begin).id());
        let (input, seen) = response.output;
        assert_eq!((input, &seen.own), (x, &context(x, begin)));
        assert!(seen.run_deadline >= seen.own.deadline(), "the last of the run gives up");
        together = together.max(seen.requests);
    }
    assert_eq!(together, 32, "they shared a run");
}

#[tokio::test]
async fn a_request_on_behalf_of_another_inherits_its_context() {
    let (model, open) = mirror();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let outer = context(7, Instant::now());
    open.send(()).unwrap();
    let seen = handle.infer(1).context(outer.clone()).await.unwrap().output.1;
    assert_eq!(seen.own, outer);
    assert_eq!(seen.run_deadline, outer.deadline());
    // What is said after that counts.
    open.send(()).unwrap();
    let request = handle.infer(1).context(outer.clone()).id("inner").priority(Priority::Bulk);
    let seen = request.await.unwrap().output.1;
    let inner = outer.with_id(RequestId::Text("inner".into())).with_priority(Priority::Bulk);
    assert_eq!(seen.own, inner);
}
