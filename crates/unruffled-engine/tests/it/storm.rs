//! Many callers at once, on real threads: each gets its own answer or one error, and nothing is left behind.

use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, PoolOptions, QueueLimits};
use unruffled_model::{ModelError, RunContext};

const CALLERS: u64 = 32;
const CALLS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_of_a_storm_ends_once() {
    let engine = Engine::new();
    let model = engine
        .wrap_interruptible(|&(caller, call): &(u64, u64), ctx: &RunContext<'_>| match call % 97 {
            0 => panic!("a bad input"),
            1 => Err(ModelError::failed("a poor input")),
            _ if ctx.is_cancelled() => Err(ModelError::cancelled()),
            _ => Ok(caller * 1_000_000 + call),
        })
        .options(
            PoolOptions::default().with_instances(3).with_queue(QueueLimits { items: 20, bytes: 1 << 20 }),
        )
        .build()
        .unwrap();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let model = model.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(caller);
                for call in 0..CALLS {
                    let request =
                        model.infer((caller, call)).timeout(Duration::from_micros(rng.u64(1..20_000)));
                    let answer = request.submit();
                    if rng.u32(..5) == 0 {
                        drop(answer);
                        continue;
                    }
                    match answer.await {
                        Ok(response) => assert_eq!(response.output, caller * 1_000_000 + call),
                        Err(error) => match error.kind() {
                            ErrorKind::ModelCrashed
                            | ErrorKind::ModelFailed
                            | ErrorKind::DeadlineExceeded => {}
                            ErrorKind::Overloaded => tokio::task::yield_now().await,
                            other => panic!("{other:?}: {error}"),
                        },
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let status = model.status();
    assert_eq!((status.queued, status.queued_bytes), (0, 0));
    let drained = engine.shutdown(Duration::from_secs(60)).await;
    assert!(!drained.cancelled, "{drained:?}");
}
