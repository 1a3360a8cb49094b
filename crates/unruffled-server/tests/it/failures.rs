//! Models that fail: the client learns it, and nobody else suffers.

use unruffled_model::ModelError;
use unruffled_testing::scripted::doubling;

use crate::support::{ONE_ROW, TestServer};

#[test]
fn a_model_that_panics() {
    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    script.panic_next(1);
    let mut client = server.client();
    let answer = client.infer(ONE_ROW);
    answer.assert_error(500, &["`m`", "panicked", "the script panics in this run"]);
    server.assert_serves(&mut client);
}

#[test]
fn a_model_that_fails() {
    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut client = server.client();
    script.fail_next(ModelError::failed("the sum is wrong").at("y"));
    client.infer(ONE_ROW).assert_error(500, &["`m`", "`y`", "the sum is wrong"]);
    script.fail_next(ModelError::invalid_input("is all wrong").at("x"));
    client.infer(ONE_ROW).assert_error(400, &["`m`", "`x`", "is all wrong"]);
    script.fail_next(ModelError::cancelled());
    client.infer(ONE_ROW).assert_error(499, &["`m`", "cancelled"]);
    script.fail_next(ModelError::crashed("the process died"));
    client.infer(ONE_ROW).assert_error(500, &["`m`", "the process died"]);
    server.assert_serves(&mut client);
}

#[test]
fn a_model_that_does_not_keep_its_word() {
    let model = doubling().with_info(|info| {
        let mut other = info.signature.outputs[0].clone();
        other.name = "z".into();
        info.signature.outputs.push(other);
    });
    let (server, _) = TestServer::with_model(model);
    let mut client = server.client();
    client.infer(ONE_ROW).assert_error(500, &["`z`"]);
    let body = format!(r#"{{"outputs":[{{"name":"y"}}],{}"#, &ONE_ROW[1..]);
    client.infer(&body).assert_doubled();
}
