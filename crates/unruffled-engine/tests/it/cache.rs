//! The cache: who is answered at once, who waits with whom, and what is remembered.

use std::time::Duration;

use unruffled_engine::{
    CacheMetrics, CacheOptions, Degraded, Engine, ErrorKind, Handle, PoolOptions, Priority, QueueLimits,
    Response,
};
use unruffled_model::{Emitter, FnModel, ModelError, RunContext, Tensor, Tensors};
use unruffled_testing::scripted::{Gate, Script, doubling};

use crate::support::{check_error, failed, patiently, poll_once, wait_until};

const HOUR: Duration = Duration::from_secs(3600);

fn cached() -> PoolOptions {
    PoolOptions::default().with_cache(CacheOptions::default())
}

/// A model of tensors with a cache, and what it has seen.
fn doubling_at(engine: &Engine, gate: &Gate, options: PoolOptions) -> (Handle<Tensors, Tensors>, Script) {
    let model = doubling().gated(gate);
    let script = model.script();
    (engine.wrap_model(model).options(options).build().unwrap(), script)
}

fn input(x: f32) -> Tensors {
    Tensors::new().with("x", Tensor::new(&[1, 2], vec![x, x]).unwrap())
}

#[track_caller]
fn check(response: &Response<Tensors>, x: f32, cached: bool) {
    let y = response.get("y").unwrap().elements::<f32>().unwrap();
    let is_cached = response.provenance.as_ref().is_some_and(|provenance| provenance.cached);
    assert_eq!((y, is_cached), (&[2.0 * x, 2.0 * x][..], cached));
}

fn metrics<I: Send + 'static, O: Send + 'static>(model: &Handle<I, O>) -> CacheMetrics {
    model.metrics().cache.expect("it has a cache")
}

#[tokio::test]
async fn an_equal_input_is_answered_at_once() {
    let (engine, gate) = (Engine::new(), Gate::opened());
    let (model, script) = doubling_at(&engine, &gate, cached());
    check(&model.infer(input(1.0)).await.unwrap(), 1.0, false);
    let mut again = std::pin::pin!(model.infer(input(1.0)).id("again").submit());
    let std::task::Poll::Ready(again) = poll_once(again.as_mut()) else { panic!("it is remembered") };
    let again = again.unwrap();
    check(&again, 1.0, true);
    assert_eq!((again.timings.run, again.timings.attempts), (Duration::ZERO, 0));
    check(&model.infer(input(2.0)).await.unwrap(), 2.0, false);
    assert_eq!(script.batches().len(), 2);
    let all = model.metrics();
    assert_eq!((all.accepted, all.answered, all.runs), (3, 3, 2));
    let cache = metrics(&model);
    assert_eq!((cache.hits, cache.misses, cache.answers), (1, 2, 2));
    let explained = model.explain(&again.id).unwrap().to_string();
    assert!(explained.contains("answered from the cache"), "{explained}");
    assert!(all.to_string().contains("cache: 2 answers"), "{all}");
}

#[tokio::test]
async fn it_is_off_unless_said() {
    let (engine, gate) = (Engine::new(), Gate::opened());
    let (model, script) = doubling_at(&engine, &gate, PoolOptions::default());
    for _ in 0..3 {
        check(&model.infer(input(1.0)).await.unwrap(), 1.0, false);
    }
    assert_eq!((script.batches().len(), model.metrics().cache), (3, None));
}

#[tokio::test]
async fn errors_are_not_remembered() {
    let (engine, gate) = (Engine::new(), Gate::opened());
    let (model, script) = doubling_at(&engine, &gate, cached());
    script.fail_next(ModelError::failed("no luck"));
    check_error(model.infer(input(1.0)).await, ErrorKind::ModelFailed, "no luck");
    script.panic_next(1);
    check_error(model.infer(input(1.0)).await, ErrorKind::ModelCrashed, "the script panics");
    check(&model.infer(input(1.0)).await.unwrap(), 1.0, false);
    check(&model.infer(input(1.0)).await.unwrap(), 1.0, true);
}

#[tokio::test]
async fn equal_requests_share_one_run() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, script) = doubling_at(&engine, &gate, cached());
    let first = model.infer(input(1.0)).submit();
    gate.entered();
    let others: Vec<_> = (0..20).map(|_| model.infer(input(1.0)).submit()).collect();
    let queued = model.status().queued;
    gate.open();
    check(&first.await.unwrap(), 1.0, false);
    for other in others {
        check(&other.await.unwrap(), 1.0, true);
    }
    assert_eq!((queued, script.batches().len()), (0, 1));
    let (cache, all) = (metrics(&model), model.metrics());
    assert_eq!((cache.joined, cache.misses, all.accepted, all.answered), (20, 1, 21, 21));
}

#[tokio::test]
async fn the_failure_of_a_run_is_that_of_all_who_share_it() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, script) = doubling_at(&engine, &gate, cached());
    // Both come while something else runs: their run begins when both are there.
    let other = model.infer(input(9.0)).submit();
    gate.entered();
    let (first, second) = (model.infer(input(1.0)).submit(), model.infer(input(1.0)).submit());
    gate.release(1);
    check(&other.await.unwrap(), 9.0, false);
    gate.entered();
    script.panic_next(1);
    gate.open();
    check_error(first.await, ErrorKind::ModelCrashed, "the script panics");
    check_error(second.await, ErrorKind::ModelCrashed, "the script panics");
    assert_eq!(failed(&model, ErrorKind::ModelCrashed), 2);
}

#[tokio::test]
async fn a_run_goes_on_as_long_as_anybody_waits_for_it() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, script) = doubling_at(&engine, &gate, cached());
    let first = model.infer(input(1.0)).submit();
    gate.entered();
    let (second, third) = (model.infer(input(1.0)).submit(), model.infer(input(1.0)).submit());
    drop(first);
    second.canceller().cancel();
    check_error(second.await, ErrorKind::Cancelled, "cancelled");
    assert_eq!(gate.waiting(), 1, "the third waits");
    gate.release(1);
    check(&third.await.unwrap(), 1.0, true);
    assert!(!script.batches()[0].cancelled);

    // And no longer.
    let (first, second) = (model.infer(input(2.0)).submit(), model.infer(input(2.0)).submit());
    gate.entered();
    drop(first);
    patiently(second.stop()).await;
    wait_until(|| script.batches().iter().all(|batch| batch.ended));
    assert!(script.batches()[1].cancelled);
}

#[tokio::test]
async fn what_waits_leaves_the_queue_with_the_last() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, script) = doubling_at(&engine, &gate, cached());
    let busy = model.infer(input(0.0)).submit();
    gate.entered();
    let waiting: Vec<_> = (0..3).map(|_| model.infer(input(1.0)).submit()).collect();
    assert_eq!(model.status().queued, 1);
    for (at, one) in waiting.into_iter().enumerate() {
        drop(one);
        assert_eq!(model.status().queued, usize::from(at < 2));
    }
    gate.open();
    busy.await.unwrap();
    assert_eq!(script.batches().len(), 1);
}

#[tokio::test]
async fn each_has_its_own_deadline() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, script) = doubling_at(&engine, &gate, cached());
    let first = model.infer(input(1.0)).timeout(Duration::from_millis(20)).submit();
    gate.entered();
    let second = model.infer(input(1.0)).timeout(HOUR).submit();
    check_error(patiently(first).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    gate.release(1);
    check(&patiently(second).await.unwrap(), 1.0, true);
    assert!(!script.batches()[0].cancelled);
}

#[tokio::test]
async fn whoever_has_more_time_stays_when_the_first_is_late_in_the_queue() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, _) = doubling_at(&engine, &gate, cached());
    let busy = model.infer(input(0.0)).submit();
    gate.entered();
    let first = model.infer(input(1.0)).timeout(Duration::from_millis(20)).submit();
    let second = model.infer(input(1.0)).timeout(HOUR).submit();
    let third = model.infer(input(1.0)).submit();
    assert_eq!(metrics(&model).joined, 2);
    check_error(patiently(first).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    gate.open();
    busy.await.unwrap();
    check(&patiently(second).await.unwrap(), 1.0, true);
    check(&patiently(third).await.unwrap(), 1.0, true);
}

#[tokio::test]
async fn who_is_more_urgent_does_not_wait_behind_an_equal_one() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, script) = doubling_at(&engine, &gate, cached().with_max_batch(1));
    let busy = model.infer(input(0.0)).submit();
    gate.entered();
    let bulk = model.infer(input(1.0)).priority(Priority::Bulk).submit();
    let other = model.infer(input(2.0)).submit();
    let urgent = model.infer(input(1.0)).priority(Priority::Interactive).submit();
    assert_eq!(model.status().queued, 3);
    gate.release(2);
    check(&patiently(urgent).await.unwrap(), 1.0, false);
    // Its answer is that of the less urgent one, which need not run any more.
    check(&patiently(bulk).await.unwrap(), 1.0, true);
    gate.open();
    check(&other.await.unwrap(), 2.0, false);
    busy.await.unwrap();
    assert_eq!(script.batches().len(), 3);
}

#[tokio::test]
async fn its_bytes_are_bounded() {
    let (engine, gate) = (Engine::new(), Gate::opened());
    // Room for four: 8 bytes in, 9 out and 512 around them.
    let options = PoolOptions::default().with_cache(CacheOptions::default().with_bytes(4 * 529 + 100));
    let (model, script) = doubling_at(&engine, &gate, options);
    for x in 0..4 {
        model.infer(input(x as f32)).await.unwrap();
    }
    // The least recently used goes.
    check(&model.infer(input(0.0)).await.unwrap(), 0.0, true);
    check(&model.infer(input(9.0)).await.unwrap(), 9.0, false);
    check(&model.infer(input(0.0)).await.unwrap(), 0.0, true);
    check(&model.infer(input(1.0)).await.unwrap(), 1.0, false);
    let cache = metrics(&model);
    assert_eq!((cache.answers, cache.bytes, cache.evicted, script.batches().len()), (4, 4 * 529, 2, 6));
}

#[tokio::test]
async fn large_inputs_are_not_looked_up() {
    let (engine, gate) = (Engine::new(), Gate::opened());
    let options = PoolOptions::default().with_cache(CacheOptions::default().with_input_bytes_max(7));
    let (model, script) = doubling_at(&engine, &gate, options);
    for _ in 0..2 {
        check(&model.infer(input(1.0)).await.unwrap(), 1.0, false);
    }
    assert_eq!((script.batches().len(), metrics(&model).misses), (2, 0));
}

#[tokio::test]
async fn an_answer_is_good_for_a_while() {
    let (engine, gate) = (Engine::new(), Gate::opened());
    let options = PoolOptions::default().with_cache(CacheOptions::default().with_ttl(Duration::ZERO));
    let (model, script) = doubling_at(&engine, &gate, options);
    for _ in 0..2 {
        check(&model.infer(input(1.0)).await.unwrap(), 1.0, false);
    }
    assert_eq!((script.batches().len(), metrics(&model).answers), (2, 1));
}

#[tokio::test]
async fn a_function_says_what_tells_its_inputs_apart() {
    let engine = Engine::new();
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&runs);
    let shout = FnModel::new(move |text: String| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        text.to_uppercase()
    });
    let options = cached().with_inline(unruffled_engine::Inline::WhenCheap);
    let shout = shout.with_memo(|text: &String| text.to_lowercase(), String::len);
    let shout = engine.wrap_model(shout).options(options).build().unwrap();
    for text in ["hello", "Hello", "HELLO"] {
        assert_eq!(shout.infer(text.to_owned()).await.unwrap().output, "HELLO");
    }
    assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 1);

    let error = engine.wrap(|x: u32| x).name("plain").options(cached()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("say what does with `FnModel::with_memo`"), "{error}");
}

#[tokio::test]
async fn a_copy_that_panics_fails_its_own_request() {
    #[derive(Debug)]
    struct Bad(u32);
    impl Clone for Bad {
        fn clone(&self) -> Self {
            panic!("no copies")
        }
    }
    let engine = Engine::new();
    let model = FnModel::new(Bad);
    let model = engine.wrap_model(model.with_memo(|x| *x, |_| 4)).options(cached()).build().unwrap();
    let (first, second) = (model.infer(1).submit(), model.infer(1).submit());
    assert_eq!(first.await.unwrap().output.0, 1);
    // Either it came to wait with the first, and there was no copy for it, or it was run for itself.
    match second.await {
        Ok(response) => assert_eq!(response.output.0, 1),
        Err(error) => assert!(error.to_string().contains("its output cannot be copied"), "{error}"),
    }
    assert_eq!(model.infer(2).await.unwrap().output.0, 2);
}

#[tokio::test]
async fn what_is_degraded_or_streamed_is_not_remembered() {
    let engine = Engine::new();
    let streaming =
        FnModel::streaming(|x: &u32, out: &mut Emitter<'_, u32>, _: &RunContext<'_>| out.emit(*x));
    let streaming = streaming.with_memo(|x| *x, |_| 4);
    let streaming = engine.wrap_model(streaming).options(cached()).build().unwrap();
    for _ in 0..2 {
        use futures_util::StreamExt as _;
        let all: Vec<_> = streaming.infer(3).outputs().map(Result::unwrap).collect().await;
        assert_eq!(all, [3]);
    }
    assert_eq!(metrics(&streaming).misses, 0);

    let degraded = Degrading(FnModel::new(|x: u32| x).with_memo(|x| *x, |_| 4));
    let degraded = engine.wrap_model(degraded).options(cached()).build().unwrap();
    for _ in 0..2 {
        assert!(degraded.infer(1).await.unwrap().is_degraded());
    }
    assert_eq!((metrics(&degraded).misses, metrics(&degraded).answers), (2, 0));
}

/// Says of each answer that it is not the one that was asked for.
struct Degrading<M>(M);

impl<M: unruffled_model::LoadedModel> unruffled_model::LoadedModel for Degrading<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn info(&self) -> &unruffled_model::ModelInfo {
        self.0.info()
    }

    fn admit(&self, input: &M::Input) -> Result<unruffled_model::Footprint, ModelError> {
        self.0.admit(input)
    }

    fn memo(&self) -> Option<std::sync::Arc<dyn unruffled_model::Memo<M::Input, M::Output>>> {
        self.0.memo()
    }

    fn with_instance(
        &self,
        serve: &mut unruffled_model::Serve<'_, M::Input, M::Output>,
    ) -> Result<(), ModelError> {
        self.0.with_instance(&mut |model| serve(&mut Instance(model)))
    }
}

struct Instance<'a, I, O>(&'a mut dyn unruffled_model::Model<Input = I, Output = O>);

impl<I, O> unruffled_model::Model for Instance<'_, I, O> {
    type Input = I;
    type Output = O;

    fn run(
        &mut self,
        batch: &mut unruffled_model::Batch<I, O>,
        ctx: &RunContext<'_>,
    ) -> Result<(), ModelError> {
        self.0.run(batch, ctx)?;
        for row in batch.rows_mut() {
            let mut provenance = unruffled_model::Provenance::default();
            provenance.degraded = Some(Degraded::new("small"));
            row.came_from(provenance);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_model_that_goes_down_answers_nobody_and_leaves_nobody_waiting() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, _) = doubling_at(&engine, &gate, cached());
    let running = [0, 1].map(|_| model.infer(input(1.0)).submit());
    gate.entered();
    let queued = [0, 1].map(|_| model.infer(input(2.0)).timeout(HOUR).submit());
    let drained = engine.shutdown(Duration::ZERO).await;
    assert!(drained.cancelled);
    for answer in running.into_iter().chain(queued) {
        check_error(patiently(answer).await, ErrorKind::ShuttingDown, "shutting down");
    }
    check_error(model.infer(input(1.0)).await, ErrorKind::ShuttingDown, "shutting down");
}

#[tokio::test]
async fn a_newer_request_of_a_key_takes_the_older_ones_place_here_too() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (model, script) = doubling_at(&engine, &gate, cached());
    let older = model.infer(input(1.0)).supersede("box").submit();
    gate.entered();
    let newer = model.infer(input(1.0)).supersede("box").submit();
    check_error(patiently(older).await, ErrorKind::Cancelled, "superseded");
    gate.release(1);
    check(&patiently(newer).await.unwrap(), 1.0, true);
    let newest = model.infer(input(2.0)).supersede("box").submit();
    gate.entered();
    check(&model.infer(input(1.0)).supersede("box").await.unwrap(), 1.0, true);
    check_error(patiently(newest).await, ErrorKind::Cancelled, "superseded");
    assert!(!script.batches()[0].cancelled, "the newer one waited for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_of_a_storm_gets_its_own_answer() {
    let engine = Engine::new();
    let model = FnModel::interruptible(|&x: &u64, ctx: &RunContext<'_>| match x % 13 {
        0 => panic!("a bad input"),
        1 => Err(ModelError::failed("a poor input")),
        _ if ctx.is_cancelled() => Err(ModelError::cancelled()),
        _ => Ok(x * 3),
    });
    // Room for a few answers only.
    let cache = CacheOptions::default().with_bytes(5_000).with_ttl(Duration::from_millis(3));
    let options = PoolOptions::default()
        .with_instances(3)
        .with_queue(QueueLimits { items: 8, bytes: 1 << 20 })
        .with_cache(cache);
    let model = engine.wrap_model(model.with_memo(|x| *x, |_| 8)).options(options).build().unwrap();
    let callers: Vec<_> = (0..16_u64)
        .map(|caller| {
            let model = model.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(caller);
                for _ in 0..500 {
                    let x = rng.u64(..40);
                    let class = Priority::ALL[rng.usize(..3)];
                    let request = model.infer(x).timeout(Duration::from_micros(rng.u64(1..20_000)));
                    let answer = request.priority(class).submit();
                    if rng.u32(..5) == 0 {
                        drop(answer);
                        continue;
                    }
                    match answer.await {
                        Ok(response) => assert_eq!(response.output, x * 3),
                        Err(error) => match error.kind() {
                            ErrorKind::ModelCrashed => assert_eq!(x % 13, 0),
                            ErrorKind::ModelFailed => assert_eq!(x % 13, 1),
                            ErrorKind::DeadlineExceeded => {}
                            ErrorKind::Overloaded => tokio::task::yield_now().await,
                            other => panic!("{other:?}: {error}"),
                        },
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        patiently(caller).await.unwrap();
    }
    let (cache, status, all) = (metrics(&model), model.status(), model.metrics());
    assert!(cache.bytes <= 5_000 && cache.hits > 0 && cache.joined > 0 && cache.evicted > 0, "{cache:?}");
    assert_eq!((status.queued, status.queued_bytes), (0, 0));
    let failed: u64 = all.failed.iter().map(|(_, count)| count).sum();
    assert_eq!(all.accepted, all.answered + failed, "each is counted once\n{all}");
    let drained = engine.shutdown(Duration::from_secs(60)).await;
    assert!(!drained.cancelled, "{drained:?}");
}
