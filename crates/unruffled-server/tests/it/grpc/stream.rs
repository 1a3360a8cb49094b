//! `ModelStreamInfer`: order, errors in between, several outputs, bounds, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use tonic::Code;
use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::{Batching, Bytes, Emitter, RequestId, RunContext, Tensor, Tensors};
use unruffled_protocol::grpc::infer_parameter::ParameterChoice;
use unruffled_protocol::grpc::{
    FINAL_RESPONSE, InferParameter, ModelInferRequest, ModelInferResponse, WANTS_FINAL_RESPONSE,
};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use super::client::{Grpc, assert_status, one_row, with_x};
use crate::support::{ONE_ROW, TestServer, wait_until};

/// Whether an answer says that it is the last of its request.
fn is_final(answer: &ModelInferResponse) -> bool {
    match answer.parameters.get(FINAL_RESPONSE).and_then(|parameter| parameter.parameter_choice.as_ref()) {
        Some(ParameterChoice::BoolParam(is_final)) => *is_final,
        other => panic!("{other:?}"),
    }
}

/// A server whose model counts from 0 to what it is given, and says each.
fn counting() -> TestServer {
    let engine = Engine::new();
    let count = |inputs: &Tensors, out: &mut Emitter<'_, Tensors>, _: &RunContext<'_>| {
        let up_to = inputs.get("x").map_or(Ok(0), |x| x.elements::<u32>().map(|x| x[0]))?;
        (0..up_to).try_for_each(|i| out.emit(Tensors::new().with("i", Tensor::scalar(i))))
    };
    let handle = engine.wrap_streaming(count).name("m").register().unwrap();
    wait_until("the first instance", || handle.status().ready);
    TestServer::start(engine, ServerOptions::default())
}

fn count_to(id: &str, up_to: u32, wants_final: bool) -> ModelInferRequest {
    let mut request = with_x(id, Tensor::scalar(up_to));
    if wants_final {
        let choice = Some(ParameterChoice::BoolParam(true));
        let parameter = InferParameter { parameter_choice: choice };
        request.parameters.insert(WANTS_FINAL_RESPONSE.to_owned(), parameter);
    }
    request
}

#[test]
fn one_answer_for_each_request_in_their_order() {
    let (server, _) = TestServer::with_model(doubling());
    let mut stream = Grpc::connect(&server).stream(&[]);
    for i in 0..200 {
        stream.send(one_row(&i.to_string()));
    }
    stream.finish();
    for i in 0..200 {
        let answer = stream.answer();
        assert_eq!((answer.id.as_str(), is_final(&answer)), (i.to_string().as_str(), true));
        assert_eq!(&answer.raw_output_contents[0][..], [0, 0, 0, 0x40, 0, 0, 0xa0, 0x40]);
    }
    assert!(stream.next().unwrap().is_none());
}

#[test]
fn an_error_is_an_answer_and_the_stream_goes_on() {
    let (server, _) = TestServer::with_model(doubling());
    let mut stream = Grpc::connect(&server).stream(&[]);
    let mut unknown = one_row("unknown");
    unknown.model_name = "n".to_owned();
    let mut short = one_row("short");
    short.raw_input_contents = vec![Bytes::from_static(&[1, 2])];
    for request in [one_row("a"), unknown, short, one_row("b")] {
        stream.send(request);
    }
    assert_eq!(stream.answer().id, "a");
    let (id, error) = stream.error();
    assert!(id == "unknown" && error.contains("`n`"), "{id}: {error}");
    let (id, error) = stream.error();
    assert!(id == "short" && error.contains("input `x`"), "{id}: {error}");
    assert_eq!(stream.answer().id, "b");
    stream.finish();
    assert!(stream.next().unwrap().is_none());
}

#[test]
fn an_error_ends_the_stream_if_asked() {
    let (server, _) = TestServer::with_model(doubling());
    let mut stream = Grpc::connect(&server).stream(&[("triton_grpc_error", "true")]);
    let mut unknown = one_row("unknown");
    unknown.model_name = "n".to_owned();
    stream.send(one_row("a"));
    stream.send(unknown);
    assert_eq!(stream.answer().id, "a");
    assert_status(stream.next(), Code::NotFound, &["`n`"]);
}

#[test]
fn several_answers_for_one_request() {
    let server = counting();
    let mut stream = Grpc::connect(&server).stream(&[]);
    stream.send(count_to("three", 3, true));
    stream.send(count_to("none", 0, true));
    stream.send(count_to("two", 2, false));
    stream.send(count_to("silent", 0, false));
    stream.finish();
    let mut answers = Vec::new();
    while let Some(answer) = stream.next().unwrap() {
        assert_eq!(answer.error_message, "");
        answers.push(answer.infer_response.unwrap());
    }
    let of = |id: &str| answers.iter().filter(|answer| answer.id == id).collect::<Vec<_>>();
    let order: Vec<_> = answers.iter().map(|answer| answer.id.as_str()).collect();
    assert!(order.is_sorted_by_key(|id| ["three", "none", "two"].iter().position(|known| known == id)));
    let three = of("three");
    let values: Vec<_> =
        three.iter().filter_map(|answer| answer.raw_output_contents.first()).map(|raw| raw[0]).collect();
    assert_eq!(values, [0, 1, 2]);
    // The last says so: the last output, or one without outputs behind it.
    let (last, before) = three.split_last().unwrap();
    assert!(is_final(last) && !before.iter().any(|answer| is_final(answer)));
    let none = of("none");
    assert!(none.len() == 1 && is_final(none[0]) && none[0].outputs.is_empty());
    assert_eq!((of("two").len(), of("silent").len()), (2, 0));
}

#[test]
fn a_client_that_does_not_read_holds_the_model_back() {
    let engine = Engine::new();
    let (emitted, (tell, ended)) = (Arc::new(AtomicUsize::new(0)), channel());
    let count = Arc::clone(&emitted);
    let endless = move |_: &Tensors, out: &mut Emitter<'_, Tensors>, _: &RunContext<'_>| {
        let large = Tensor::filled(&[100_000], 7_u8)?;
        let outcome = loop {
            if let Err(error) = out.emit(Tensors::new().with("y", large.clone())) {
                break error;
            }
            count.fetch_add(1, Ordering::Relaxed);
        };
        let _ = tell.send(());
        Err(outcome)
    };
    let handle = engine.wrap_streaming(endless).name("m").register().unwrap();
    wait_until("the first instance", || handle.status().ready);
    let server = TestServer::start(engine, ServerOptions::default());
    let mut stream = Grpc::connect(&server).stream(&[]);
    stream.send(with_x("", Tensor::scalar(1_u8)));
    stream.answer();
    // It gives as much as fits between the two, and waits: what it has given stays the same while others are served.
    let held_back = || {
        let before = emitted.load(Ordering::Relaxed);
        assert_eq!(server.client().get("/v2").status, 200);
        before == emitted.load(Ordering::Relaxed) && handle.status().running == 1
    };
    wait_until("the model to wait", || (0..100).all(|_| held_back()));
    assert!(emitted.load(Ordering::Relaxed) < 200, "20 MB of answers wait");
    drop(stream);
    ended.recv().unwrap();
}

#[test]
fn only_so_many_at_a_time() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let options = ServerOptions::default().with_stream_requests(3);
    let (server, _) = TestServer::with(model, PoolOptions::default(), options);
    let mut stream = Grpc::connect(&server).stream(&[]);
    for i in 0..20 {
        stream.send(one_row(&i.to_string()));
    }
    gate.entered();
    gate.open();
    for i in 0..20 {
        assert_eq!(stream.answer().id, i.to_string());
    }
    assert!(script.batch_sizes().iter().all(|size| *size <= 3), "{:?}", script.batch_sizes());
}

#[test]
fn the_end_of_the_server_is_told_after_the_answers_that_are_owed() {
    let gate = Gate::closed();
    let (mut server, _) = TestServer::with_model(doubling().gated(&gate));
    let stopper = server.stopper();
    {
        let mut stream = Grpc::connect(&server).stream(&[]);
        stream.send(one_row("owed"));
        gate.entered();
        stopper.send(()).unwrap();
        wait_until("the listener to be gone", || std::net::TcpStream::connect(server.address()).is_err());
        gate.open();
        assert_eq!(stream.answer().id, "owed");
        assert_status(stream.next(), Code::Unavailable, &["shutting down"]);
    }
    assert_eq!(server.served().cut, 0);
}

#[test]
fn a_stream_that_is_cancelled_stops_the_model() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate).batching(Batching::Single);
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    let client = Grpc::connect(&server);
    let stream = client.stream(&[]);
    stream.send(one_row("running"));
    assert_eq!(gate.entered(), [RequestId::Text("running".into())]);
    stream.send(one_row("queued"));
    wait_until("a place in the queue", || handle.status().queued == 1);
    drop(stream);
    wait_until("the run to stop", || handle.status().running + handle.status().queued == 0);
    assert!(script.batches()[0].cancelled);
    gate.open();
    server.client().infer(ONE_ROW).assert_doubled();
    assert_eq!(script.batches().len(), 2, "the queued one never ran");
}
