//! Models behind tower's middleware.

use std::future::poll_fn;
use std::time::Duration;

use tower::{Service, ServiceBuilder, ServiceExt as _};
use unruffled_engine::{Engine, Error, ErrorKind, Handle, PoolOptions, QueueLimits};
use unruffled_testing::scripted::Gate;

use crate::support::{adding, patiently, poll_once, wait_until};

#[tokio::test]
async fn a_model_is_a_service() {
    let engine = Engine::new();
    let model = engine.wrap_model(adding()).build().unwrap();
    assert_eq!(model.clone().oneshot(1).await.unwrap().output, 2);
    let mut service = ServiceBuilder::new()
        .map_request(|text: &str| text.len() as u32)
        .map_response(|response: unruffled_engine::Response<u32>| response.output)
        .concurrency_limit(2)
        .service(model);
    assert_eq!(service.ready().await.unwrap().call("four").await.unwrap(), 5);
}

#[tokio::test]
async fn towers_timeout_reaches_the_running_model() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let model = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let service = ServiceBuilder::new().timeout(Duration::from_millis(20)).service(model.clone());
    let error = service.oneshot(1).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>(), "{error}");
    wait_until(|| model.status().running == 0);
    assert_eq!(gate.waiting(), 0, "the run was told to stop");
}

#[tokio::test]
async fn a_full_queue_is_an_error_and_keeps_nobody_waiting() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let limits = QueueLimits { items: 1, ..QueueLimits::default() };
    let options = PoolOptions::default().with_queue(limits).with_max_batch(1);
    let mut model: Handle<u32, u32> =
        engine.wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    let running = model.call(1);
    gate.entered();
    let queued = model.call(2);
    poll_fn(|cx| Service::<u32>::poll_ready(&mut model, cx)).await.unwrap();
    let mut refused = Box::pin(model.call(3));
    let std::task::Poll::Ready(Err(error)) = poll_once(refused.as_mut()) else { panic!("refused at once") };
    let error: Error = error;
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    gate.open();
    assert_eq!((patiently(running).await.unwrap().output, patiently(queued).await.unwrap().output), (2, 3));
}
