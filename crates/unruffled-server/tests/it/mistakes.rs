//! What clients get wrong: each is told what, and the connection and the server go on.

use unruffled_testing::scripted::doubling;

use crate::support::{ONE_ROW, TestServer};

#[track_caller]
fn check(method: &str, path: &str, headers: &str, body: &str, status: u16, parts: &[&str]) {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.request(method, path, headers, body).assert_error(status, parts);
    server.assert_serves(&mut client);
}

/// A request for the model with one input, of which these are the members besides the name.
#[track_caller]
fn check_input(members: &str, parts: &[&str]) {
    let body = format!(r#"{{"inputs":[{{"name":"x",{members}}}]}}"#);
    check("POST", "/v2/models/m/infer", "", &body, 400, parts);
}

#[track_caller]
fn check_body(body: &str, parts: &[&str]) {
    check("POST", "/v2/models/m/infer", "", body, 400, parts);
}

#[track_caller]
fn check_header(header: &str, status: u16, parts: &[&str]) {
    check("POST", "/v2/models/m/infer", header, ONE_ROW, status, parts);
}

#[test]
fn tensors() {
    let wrong_shape = r#""shape":[1,3],"datatype":"FP32","data":[1,2,3]"#;
    check_input(wrong_shape, &["`m`", "`x`", "[batch, 2]", "[1, 3]"]);
    let wrong_count = r#""shape":[1,2],"datatype":"FP32","data":[1,2,3]"#;
    check_input(wrong_count, &["`x`"]);
    let wrong_type = r#""shape":[1,2],"datatype":"INT64","data":[1,2]"#;
    check_input(wrong_type, &["`m`", "`x`", "f32", "i64"]);
    let unknown_type = r#""shape":[1,2],"datatype":"FLOAT","data":[1,2]"#;
    check_input(unknown_type, &["`x`", "`FLOAT`", "FP32"]);
    let huge = r#""shape":[1048576,1048576,1048576,1048576],"datatype":"FP32","data":[]"#;
    check_input(huge, &["`x`"]);
}

#[test]
fn inputs_and_outputs() {
    check_body(r#"{"inputs":[]}"#, &["`m`", "`x`", "missing"]);
    let other = ONE_ROW.replace(r#""x""#, r#""z""#);
    check_body(&other, &["`m`", "`z`", "no such input", "x: f32"]);
    let output = format!(r#"{{"outputs":[{{"name":"z"}}],{}"#, &ONE_ROW[1..]);
    check_body(&output, &["`z`", "no such output", "`y`"]);
}

#[test]
fn messages() {
    check_body("", &["not JSON"]);
    check_body("{", &["not JSON", "line 1"]);
    check_body(r#"{"id":"1"}"#, &["`inputs`", "missing"]);
    check_body(&"[".repeat(200_000), &["deep"]);
    let parameters = format!(r#"{{"parameters":{{"priority":-1}},{}"#, &ONE_ROW[1..]);
    check_body(&parameters, &["`priority`", "-1"]);
}

#[test]
fn headers() {
    check_header("Content-Encoding: br\r\n", 415, &["`br`", "gzip, deflate and zstd"]);
    check_header("Content-Encoding: gzip\r\n", 400, &["encoding"]);
    check_header("Inference-Header-Content-Length: 10\r\n", 400, &["not JSON"]);
    check_header("Inference-Header-Content-Length: -1\r\n", 400, &["`-1`", "bytes of the JSON part"]);
    check_header("Inference-Header-Content-Length: 100000\r\n", 400, &["100000", "the body has"]);
    check_header("X-Request-Timeout: soon\r\n", 400, &["`X-Request-Timeout`", "`soon`", "seconds"]);
}

#[test]
fn paths() {
    check("POST", "/v2/models/other/infer", "", ONE_ROW, 404, &["`other`"]);
    check("GET", "/v2/models/other", "", "", 404, &["`other`"]);
    check("GET", "/v2/models/other/ready", "", "", 404, &["`other`"]);
    check("POST", "/v2/models/%FF/infer", "", ONE_ROW, 404, &["UTF-8"]);
    check("POST", "/v3/anything", "", ONE_ROW, 404, &["`/v3/anything`"]);
    check("GET", "/v2/models/m/", "", "", 404, &["`/v2/models/m/`"]);
    check("GET", "/v2/models/m/infer", "", "", 405, &["`/v2/models/m/infer`", "POST", "GET"]);
    check("DELETE", "/v2", "", ONE_ROW, 405, &["`/v2`", "DELETE"]);
}

#[test]
fn long_names_are_not_repeated() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let name = "n".repeat(20_000);
    for path in [format!("/v2/models/{name}"), format!("/{name}")] {
        let error = client.get(&path).error();
        assert!(error.len() < 1100, "{} bytes", error.len());
    }
    server.assert_serves(&mut client);
}
