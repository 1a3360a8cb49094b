//! The clients that people use from Python, as they are.

use std::path::Path;
use std::process::Command;

use unruffled_engine::Engine;
use unruffled_model::{Emitter, RunContext, Tensor, Tensors};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{ScriptedModel, doubling};

use crate::openai::embedding;
use crate::support::{TestServer, wait_until};
use crate::traces::Told;

/// Runs a script against a server with the models that the scripts know.
#[track_caller]
fn drive(script: &str) {
    let engine = Engine::new();
    let echo = ScriptedModel::new(|inputs: &Tensors, _| Ok(inputs.clone()));
    let count = |inputs: &Tensors, out: &mut Emitter<'_, Tensors>, _: &RunContext<'_>| {
        let up_to = inputs.get("x").map_or(Ok(0), |x| x.elements::<u32>().map(|x| x[0]))?;
        (0..up_to).try_for_each(|i| out.emit(Tensors::new().with("i", Tensor::scalar(i))))
    };
    engine.wrap_model(doubling()).name("m").register().unwrap();
    engine.wrap_model(echo).name("echo").register().unwrap();
    engine.wrap_streaming(count).name("count").register().unwrap();
    engine.wrap_model(embedding()).name("embed").register().unwrap();
    wait_until("all models", || engine.is_ready());
    let server = TestServer::start(
        engine,
        ServerOptions::default().with_shared_memory(true).with_logging(Told::new()),
    );

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.venv/bin/python");
    assert!(python.exists(), "there is no .venv; remedy: cargo xtask test setup");
    let script = root.join("tests/python").join(script);
    let output = Command::new(python).arg(script).arg(server.address().to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.ends_with("all is well\n"), "{said}\n{errors}");
}

#[test]
fn tritonclient_over_http() {
    drive("triton_http.py");
}

#[test]
fn tritonclient_over_grpc() {
    drive("triton_grpc.py");
}

#[test]
fn kserve_over_rest() {
    drive("kserve_rest.py");
}

#[test]
fn kserve_over_grpc() {
    drive("kserve_grpc.py");
}

#[test]
fn mlserver_infer() {
    drive("mlserver_infer.py");
}

// The wheel is for these only.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn perf_analyzer() {
    drive("perf_analyzer.py");
}

#[test]
fn openai_for_embeddings() {
    drive("openai_embeddings.py");
}

#[test]
fn websockets_for_streams() {
    drive("websocket_stream.py");
}

#[test]
fn schemathesis_over_the_document() {
    drive("openapi_answers.py");
}
