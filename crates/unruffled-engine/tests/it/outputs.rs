//! Models that give several outputs: each is there as soon as it comes, and the model never runs far ahead.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use unruffled_engine::{Engine, ErrorKind, Handle, Outputs, Priority};
use unruffled_model::{Emitter, ModelError, ModelErrorKind, RunContext};

use crate::support::{adding, check_error};

const SOON: Duration = Duration::from_millis(20);

/// A model that counts to its input.
fn counting() -> Handle<u32, u32> {
    Engine::new()
        .wrap_streaming(|&end: &u32, out: &mut Emitter<'_, u32>, _: &RunContext<'_>| {
            (0..end).try_for_each(|x| out.emit(x))
        })
        .build()
        .unwrap()
}

/// A model that counts until nobody wants more, tells how many outputs it has begun, and with what it ended.
fn endless() -> (Handle<(), usize>, Arc<AtomicUsize>, mpsc::Receiver<ModelErrorKind>) {
    let begun = Arc::new(AtomicUsize::new(0));
    let (tell, told) = mpsc::channel();
    let count = Arc::clone(&begun);
    let handle = Engine::new()
        .wrap_streaming(move |(): &(), out: &mut Emitter<'_, usize>, _: &RunContext<'_>| {
            loop {
                if let Err(error) = out.emit(count.fetch_add(1, Ordering::SeqCst)) {
                    tell.send(error.kind()).unwrap();
                    return Err(error);
                }
            }
        })
        .build()
        .unwrap();
    (handle, begun, told)
}

/// What a request gave, and how it ended.
async fn all<O: Send>(mut outputs: Outputs<u32, O>) -> (Vec<O>, Option<ErrorKind>) {
    let mut given = Vec::new();
    while let Some(output) = outputs.next().await {
        match output {
            Ok(output) => given.push(output),
            Err(error) => {
                assert!(outputs.next().await.is_none(), "an error is the end");
                return (given, Some(error.kind()));
            }
        }
    }
    assert!(outputs.next().await.is_none(), "an ended stream stays ended");
    (given, None)
}

#[tokio::test]
async fn outputs_come_in_order_and_none_is_lost() {
    let model = counting();
    assert_eq!(all(model.infer(1000).outputs()).await, ((0..1000).collect(), None));
    assert_eq!(all(model.infer(1000).outputs_buffered(0)).await, ((0..1000).collect(), None));
}

#[tokio::test]
async fn no_output_is_a_stream_without_items() {
    assert_eq!(all(counting().infer(0).outputs()).await, (Vec::new(), None));
}

#[tokio::test]
async fn a_model_of_one_output_gives_it() {
    let model = Engine::new().wrap_model(adding()).build().unwrap();
    assert_eq!(all(model.infer(1).outputs()).await, (vec![2], None));
}

#[tokio::test]
async fn a_model_of_several_outputs_says_how_to_ask() {
    let model = counting();
    check_error(model.infer(3).await, ErrorKind::InvalidInput, "ask for them with `outputs`");
    let text = "if it gives several, ask with `outputs`";
    check_error(model.infer(0).await, ErrorKind::ModelFailed, text);
}

#[tokio::test]
async fn a_model_waits_for_its_caller() {
    let (model, begun, told) = endless();
    let mut outputs = model.infer(()).outputs_buffered(3);
    for taken in 0..100 {
        // What waits, and the one in the model's hand.
        assert!(begun.load(Ordering::SeqCst) <= taken + 3 + 1);
        assert_eq!(outputs.next().await.unwrap().unwrap(), taken);
    }
    assert_eq!(model.status().running, 1);
    drop(outputs);
    assert_eq!(told.recv().unwrap(), ModelErrorKind::Cancelled);
    assert!(begun.load(Ordering::SeqCst) <= 100 + 3 + 1);
}

#[tokio::test]
async fn an_output_is_there_before_the_next_is_begun() {
    let (go_on, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let model = Engine::new()
        .wrap_streaming(move |(): &(), out: &mut Emitter<'_, u32>, _: &RunContext<'_>| {
            wait.lock().unwrap().iter().try_for_each(|x| out.emit(x))
        })
        .build()
        .unwrap();
    let mut outputs = model.infer(()).outputs();
    for x in 0..3 {
        assert!(outputs.poll_next_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
        go_on.send(x).unwrap();
        assert_eq!(outputs.next().await.unwrap().unwrap(), x);
    }
    drop(go_on);
    assert!(outputs.next().await.is_none());
}

#[tokio::test]
async fn dropped_outputs_stop_a_model_that_waits_for_room() {
    let (model, begun, told) = endless();
    let outputs = model.infer(()).outputs_buffered(1);
    while begun.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    drop(outputs);
    assert_eq!(told.recv().unwrap(), ModelErrorKind::Cancelled);
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stopped_request_is_over_when_it_says_so() {
    let (model, _, told) = endless();
    let mut outputs = model.infer(()).outputs();
    outputs.next().await.unwrap().unwrap();
    outputs.stop().await;
    assert_eq!(model.status().running, 0);
    assert_eq!(told.recv().unwrap(), ModelErrorKind::Cancelled);
}

#[tokio::test]
async fn a_deadline_stops_a_model_and_what_it_gave_before_is_kept() {
    let (model, _, told) = endless();
    let mut outputs = model.infer(()).timeout(SOON).outputs_buffered(2);
    assert_eq!(told.recv().unwrap(), ModelErrorKind::Cancelled);
    assert_eq!(outputs.next().await.unwrap().unwrap(), 0);
    assert_eq!(outputs.next().await.unwrap().unwrap(), 1);
    assert_eq!(outputs.next().await.unwrap().unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    assert!(outputs.next().await.is_none());
}

#[tokio::test]
async fn cancelled_from_elsewhere_the_outputs_say_so() {
    let (model, _, told) = endless();
    let mut outputs = model.infer(()).outputs_buffered(1);
    outputs.next().await.unwrap().unwrap();
    outputs.canceller().cancel();
    assert_eq!(told.recv().unwrap(), ModelErrorKind::Cancelled);
    let ends: Vec<_> = outputs.filter_map(async |output| output.err()).collect().await;
    assert_eq!(ends.iter().map(unruffled_engine::Error::kind).collect::<Vec<_>>(), [ErrorKind::Cancelled]);
}

#[tokio::test]
async fn a_shutdown_lets_a_model_go_that_waits_for_room() {
    let engine = Engine::new();
    let model = engine
        .wrap_streaming(|(): &(), out: &mut Emitter<'_, u32>, _: &RunContext<'_>| {
            (0..).try_for_each(|x| out.emit(x))
        })
        .build()
        .unwrap();
    let mut outputs = model.infer(()).outputs_buffered(1);
    assert_eq!(outputs.next().await.unwrap().unwrap(), 0);
    assert_eq!(engine.shutdown(Duration::ZERO).await.still_running, []);
    let ends: Vec<_> = outputs.filter_map(async |output| output.err()).collect().await;
    assert_eq!(ends.iter().map(unruffled_engine::Error::kind).collect::<Vec<_>>(), [ErrorKind::ShuttingDown]);
}

/// Checks what comes of a model that gives two outputs and then breaks, and that it is begun once.
#[track_caller]
fn check_broken(ends: fn() -> Result<(), ModelError>, kind: ErrorKind) {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let model = Engine::new()
        .wrap_streaming(move |_: &u32, out: &mut Emitter<'_, u32>, _: &RunContext<'_>| {
            count.fetch_add(1, Ordering::SeqCst);
            out.emit(0)?;
            out.emit(1)?;
            ends()
        })
        .build()
        .unwrap();
    let outcome = crate::support::runtime().block_on(all(model.infer(0).outputs()));
    assert_eq!(outcome, (vec![0, 1], Some(kind)));
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[test]
fn outputs_come_before_the_error_and_nothing_is_done_twice() {
    check_broken(|| Err(ModelError::failed("out of luck")), ErrorKind::ModelFailed);
    check_broken(|| Err(ModelError::crashed("the process died")), ErrorKind::ModelCrashed);
    check_broken(|| panic!("out of luck"), ErrorKind::ModelCrashed);
}

#[tokio::test]
async fn what_has_begun_to_give_is_not_begun_again_for_something_more_urgent() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let model = Engine::new()
        .wrap_streaming(move |&end: &u32, out: &mut Emitter<'_, u32>, _: &RunContext<'_>| {
            count.fetch_add(1, Ordering::SeqCst);
            (0..end).try_for_each(|x| out.emit(x))
        })
        .build()
        .unwrap();
    let mut bulk = model.infer(5).priority(Priority::Bulk).outputs_buffered(1);
    assert_eq!(bulk.next().await.unwrap().unwrap(), 0);
    let urgent = model.infer(2).priority(Priority::Interactive).outputs();
    assert_eq!(all(bulk).await, ((1..5).collect(), None));
    assert_eq!(all(urgent).await, (vec![0, 1], None));
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

/// However the model, its caller and the deadline meet: every stream of outputs ends, and every model is let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_of_a_storm_of_outputs_ends() {
    let engine = Engine::new();
    let model = engine
        .wrap_streaming(|&end: &u32, out: &mut Emitter<'_, u32>, _: &RunContext<'_>| {
            (0..end).try_for_each(|x| out.emit(x))
        })
        .instances(3)
        .build()
        .unwrap();
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let model = model.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(caller);
                for _ in 0..200 {
                    let timeout = Duration::from_micros(rng.u64(1..3000));
                    let request = model.infer(rng.u32(..50)).timeout(timeout);
                    let mut outputs = request.outputs_buffered(rng.usize(1..4));
                    let patience = rng.u32(..60);
                    for expected in 0..patience {
                        match outputs.next().await {
                            Some(Ok(x)) => assert_eq!(x, expected),
                            Some(Err(_)) | None => break,
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let drained = engine.shutdown(Duration::from_secs(60)).await;
    assert!(!drained.cancelled, "{drained:?}");
}

/// Any executor will do: here somebody who polls by hand, woken by the model's thread.
#[test]
fn outputs_wake_whoever_waits() {
    let (wake, woken) = mpsc::channel();
    let waker = Waker::from(Arc::new(Tell(Mutex::new(wake))));
    let model = counting();
    let mut outputs = model.infer(100).outputs_buffered(2);
    let mut given = Vec::new();
    loop {
        match outputs.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(output)) => given.push(output.unwrap()),
            Poll::Ready(None) => break,
            Poll::Pending => woken.recv().unwrap(),
        }
    }
    assert_eq!(given, (0..100).collect::<Vec<_>>());
}

struct Tell(Mutex<mpsc::Sender<()>>);

impl std::task::Wake for Tell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.lock().unwrap().send(());
    }
}
