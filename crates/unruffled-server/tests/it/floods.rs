//! Too much of everything in one request.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use unruffled_engine::PoolOptions;
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::doubling;

use crate::support::{ONE_ROW, TestServer};

/// Sends a head and checks the status of what comes back, if it is more than a cut.
#[track_caller]
fn check_head(head: &str, status: u16) {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    // The server may have answered and closed before it has all.
    let _ = client.stream().write_all(head.as_bytes());
    assert_eq!(client.answer().status, status);
    client.assert_closed();
    server.client().infer(ONE_ROW).assert_doubled();
}

#[track_caller]
fn check_body(body: &str, parts: &[&str]) {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.infer(body).assert_error(400, parts);
    server.assert_serves(&mut client);
}

#[test]
fn many_headers() {
    let headers: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    check_head(&format!("GET /v2 HTTP/1.1\r\nHost: test\r\n{headers}\r\n"), 431);
}

#[test]
fn headers_without_an_end() {
    let headers = "X-Long: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(5000);
    check_head(&format!("GET /v2 HTTP/1.1\r\nHost: test\r\n{headers}"), 431);
}

#[test]
fn a_long_target() {
    check_head(&format!("GET /v2/{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(70_000)), 431);
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.get(&format!("/v2/models/{}", "x".repeat(40_000))).assert_error(404, &["40000 bytes"]);
    server.assert_serves(&mut client);
}

#[test]
fn bytes_that_no_head_has() {
    for head in [
        "GET /v2 HTTP/1.1\r\nHost: te\0st\r\n\r\n",
        "GET /v2\0 HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /v2 HTTP/1.1\r\nHost: test\r\nX: a\0b\r\n\r\n",
        "GET /v2 HTTP/1.1\r\nHost: test\r\nX y: z\r\n\r\n",
        "GET /v2 HTTP/1.1\r\nHost: test\r\n folded: z\r\n\r\n",
        "\u{16}\u{3}\u{1} TLS\r\n\r\n",
    ] {
        check_head(head, 400);
    }
}

#[test]
fn a_body_longer_than_it_says() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let length = ONE_ROW.len();
    client.write(format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{ONE_ROW}and more\r\n\r\n"
    ));
    client.answer().assert_doubled();
    // What follows is no request.
    assert_eq!(client.answer().status, 400);
    client.assert_closed();
}

#[test]
fn a_body_shorter_than_it_says() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.write(format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Length: 9999\r\n\r\n{ONE_ROW}"
    ));
    client.stream().shutdown(Shutdown::Write).unwrap();
    client.answer().assert_error(400, &["ended early"]);
    client.assert_closed();
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn a_body_that_comes_byte_by_byte() {
    let options = ServerOptions::default().with_body_timeout(Duration::from_millis(30));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    client.write("POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    // Each byte is in time for itself; it is the whole that is late.
    while client.stream().write_all(b"1\r\n \r\n").is_ok() {}
    // The answer may have been lost in the reset that ended the loop.
    if let Ok(Some(answer)) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.try_answer())) {
        answer.assert_error(408, &["30ms"]);
    }
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn deep_documents() {
    check_body(&"[".repeat(150), &["deep"]);
    check_body(&"{\"a\":".repeat(150), &["deep"]);
    let data = format!("{}1{}", "[".repeat(150), "]".repeat(150));
    check_body(
        &format!(r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"FP32","data":{data}}}]}}"#),
        &["deep"],
    );
}

#[test]
fn many_tensors() {
    let one = r#"{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}"#;
    let many = vec![one; 1100].join(",");
    check_body(&format!(r#"{{"inputs":[{many}]}}"#), &["1024"]);
    let outputs = vec![r#"{"name":"y"}"#; 1100].join(",");
    check_body(&format!(r#"{{"outputs":[{outputs}],{}"#, &ONE_ROW[1..]), &["1024"]);
    let parameters: Vec<String> = (0..300).map(|number| format!("\"p{number}\":1")).collect();
    check_body(&format!(r#"{{"parameters":{{{}}},{}"#, parameters.join(","), &ONE_ROW[1..]), &["256"]);
}

#[test]
fn shapes_that_overflow() {
    for shape in
        ["[4294967296,4294967296]", "[9223372036854775807,2]", "[1,-1]", "[18446744073709551616]", "[1.5]"]
    {
        let body = format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"FP32","data":[1,2]}}]}}"#);
        check_body(&body, &["shape"]);
    }
    let rank = vec!["1"; 40].join(",");
    check_body(
        &format!(r#"{{"inputs":[{{"name":"x","shape":[{rank}],"datatype":"FP32","data":[1]}}]}}"#),
        &["32"],
    );
}
