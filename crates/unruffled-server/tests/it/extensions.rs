//! The extensions of the protocol over HTTP: binary data, compression, classes, sequences, shared memory, statistics,
//! configuration.

use std::io::Write as _;

use serde_json::{Value, json};
use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::{DType, Dim, SequenceSpec, Signature, Tensor, TensorSpec, Tensors};
use unruffled_server::{Catalog, ServerOptions};
use unruffled_testing::scripted::{ScriptedModel, doubling, tensors};

use crate::support::{Answer, Client, ONE_ROW, TestServer, many_rows};

/// A body of JSON and of binary data behind it, and the header that says so.
fn packed(json: &str, data: &[u8]) -> (String, Vec<u8>) {
    let header = format!("Inference-Header-Content-Length: {}\r\n", json.len());
    (header, [json.as_bytes(), data].concat())
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

const BINARY_ROW: &str = r#"{"parameters":{"binary_data_output":true},
    "inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}"#;

/// The JSON part and the data of a binary answer.
#[track_caller]
fn unpacked(answer: &Answer) -> (Value, &[u8]) {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/octet-stream")),
        "{answer:?}"
    );
    let length: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
    let (json, data) = answer.bytes.split_at(length);
    (serde_json::from_slice(json).unwrap(), data)
}

#[test]
fn tensors_come_and_go_in_binary() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let (header, body) = packed(BINARY_ROW, &floats(&[1.0, 2.5]));
    let answer = client.infer_bytes(&header, &body);
    let (json, data) = unpacked(&answer);
    assert_eq!(data, floats(&[2.0, 5.0]));
    let output =
        json!({"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}});
    assert_eq!(json["outputs"], json!([output]));

    // JSON in, binary out, and the reverse.
    let asks = ONE_ROW.replacen('{', r#"{"outputs":[{"name":"y","parameters":{"binary_data":true}}],"#, 1);
    assert_eq!(unpacked(&client.infer(&asks)).1, floats(&[2.0, 5.0]));
    let (header, body) = packed(&BINARY_ROW.replace("true", "false"), &floats(&[1.0, 2.5]));
    client.infer_bytes(&header, &body).assert_doubled();

    // Nothing but data.
    let answer = client.infer_bytes("Inference-Header-Content-Length: 0\r\n", &floats(&[1.0, 2.5]));
    assert_eq!(unpacked(&answer).1, floats(&[2.0, 5.0]));
    let answer = client.infer_bytes("Inference-Header-Content-Length: 0\r\n", &[0; 9]);
    answer.assert_error(400, &["input `x`", "9 bytes"]);
    let (header, body) = packed(BINARY_ROW, &[0; 4]);
    client.infer_bytes(&header, &body).assert_error(400, &["input `x`", "only 4 bytes are left"]);
    server.assert_serves(&mut client);
}

#[test]
fn bodies_are_compressed_both_ways() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let compress = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    client.infer_bytes("Content-Encoding: gzip\r\n", &compress(ONE_ROW.as_bytes())).assert_doubled();
    // The header counts what was there before compression.
    let (header, body) = packed(BINARY_ROW, &floats(&[1.0, 2.5]));
    let answer = client.infer_bytes(&format!("{header}Content-Encoding: gzip\r\n"), &compress(&body));
    assert_eq!(unpacked(&answer).1, floats(&[2.0, 5.0]));
    let answer = client.infer_bytes("Content-Encoding: zstd\r\n", b"no zstd at all");
    answer.assert_error(400, &["encoding"]);

    let ask = |client: &mut Client, accepts: &str| {
        let headers = format!("Accept-Encoding: {accepts}\r\n");
        client.infer_bytes(&headers, many_rows(2000).as_bytes())
    };
    let answer = ask(&mut client, "gzip, deflate, br");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*answer.bytes), &mut text).unwrap();
    let plain = ask(&mut client, "br");
    assert_eq!((plain.header("content-encoding"), &plain.body), (None, &text));
    assert_eq!(ask(&mut client, "zstd").header("content-encoding"), Some("zstd"));
    // Errors and small answers go as they are.
    let refused = client.infer_bytes("Accept-Encoding: gzip\r\n", b"{");
    assert_eq!(refused.header("content-encoding"), None);
    refused.assert_error(400, &["not JSON"]);
}

#[test]
fn a_bomb_does_not_go_off() {
    let options = ServerOptions::default().with_body_bytes(100_000);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    let bomb = zstd::stream::encode_all(&*vec![b' '; 50 << 20], 1).unwrap();
    assert!(bomb.len() < 50_000);
    client
        .infer_bytes("Content-Encoding: zstd\r\n", &bomb)
        .assert_error(413, &["expands to more than 100000"]);
    server.assert_serves(&mut client);
}

/// Says what some classes are called.
struct Labels;

impl Catalog for Labels {
    fn version(&self, _: &str) -> Option<unruffled_model::Name> {
        None
    }

    fn label(&self, model: &str, output: &str, class: usize) -> Option<String> {
        (model == "m" && output == "y" && class == 1).then(|| "one".to_owned())
    }
}

#[test]
fn the_best_classes_are_named() {
    let (server, _) =
        TestServer::with(doubling(), PoolOptions::default(), ServerOptions::default().with_catalog(Labels));
    let mut client = server.client();
    let ask = |classes: &str| {
        ONE_ROW.replacen(
            '{',
            &format!(r#"{{"outputs":[{{"name":"y","parameters":{{"classification":{classes}}}}}],"#),
            1,
        )
    };
    let answer = client.infer(&ask("2")).json();
    let expected = json!({"name": "y", "datatype": "BYTES", "shape": [1, 2], "data": ["5:1:one", "2:0"]});
    assert_eq!(answer["outputs"][0], expected);
    assert_eq!(client.infer(&ask("1")).json()["outputs"][0]["data"], json!(["5:1:one"]));
    client.infer(&ask("0")).assert_doubled();
    client.infer(&ask("-1")).assert_error(400, &["output `y`", "`classification`"]);
}

/// Adds its input to what it was given before.
pub(crate) fn summing() -> ScriptedModel<Tensors, Tensors> {
    let spec = |name: &str| TensorSpec::new(name, DType::F32, [Dim::Any, Dim::Fixed(1)]);
    let signature =
        Signature { inputs: vec![spec("x"), spec("state")], outputs: vec![spec("y"), spec("next")] };
    let sum = tensors(signature, |inputs, _| {
        let number = |name: &str| inputs.get(name).unwrap().elements::<f32>().unwrap()[0];
        let sum = number("x") + number("state");
        let tensor = || Tensor::new(&[1, 1], vec![sum]).unwrap();
        Ok(Tensors::new().with("y", tensor()).with("next", tensor()))
    });
    sum.with_info(|info| info.sequence = Some(SequenceSpec::new().with_state("next", "state")))
}

#[test]
fn sequences_keep_their_state() {
    let (server, _) = TestServer::with_model(summing());
    let mut client = server.client();
    let mut step = |parameters: &str, x: f32| {
        client.infer(&format!(
            r#"{{"parameters":{{{parameters}}},"inputs":[{{"name":"x","shape":[1,1],"datatype":"FP32","data":[{x}]}}]}}"#
        ))
    };
    let sum = |answer: Answer| answer.json()["outputs"][0]["data"][0].as_f64();
    assert_eq!(sum(step(r#""sequence_id":7,"sequence_start":true"#, 1.0)), Some(1.0));
    assert_eq!(sum(step(r#""sequence_id":"a","sequence_start":true"#, 10.0)), Some(10.0));
    assert_eq!(sum(step(r#""sequence_id":7"#, 2.0)), Some(3.0));
    assert_eq!(sum(step(r#""sequence_id":"a","sequence_end":true"#, 5.0)), Some(15.0));
    step(r#""sequence_id":"a""#, 1.0).assert_error(400, &["no sequence `a`", "`sequence_start`"]);
    step(r#""sequence_id":8"#, 1.0).assert_error(400, &["no sequence `8`"]);
    step(r#""sequence_start":true"#, 1.0).assert_error(400, &["`sequence_id` is missing"]);
    assert_eq!(sum(step(r#""sequence_id":7,"sequence_start":true"#, 4.0)), Some(4.0), "it begins anew");
}

#[test]
fn a_model_without_state_has_no_sequences() {
    let (server, _) = TestServer::with_model(doubling());
    let asks = ONE_ROW.replacen('{', r#"{"parameters":{"sequence_id":7,"sequence_start":true},"#, 1);
    let mut client = server.client();
    client.infer(&asks).assert_error(400, &["`m`"]);
    server.assert_serves(&mut client);
}

#[test]
fn statistics_count_rows_requests_and_runs() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.infer(ONE_ROW).assert_doubled();
    assert_eq!(client.infer(&many_rows(3)).status, 200);
    client.infer("{\"inputs\":[]}").assert_error(400, &["`x`"]);
    let all = client.get("/v2/models/stats").json();
    assert_eq!(client.get("/v2/models/m/stats").json(), all);
    let model = &all["model_stats"][0];
    assert_eq!(
        (&model["name"], &model["inference_count"], &model["execution_count"]),
        (&json!("m"), &json!(4), &json!(2))
    );
    let counts = |part: &str| model["inference_stats"][part]["count"].clone();
    assert_eq!(
        ["success", "fail", "queue", "compute_infer"].map(counts),
        [2, 0, 2, 2].map(|count| json!(count))
    );
    let sizes: Vec<_> =
        model["batch_stats"].as_array().unwrap().iter().map(|batch| &batch["batch_size"]).collect();
    assert_eq!(sizes, [&json!(1), &json!(3)]);
    assert!(model["last_inference"].as_u64().unwrap() > 1_600_000_000_000);
    client.get("/v2/models/other/stats").assert_error(404, &["`other`"]);
}

#[test]
fn the_configuration_is_told() {
    let (server, _) = TestServer::with(
        doubling(),
        PoolOptions::default().with_max_batch(16).with_instances(2),
        ServerOptions::default(),
    );
    let mut client = server.client();
    let config = client.get("/v2/models/m/config").json();
    assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("m"), &json!(16)));
    assert_eq!(config["input"], json!([{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]));
    assert_eq!(config["instance_group"], json!([{"count": 2, "kind": "KIND_CPU"}]));
    client.get("/v2/models/other/config").assert_error(404, &["`other`"]);
}

#[cfg(target_os = "linux")]
mod shared_memory {
    use std::fs::File;
    use std::path::PathBuf;

    use super::*;

    /// An object of shared memory, gone with the test.
    struct Object(String);

    impl Object {
        fn new(test: &str, content: &[u8]) -> Self {
            let object = Self(format!("/unruffled-test-{}-{test}", std::process::id()));
            std::fs::write(object.path(), content).unwrap();
            object
        }

        fn path(&self) -> PathBuf {
            format!("/dev/shm{}", self.0).into()
        }
    }

    impl Drop for Object {
        fn drop(&mut self) {
            std::fs::remove_file(self.path()).unwrap();
        }
    }

    fn server() -> TestServer {
        let options = ServerOptions::default().with_shared_memory(true);
        TestServer::with(doubling(), PoolOptions::default(), options).0
    }

    fn register(client: &mut Client, name: &str, key: &str, bytes: usize) -> Answer {
        let body = format!(r#"{{"key":"{key}","offset":0,"byte_size":{bytes}}}"#);
        client.request("POST", &format!("/v2/systemsharedmemory/region/{name}/register"), "", &body)
    }

    /// Eight bytes at 0 are doubled into eight at 8.
    const SHARED_ROW: &str = r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":
        {"shared_memory_region":"r","shared_memory_byte_size":8}}],"outputs":[{"name":"y","parameters":
        {"shared_memory_region":"r","shared_memory_byte_size":8,"shared_memory_offset":8}}]}"#;

    #[test]
    fn tensors_pass_in_it() {
        let server = server();
        let mut client = server.client();
        let object = Object::new("pass", &[floats(&[1.0, 2.5]), vec![0; 8]].concat());
        assert_eq!(register(&mut client, "r", &object.0, 16).status, 200);
        let answer = client.infer(SHARED_ROW).json();
        assert_eq!(answer["outputs"][0].get("data"), None);
        assert_eq!(answer["outputs"][0], json!({ "name": "y", "datatype": "FP32", "shape": [1, 2] }));
        assert_eq!(std::fs::read(object.path()).unwrap()[8..], floats(&[2.0, 5.0]));
        let region = json!([{"name": "r", "key": object.0, "offset": 0, "byte_size": 16}]);
        assert_eq!(client.get("/v2/systemsharedmemory/status").json(), region);
        assert_eq!(client.get("/v2/systemsharedmemory/region/r/status").json(), region);
        assert_eq!(client.request("POST", "/v2/systemsharedmemory/region/r/unregister", "", "").status, 200);
        client.infer(SHARED_ROW).assert_error(400, &["no region `r`"]);
        client.get("/v2/systemsharedmemory/region/r/status").assert_error(404, &["no region `r`"]);
    }

    #[test]
    fn what_is_cut_short_hurts_nobody() {
        let server = server();
        let mut client = server.client();
        let object = Object::new("cut", &[0; 16]);
        assert_eq!(register(&mut client, "r", &object.0, 16).status, 200);
        register(&mut client, "r", &object.0, 16).assert_error(400, &["registered already"]);
        register(&mut client, "s", &object.0, 17).assert_error(400, &["has 16 bytes"]);
        File::options().write(true).open(object.path()).unwrap().set_len(4).unwrap();
        client.infer(SHARED_ROW).assert_error(400, &["has 4 bytes"]);
        server.assert_serves(&mut client);
    }

    #[test]
    fn spans_and_keys_are_checked() {
        let server = server();
        let mut client = server.client();
        let object = Object::new("span", &[0; 16]);
        assert_eq!(register(&mut client, "r", &object.0, 16).status, 200);
        let beyond = SHARED_ROW.replace(r#""shared_memory_offset":8"#, r#""shared_memory_offset":9"#);
        client.infer(&beyond).assert_error(400, &["has 16 bytes", "8 from 9"]);
        let small = SHARED_ROW.replace(r#"_byte_size":8,"shared"#, r#"_byte_size":4,"shared"#);
        client.infer(&small).assert_error(400, &["has 8 bytes", "is 4"]);
        let wide = SHARED_ROW.replacen(r#"_byte_size":8"#, r#"_byte_size":12"#, 1);
        client.infer(&wide).assert_error(400, &["input `x`", "12 bytes"]);
        for key in ["/a/b", "", "/", "..", "/../x", &"k".repeat(300)] {
            register(&mut client, "k", key, 1).assert_error(400, &["no name of shared memory"]);
        }
        register(&mut client, "k", "/unruffled-there-is-none", 1).assert_error(400, &["cannot be opened"]);
        server.assert_serves(&mut client);
    }

    #[test]
    fn it_is_off_unless_allowed() {
        let (server, _) = TestServer::with_model(doubling());
        let mut client = server.client();
        register(&mut client, "r", "/x", 16).assert_error(501, &["--shared-memory"]);
        client.infer(SHARED_ROW).assert_error(501, &["shared memory is not supported here"]);
    }
}

#[test]
fn traces_are_off_and_stay_off() {
    let server = TestServer::start(Engine::new(), ServerOptions::default());
    let mut client = server.client();
    assert_eq!(client.get("/v2/trace/setting").json()["trace_level"], json!(["OFF"]));
    let set = |client: &mut Client, body: &str| client.request("POST", "/v2/trace/setting", "", body);
    assert_eq!(set(&mut client, r#"{"trace_level":["OFF"]}"#).status, 200);
    set(&mut client, r#"{"trace_level":["TIMESTAMPS"]}"#).assert_error(501, &["`trace_level`"]);
    set(&mut client, "[").assert_error(400, &["not JSON"]);
}
