//! Requests whose rows have outcomes of their own.

use serde_json::{Value, json};
use unruffled_engine::PoolOptions;
use unruffled_model::{DType, Dim, ModelError, Signature, Tensor, TensorSpec, Tensors};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, ScriptedModel, tensors};

use crate::support::{TestServer, wait_until};

/// Doubles single numbers; fails at negative ones, and panics at 13.
fn picky() -> ScriptedModel<Tensors, Tensors> {
    let spec = |name: &str| TensorSpec::new(name, DType::F32, [Dim::Any]);
    let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] };
    let picky = tensors(signature, |inputs, _| {
        let x = inputs.get("x").unwrap().elements::<f32>()?;
        if x.contains(&-1.0) {
            return Err(ModelError::invalid_input("there is a negative number"));
        }
        assert!(!x.contains(&13.0), "an unlucky number");
        Ok(Tensors::new().with("y", Tensor::new(&[x.len()], x.iter().map(|x| 2.0 * x).collect::<Vec<_>>())?))
    });
    picky.rerunnable()
}

fn body(parameters: &str, numbers: &[f32]) -> String {
    let rows = numbers.len();
    format!(
        r#"{{"id":"r","parameters":{{{parameters}}},"inputs":[{{"name":"x","shape":[{rows}],"datatype":"FP32","data":{numbers:?}}}]}}"#
    )
}

fn errors(answer: &Value) -> Vec<(u64, String)> {
    let errors: Value =
        serde_json::from_str(answer["parameters"]["unruffled_errors"].as_str().unwrap()).unwrap();
    let errors = errors.as_array().unwrap().iter();
    errors.map(|error| (error["row"].as_u64().unwrap(), error["kind"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_bad_row_costs_that_row_only() {
    let (server, _) = TestServer::with_model(picky());
    let mut client = server.client();
    let numbers = [1.0, -1.0, 3.0, 13.0, 5.0];
    client.infer(&body("", &numbers)).assert_error(400, &["negative"]);
    let answer = client.infer(&body(r#""unruffled_partial":true"#, &numbers));
    assert_eq!(answer.status, 200);
    let json = answer.json();
    let output = json!({"name": "y", "datatype": "FP32", "shape": [3], "data": [2.0, 6.0, 10.0]});
    assert_eq!((&json["id"], &json["outputs"]), (&json!("r"), &json!([output])));
    assert_eq!(json["parameters"]["unruffled_rows"], "[0,2,4]");
    let expected = [(1, "invalid_input".to_owned()), (3, "model_crashed".to_owned())];
    assert_eq!(errors(&json), expected);
}

#[test]
fn all_rows_may_fail_or_none() {
    let (server, _) = TestServer::with_model(picky());
    let mut client = server.client();
    let json = client.infer(&body(r#""unruffled_partial":true"#, &[-1.0, -1.0])).json();
    assert_eq!((&json["outputs"], &json["parameters"]["unruffled_rows"]), (&json!([]), &json!("[]")));
    let json = client.infer(&body(r#""unruffled_partial":true"#, &[1.0, 2.0])).json();
    assert_eq!(json["parameters"]["unruffled_errors"], "[]");
    assert_eq!(json["outputs"][0]["data"], json!([2.0, 4.0]));
}

#[test]
fn what_came_before_the_deadline_is_given() {
    let gate = Gate::closed();
    let first = picky().gated(&gate);
    let options = PoolOptions::default().with_max_batch(1);
    let (server, _) = TestServer::with(first, options, ServerOptions::default());
    let mut client = server.client();
    // One row is let through, the others wait for ever.
    gate.release(1);
    let json = client.infer(&body(r#""unruffled_partial":true,"timeout":300000"#, &[1.0, 2.0, 3.0])).json();
    assert_eq!(json["parameters"]["unruffled_rows"], "[0]");
    assert_eq!(errors(&json), [(1, "deadline_exceeded".to_owned()), (2, "deadline_exceeded".to_owned())]);
    gate.open();
}

#[test]
fn only_rows_have_outcomes_of_their_own() {
    let (server, _) = TestServer::with_model(picky());
    let mut client = server.client();
    let scalar = r#"{"parameters":{"unruffled_partial":true},"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":[1]}]}"#;
    client.infer(scalar).assert_error(400, &["`unruffled_partial`", "no dimensions"]);
    client.infer(&body(r#""unruffled_partial":1"#, &[1.0])).assert_error(400, &["expected true or false"]);
    client.infer(&body(r#""unruffled_partial":true"#, &[1.0; 5000])).assert_error(400, &["4096", "5000"]);
}

#[test]
fn a_client_that_goes_takes_all_rows_along() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_max_batch(1);
    let (server, handle) = TestServer::with(picky().gated(&gate), options, ServerOptions::default());
    let mut client = server.client();
    client.send_infer(&body(r#""unruffled_partial":true"#, &[1.0, 2.0, 3.0]));
    gate.entered();
    client.disconnect();
    wait_until("all rows have gone", || handle.status().queued + handle.status().running == 0);
}

#[test]
fn a_function_that_does_not_say_what_it_gives_gives_its_rows() {
    let echo = ScriptedModel::new(|inputs: &Tensors, _| Ok(inputs.clone()));
    let (server, _) = TestServer::with_model(echo);
    let json = server.client().infer(&body(r#""unruffled_partial":true"#, &[1.0, 2.0])).json();
    assert_eq!((&json["outputs"][0]["name"], &json["outputs"][0]["data"]), (&json!("x"), &json!([1.0, 2.0])));
}
