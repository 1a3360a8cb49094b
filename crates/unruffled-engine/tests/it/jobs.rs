//! Jobs: submitted now, run later, by ordinary requests.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use unruffled_engine::job::{
    CancelAnswer, JobCall, JobData as _, JobFilter, JobLimits, JobQueue, JobState, MemoryJobs, Payload,
};
use unruffled_engine::{
    Caller, Engine, Error, ErrorKind, Job, JobsOptions, PoolOptions, Priority, QueueLimits, RequestContext,
};
use unruffled_model::{ModelError, RequestId, Tensor, Tensors};
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use crate::support::{patiently, runtime, wait_until};

const MODEL: &str = "double";

/// An engine whose jobs wait in memory, a few milliseconds at most.
fn quick(engine: &Engine, options: JobsOptions) -> Arc<MemoryJobs> {
    let queue = Arc::new(MemoryJobs::new(JobLimits::default()));
    let options = options.with_backoff(Duration::from_millis(1), Duration::from_millis(4)).with_seed(1);
    engine.use_jobs(queue.clone(), options).unwrap();
    queue
}

fn x(rows: &[[f32; 2]]) -> Tensors {
    Tensors::new().with("x", Tensor::new(&[rows.len(), 2], rows.concat()).unwrap())
}

fn one(number: f32) -> Tensors {
    x(&[[number, 0.0]])
}

fn first(outputs: &Tensors) -> f32 {
    outputs.get("y").unwrap().elements::<f32>().unwrap()[0]
}

#[track_caller]
fn check_error<T: std::fmt::Debug>(outcome: Result<T, Error>, kind: ErrorKind, text: &str) {
    let error = outcome.expect_err("it should have failed");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "`{error}` does not mention `{text}`");
}

async fn state<O: unruffled_engine::job::JobData>(job: &Job<O>) -> JobState {
    job.status().await.unwrap().state
}

/// Trap 7: "queued" is answered before the run, and whoever polls sees each state.
#[test]
fn the_answer_comes_before_the_run() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    engine.wrap_model(doubling().gated(&gate)).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default().with_in_flight(1));
    runtime().block_on(async {
        let running = engine.jobs().submit(MODEL, one(1.0)).await.unwrap();
        let queued = engine.jobs().submit(MODEL, one(2.0)).await.unwrap();
        assert_eq!(gate.entered(), [RequestId::Text(running.id().to_string().into())]);
        assert_eq!((state(&running).await, state(&queued).await), (JobState::Running, JobState::Queued));
        assert!(running.result().await.unwrap().is_none());
        gate.open();
        assert_eq!(first(&patiently(running.wait()).await.unwrap()), 2.0);
        assert_eq!(first(&patiently(queued.wait()).await.unwrap()), 4.0);
        assert_eq!((state(&running).await, state(&queued).await), (JobState::Done, JobState::Done));
        assert_eq!(first(&running.result().await.unwrap().unwrap()), 2.0, "it is kept");
    });
}

#[test]
fn an_engine_has_jobs_without_being_told() {
    let engine = Engine::new();
    engine.wrap_model(doubling()).name(MODEL).register().unwrap();
    runtime().block_on(async {
        let job = engine.jobs().submit(MODEL, one(3.0)).await.unwrap();
        assert_eq!(first(&patiently(job.wait()).await.unwrap()), 6.0);
        let again: Job<Tensors> = engine.jobs().attach(job.id()).await.unwrap();
        assert_eq!(first(&patiently(again.wait()).await.unwrap()), 6.0);
        engine.jobs().forget(job.id()).await.unwrap();
        check_error(job.wait().await, ErrorKind::NotFound, &job.id().to_string());
    });
    let queue = Arc::new(MemoryJobs::default());
    check_error(engine.use_jobs(queue, JobsOptions::default()), ErrorKind::InvalidInput, "has jobs already");
}

#[test]
fn cancelling_reaches_the_running_model_and_what_waits() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let model = doubling().gated(&gate);
    let script = model.script();
    engine.wrap_model(model).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default().with_in_flight(1));
    runtime().block_on(async {
        let running = engine.jobs().submit(MODEL, one(1.0)).await.unwrap();
        let queued = engine.jobs().submit(MODEL, one(2.0)).await.unwrap();
        gate.entered();
        assert_eq!(queued.cancel().await.unwrap(), CancelAnswer::Removed);
        assert_eq!(running.cancel().await.unwrap(), CancelAnswer::Asked);
        for job in [&running, &queued] {
            check_error(patiently(job.wait()).await, ErrorKind::Cancelled, "was cancelled");
            assert_eq!(job.cancel().await.unwrap(), CancelAnswer::TooLate);
        }
    });
    wait_until(|| script.batches().first().is_some_and(|batch| batch.ended));
    assert_eq!(script.batches().len(), 1, "what waited has never run");
    assert!(script.batches()[0].cancelled, "the model was told");
}

#[test]
fn a_crash_is_tried_again_and_given_up_in_the_end() {
    let engine = Engine::new();
    let model = doubling();
    let script = model.script();
    engine.wrap_model(model).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default());
    runtime().block_on(async {
        script.panic_next(2);
        let job = engine.jobs().submit(MODEL, one(1.0)).attempts(3).await.unwrap();
        assert_eq!(first(&patiently(job.wait()).await.unwrap()), 2.0);
        assert_eq!(job.status().await.unwrap().attempts, 3);

        script.panic_next(2);
        let job = engine.jobs().submit(MODEL, one(5.0)).attempts(2).await.unwrap();
        check_error(patiently(job.wait()).await, ErrorKind::ModelCrashed, "the last of 2 attempts");
        // A dead letter: it can be looked into, and queued again.
        let dead = engine.jobs().list(JobFilter::default().with_state(JobState::Failed)).await.unwrap();
        assert_eq!(dead.iter().map(|status| status.id).collect::<Vec<_>>(), [job.id()]);
        let input = engine.jobs().queue().input(job.id()).await.unwrap().unwrap();
        assert_eq!(Tensors::from_payload(&input).unwrap(), one(5.0));
        engine.jobs().requeue(job.id()).await.unwrap();
        assert_eq!(first(&patiently(job.wait()).await.unwrap()), 10.0);
    });
}

#[test]
fn what_another_run_would_not_help_fails_at_once() {
    let engine = Engine::new();
    let model = doubling();
    let script = model.script();
    engine.wrap_model(model).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default());
    runtime().block_on(async {
        let wrong = Tensors::new().with("x", Tensor::new(&[1, 3], vec![0.0_f32; 3]).unwrap());
        let job = engine.jobs().submit(MODEL, wrong).await.unwrap();
        check_error(patiently(job.wait()).await, ErrorKind::InvalidInput, "expected shape [batch, 2]");
        script.fail_next(ModelError::failed("as told"));
        let job = engine.jobs().submit(MODEL, one(1.0)).await.unwrap();
        check_error(patiently(job.wait()).await, ErrorKind::ModelFailed, "as told");
        assert_eq!(job.status().await.unwrap().attempts, 1);
    });
    assert_eq!(script.batches().len(), 1);
}

#[test]
fn a_model_that_is_full_is_asked_again_and_no_attempt_is_lost() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let options = PoolOptions::default().with_queue(QueueLimits { items: 1, ..QueueLimits::default() });
    engine
        .wrap_model(doubling().batching(unruffled_model::Batching::Single).gated(&gate))
        .name(MODEL)
        .options(options)
        .register()
        .unwrap();
    quick(&engine, JobsOptions::default().with_in_flight(8));
    runtime().block_on(async {
        let mut jobs = Vec::new();
        for number in 0..8_u8 {
            jobs.push(engine.jobs().submit(MODEL, one(number.into())).attempts(1).await.unwrap());
        }
        gate.entered();
        let overloaded = async || {
            let all = engine.jobs().list(JobFilter::default()).await.unwrap();
            all.iter().any(|status| {
                status.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Overloaded)
            })
        };
        patiently(async {
            while !overloaded().await {
                tokio::task::yield_now().await;
            }
        })
        .await;
        gate.open();
        for (job, number) in jobs.iter().zip(0_u8..) {
            assert_eq!(first(&patiently(job.wait()).await.unwrap()), 2.0 * f32::from(number));
        }
    });
}

#[test]
fn jobs_share_batches_like_other_requests() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let model = doubling().gated(&gate);
    let script = model.script();
    engine.wrap_model(model).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default().with_in_flight(9));
    runtime().block_on(async {
        let mut jobs = vec![engine.jobs().submit(MODEL, one(0.0)).await.unwrap()];
        gate.entered();
        for number in 1..9_u8 {
            jobs.push(engine.jobs().submit(MODEL, one(number.into())).await.unwrap());
        }
        let handle: unruffled_engine::Handle<Tensors, Tensors> = engine.get(MODEL).unwrap();
        wait_until(|| handle.status().queued == 8);
        gate.open();
        for job in &jobs {
            patiently(job.wait()).await.unwrap();
        }
    });
    assert_eq!(script.batch_sizes(), [1, 8]);
}

#[test]
fn the_same_key_is_the_same_job() {
    let engine = Engine::new();
    let model = doubling();
    let script = model.script();
    engine.wrap_model(model).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default());
    runtime().block_on(async {
        let jobs = engine.jobs();
        let job = jobs.submit(MODEL, one(1.0)).key("k").await.unwrap();
        patiently(job.wait()).await.unwrap();
        let again = jobs.submit(MODEL, one(1.0)).key("k").await.unwrap();
        assert_eq!(again.id(), job.id());
        check_error(jobs.submit(MODEL, one(2.0)).key("k").await, ErrorKind::InvalidInput, "the key `k`");
    });
    assert_eq!(script.batches().len(), 1);
}

#[test]
fn what_was_said_of_a_job_reaches_the_model() {
    let engine = Engine::new();
    let seen: Arc<Mutex<Vec<RequestContext>>> = Arc::default();
    let model = {
        let seen = Arc::clone(&seen);
        ScriptedModel::new(move |text: &String, ctx: &unruffled_model::RunContext<'_>| {
            seen.lock().extend_from_slice(ctx.requests());
            Ok(text.len().to_string())
        })
    };
    let handle = engine.wrap_model(model).build().unwrap();
    quick(&engine, JobsOptions::default());
    engine.jobs().serve("count", handle);
    let job = runtime().block_on(async {
        let job = engine
            .jobs()
            .submit("count", "four".to_owned())
            .priority(Priority::Bulk)
            .timeout(Duration::from_secs(60))
            .caller(Caller::new("window"))
            .trace(unruffled_engine::TraceContext::new(7, 9, true).unwrap())
            .baggage("tenant", "a")
            .await
            .unwrap();
        assert_eq!(patiently(job.wait()).await.unwrap(), "4");
        job
    });
    let seen = seen.lock();
    let [context] = &seen[..] else { panic!("one run") };
    assert_eq!(*context.id(), RequestId::Text(job.id().to_string().into()));
    assert_eq!((context.priority(), context.deadline().is_some()), (Priority::Bulk, true));
    assert_eq!(context.caller(), Some(&Caller::new("window")));
    assert_eq!(context.trace().map(unruffled_engine::TraceContext::trace_id), Some(7));
    assert_eq!(context.baggage().collect::<Vec<_>>(), [("tenant", "a")]);
}

#[test]
fn a_deadline_ends_the_run() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let model = doubling().gated(&gate);
    let script = model.script();
    engine.wrap_model(model).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default().with_in_flight(1));
    runtime().block_on(async {
        let running = engine.jobs().submit(MODEL, one(1.0)).timeout(Duration::from_millis(50)).await.unwrap();
        gate.entered();
        let queued = engine.jobs().submit(MODEL, one(2.0)).timeout(Duration::ZERO).await.unwrap();
        for job in [queued, running] {
            check_error(patiently(job.wait()).await, ErrorKind::DeadlineExceeded, "");
            assert_eq!(state(&job).await, JobState::Failed);
        }
    });
    wait_until(|| script.batches().first().is_some_and(|batch| batch.cancelled));
    assert_eq!(script.batches().len(), 1);
}

#[test]
fn jobs_wait_for_a_model_that_is_gone_until_it_is_back() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    engine.wrap_model(doubling().gated(&gate)).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default().with_in_flight(1));
    runtime().block_on(async {
        let running = engine.jobs().submit(MODEL, one(1.0)).attempts(1).await.unwrap();
        let queued = engine.jobs().submit(MODEL, one(2.0)).attempts(1).await.unwrap();
        gate.entered();
        patiently(engine.unload(MODEL, Duration::ZERO)).await.unwrap();
        check_error(engine.jobs().submit(MODEL, one(3.0)).await, ErrorKind::NotFound, MODEL);
        assert_eq!(state(&queued).await, JobState::Queued);
        engine.wrap_model(doubling()).name(MODEL).register().unwrap();
        assert_eq!(first(&patiently(running.wait()).await.unwrap()), 2.0);
        assert_eq!(first(&patiently(queued.wait()).await.unwrap()), 4.0);
    });
}

#[test]
fn a_model_of_other_types_is_to_be_given_to_serve() {
    let engine = Engine::new();
    let shout = engine.wrap(|text: String| text.to_uppercase()).name("shout").register().unwrap();
    quick(&engine, JobsOptions::default());
    runtime().block_on(async {
        let refused = engine.jobs().submit("shout", "hello".to_owned()).await;
        check_error(refused, ErrorKind::InvalidInput, "`Jobs::serve`");
        engine.jobs().serve("shout", shout);
        let job = engine.jobs().submit("shout", "hello".to_owned()).await.unwrap();
        assert_eq!(patiently(job.wait()).await.unwrap(), "HELLO");
        // What cannot be read is the submitter's mistake, and said so.
        let job = engine.jobs().submit("shout", Payload::new("image/png", vec![0xff_u8])).await.unwrap();
        check_error(patiently(job.wait()).await, ErrorKind::InvalidInput, "no text");
        assert!(engine.jobs().withdraw("shout") && !engine.jobs().withdraw("shout"));
    });
}

#[test]
fn progress_is_seen_and_the_last_state_is_never_missed() {
    let engine = Engine::new();
    quick(&engine, JobsOptions::default());
    let (go, wait) = tokio::sync::watch::channel(0);
    engine.jobs().serve("steps", move |call: JobCall| {
        let mut wait = wait.clone();
        async move {
            let reporter = call.reporter();
            for step in 1..=2 {
                reporter.progress(f64::from(step) / 2.0, format!("step {step}"));
                // The test goes on at its own pace.
                let _ = wait.wait_for(|at| *at >= step).await;
            }
            Ok(call.input)
        }
    });
    runtime().block_on(async {
        let job = engine.jobs().submit("steps", "in".to_owned()).await.unwrap();
        let mut events = job.events().await.unwrap();
        let mut next = async || patiently(std::future::poll_fn(|cx| events.as_mut().poll_next(cx))).await;
        let mut seen = Vec::new();
        while let Some(status) = next().await {
            let part = status.progress.as_ref().and_then(|progress| progress.part);
            seen.push((status.state, part));
            match part {
                Some(part) if part < 1.0 => go.send_replace(1),
                Some(_) => go.send_replace(2),
                None => 0,
            };
        }
        assert_eq!(seen.last(), Some(&(JobState::Done, None)));
        assert!(seen.contains(&(JobState::Running, Some(0.5))), "{seen:?}");
        assert!(seen.contains(&(JobState::Running, Some(1.0))), "{seen:?}");
        assert_eq!(patiently(job.wait()).await.unwrap(), "in");
    });
}

#[test]
fn a_run_that_panics_costs_nobody_else() {
    let engine = Engine::new();
    engine.wrap_model(doubling()).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default());
    engine
        .jobs()
        .serve("early", |_: JobCall| -> std::future::Ready<Result<Payload, Error>> { panic!("early") });
    engine.jobs().serve("late", |_: JobCall| async { panic!("late") });
    runtime().block_on(async {
        for model in ["early", "late"] {
            let job = engine.jobs().submit(model, String::new()).attempts(1).await.unwrap();
            check_error(patiently(job.wait()).await, ErrorKind::ModelCrashed, model);
        }
        let job = engine.jobs().submit(MODEL, one(1.0)).await.unwrap();
        assert_eq!(first(&patiently(job.wait()).await.unwrap()), 2.0);
    });
}

#[test]
fn shutting_down_gives_back_what_runs_and_tells_who_waits() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    engine.wrap_model(doubling().gated(&gate)).name(MODEL).register().unwrap();
    let queue = quick(&engine, JobsOptions::default().with_in_flight(1));
    runtime().block_on(async {
        let running = engine.jobs().submit(MODEL, one(1.0)).await.unwrap();
        let queued = engine.jobs().submit(MODEL, one(2.0)).await.unwrap();
        gate.entered();
        let jobs = engine.jobs();
        patiently(engine.shutdown(Duration::ZERO)).await;
        for job in [&running, &queued] {
            check_error(patiently(job.wait()).await, ErrorKind::ShuttingDown, "has not ended");
            let status = queue.status(job.id()).await.unwrap().unwrap();
            assert_eq!((status.state, status.attempts), (JobState::Queued, 0), "another may run it");
        }
        check_error(jobs.submit(MODEL, one(3.0)).await, ErrorKind::ShuttingDown, "not taken any more");
    });
}

#[test]
fn an_engine_that_was_shut_down_takes_no_jobs() {
    let engine = Engine::new();
    engine.wrap_model(doubling()).name(MODEL).register().unwrap();
    runtime().block_on(async {
        patiently(engine.shutdown(Duration::ZERO)).await;
        check_error(
            engine.jobs().submit(MODEL, one(1.0)).await,
            ErrorKind::ShuttingDown,
            "not taken any more",
        );
    });
}

#[test]
fn a_grace_lets_what_runs_come_to_its_end() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    engine.wrap_model(doubling().gated(&gate)).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default().with_in_flight(1));
    runtime().block_on(async {
        let running = engine.jobs().submit(MODEL, one(1.0)).await.unwrap();
        let queued = engine.jobs().submit(MODEL, one(2.0)).await.unwrap();
        gate.entered();
        let mut shutdown = std::pin::pin!(engine.shutdown(Duration::from_secs(60)));
        assert!(crate::support::poll_once(shutdown.as_mut()).is_pending());
        gate.open();
        patiently(shutdown).await;
        assert_eq!(first(&patiently(running.wait()).await.unwrap()), 2.0);
        check_error(patiently(queued.wait()).await, ErrorKind::ShuttingDown, "has not ended");
    });
}

#[test]
fn an_engine_that_is_dropped_tells_who_waits() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    engine.wrap_model(doubling().gated(&gate)).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default());
    runtime().block_on(async {
        let job = engine.jobs().submit(MODEL, one(1.0)).await.unwrap();
        gate.entered();
        let jobs = engine.jobs();
        drop(engine);
        check_error(patiently(job.wait()).await, ErrorKind::ShuttingDown, "has not ended");
        check_error(jobs.submit(MODEL, one(1.0)).await, ErrorKind::ShuttingDown, "not taken any more");
    });
}

#[test]
fn large_inputs_and_results_go_through_whole() {
    let engine = Engine::new();
    engine.wrap_model(doubling()).name(MODEL).register().unwrap();
    quick(&engine, JobsOptions::default());
    runtime().block_on(async {
        let rows: Vec<[f32; 2]> = (0..100_000_u32).map(|row| [row as f32, 1.0]).collect();
        let job = engine.jobs().submit(MODEL, x(&rows)).key("large").await.unwrap();
        let outputs = patiently(job.wait()).await.unwrap();
        let y = outputs.get("y").unwrap().elements::<f32>().unwrap();
        assert!(y.chunks(2).zip(&rows).all(|(y, x)| y == [2.0 * x[0], 2.0]));
        assert_eq!(engine.jobs().submit(MODEL, x(&rows)).key("large").await.unwrap().id(), job.id());
    });
}

/// Many jobs, some of them cancelled, under crashes: each ends once, and what ends well is right.
#[test]
fn a_storm_of_jobs_ends_each_of_them() {
    const JOBS: u16 = 400;
    let engine = Engine::new();
    let model = doubling();
    let script = model.script();
    engine.wrap_model(model.rerunnable()).name(MODEL).instances(2).register().unwrap();
    quick(&engine, JobsOptions::default());
    let mut random = fastrand::Rng::with_seed(7);
    runtime().block_on(async {
        let mut jobs = Vec::new();
        for number in 0..JOBS {
            if random.u32(..40) == 0 {
                script.panic_next(1);
            }
            let priority = Priority::ALL[random.usize(..3)];
            let job = engine.jobs().submit(MODEL, one(number.into())).priority(priority).attempts(50);
            jobs.push(job.await.unwrap());
            if random.u32(..5) == 0 {
                jobs[random.usize(..jobs.len())].cancel().await.unwrap();
            }
        }
        let mut done = 0;
        for (job, number) in jobs.iter().zip(0..JOBS) {
            match patiently(job.wait()).await {
                Ok(outputs) => {
                    assert_eq!(first(&outputs), 2.0 * f32::from(number));
                    done += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
            }
        }
        assert!(done > JOBS / 2, "{done}");
        let open = engine.jobs().list(JobFilter::default()).await.unwrap();
        assert!(open.iter().all(|status| status.state.is_final()));
    });
}
