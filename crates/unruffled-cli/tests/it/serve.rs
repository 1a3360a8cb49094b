//! `unruffled serve`: what it says, serves and leaves out, and how it ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{Server, program, run, typed};

fn get(url: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(url).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// Does what the printed line says, in a shell; by hand where there is no curl.
fn paste(line: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
    if output.status.code() == Some(127) {
        let words: Vec<_> = line.split('\'').collect();
        let url = words[0].split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        return ureq::post(url).send(words[1]).unwrap().body_mut().read_to_string().unwrap();
    }
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the digits as `good`, and room for what is broken.
fn good() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), "good");
    root
}

fn add(root: &Path, name: &str) {
    let digits = Path::new(&typed("assets/models/digits")).to_owned();
    let folder = root.join(name);
    fs::create_dir_all(folder.join("1")).unwrap();
    for file in ["1/model.onnx", "model.toml", "labels.txt"] {
        fs::copy(digits.join(file), folder.join(file)).unwrap();
    }
}

#[test]
fn the_printed_line_classifies_a_seven() {
    let server = Server::start(&[]);
    let line = server.greeting.last().unwrap();
    let above = &server.greeting[server.greeting.len() - 2];
    assert!(above.contains("handwritten seven"), "{above}");
    let answer: Value = serde_json::from_str(&paste(line)).unwrap();
    assert_eq!(answer["model_version"], "1");
    let label =
        answer["outputs"].as_array().unwrap().iter().find(|output| output["name"] == "label").unwrap();
    assert_eq!(label["data"], serde_json::json!([7]));
    assert_eq!(get(&format!("{}/v2/health/ready", server.url())).0, 200);
}

/// A request of the digits, to a version of a model or to whichever answers.
fn ask(server: &Server, path: &str) -> Value {
    let seven = fs::read(typed("assets/models/digits/samples/seven.json")).unwrap();
    let url = format!("{}/v2/models/{path}/infer", server.url());
    ureq::post(url).send(&seven[..]).unwrap().body_mut().read_json().unwrap()
}

#[test]
fn a_request_is_explained_by_its_name() {
    let server = Server::start(&[]);
    let seven = fs::read_to_string(typed("assets/models/digits/samples/seven.json")).unwrap();
    let named = format!(r#"{{"id":"order 17",{}"#, &seven.trim_start()[1..]);
    ureq::post(format!("{}/v2/models/digits/infer", server.url())).send(&named).unwrap();
    // It is remembered a moment after the answer.
    let explain = |more: &[&str]| run(&[&["explain", "order 17", "--url", server.url()], more].concat());
    let story = loop {
        let said = explain(&[]);
        if said.code == 0 {
            break said.out;
        }
        assert!(said.code == 3 && said.err.contains("`order 17`"), "{}", said.err);
    };
    assert!(story.starts_with("request `order 17` to `digits`: answered after "), "{story}");
    let json = explain(&["--json", "--model", "digits"]).json();
    assert_eq!((&json["outcome"], &json["model"]), (&"answered".into(), &"digits".into()));
    let said = explain(&["--model", "other"]);
    assert!(said.code == 3 && said.err.contains("`other`"), "{}", said.err);
    let said = run(&["explain", "x", "--url", "https://elsewhere"]);
    assert!(said.code == 2 && said.err.contains("only http://"), "{}", said.err);
}

#[test]
fn with_a_budget_models_are_loaded_when_they_are_asked_for() {
    let root = good();
    let server = Server::start(&["--models", &root.path().display().to_string(), "--memory", "1GiB"]);
    assert!(server.greeting.iter().any(|line| line.contains("when it is first asked for")));
    assert_eq!(get(&format!("{}/v2/health/ready", server.url())).0, 200);
    assert_eq!(ask(&server, "good")["model_version"], "1");
    let (_, metadata) = get(&format!("{}/v2/models/good", server.url()));
    assert!(metadata.contains("\"label\"") && metadata.contains("[\"1\"]"), "{metadata}");
    let said = run(&["serve", "--memory", "a lot"]);
    assert!(said.code == 2 && said.err.contains("2GiB"), "{}", said.err);
}

#[test]
fn the_highest_version_answers_and_the_others_can_be_asked_for() {
    let root = good();
    let folder = root.path().join("good");
    fs::create_dir(folder.join("2")).unwrap();
    fs::copy(folder.join("1/model.onnx"), folder.join("2/model.onnx")).unwrap();
    let server = Server::start(&["--models", &root.path().display().to_string()]);
    assert_eq!(ask(&server, "good")["model_version"], "2");
    assert_eq!(ask(&server, "good/versions/1")["model_version"], "1");
    let (_, metadata) = get(&format!("{}/v2/models/good", server.url()));
    assert!(metadata.contains("\"1\"") && metadata.contains("\"2\""), "{metadata}");
    assert_eq!(get(&format!("{}/v2/models/good/versions/3", server.url())).0, 404);
    let page = run(&["inspect", &root.path().display().to_string(), "--json"]).json();
    assert_eq!(page["versions"], serde_json::json!([1, 2]));
}

#[test]
fn sigterm_drains_and_ends_well() {
    for signal in ["TERM", "INT"] {
        let server = Server::start(&[]);
        server.signal(signal);
        let (code, said) = server.ended();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("serving the one that is built in") && said.contains("Ended."), "{said}");
    }
}

#[test]
fn a_request_in_flight_is_answered_while_the_server_ends() {
    let server = Server::start(&["--models", &typed("assets/conformance/models/slow")]);
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let rows = 2;
    let data = vec!["0"; 64 * rows].join(",");
    let body =
        format!(r#"{{"inputs":[{{"name":"x","shape":[{rows},64],"datatype":"FP32","data":[{data}]}}]}}"#);
    let mut stream = TcpStream::connect(address).unwrap();
    // The server answers `100 Continue` once it has seen the request: then it is in flight.
    write!(
        stream,
        "POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    let mut seen = [0; 25];
    stream.read_exact(&mut seen).unwrap();
    assert!(seen.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&seen));
    server.signal("TERM");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.ended().0, 0);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::start(&["--grace", "10m"]);
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    // A request that never comes to its end keeps the server for the whole grace.
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    )
    .unwrap();
    stream.read_exact(&mut [0; 25]).unwrap();
    server.signal("TERM");
    // The first one has been heard once the server refuses connections.
    while TcpStream::connect(server.url().strip_prefix("http://").unwrap()).is_ok() {}
    server.signal("TERM");
    let (code, said) = server.ended();
    assert_eq!(code, 130, "{said}");
}

#[test]
fn broken_models_are_told_and_the_good_one_is_served() {
    let root = good();
    fs::create_dir(root.path().join("empty")).unwrap();
    fs::write(root.path().join("garbage.onnx"), "no model").unwrap();
    add(root.path(), "settings");
    fs::write(root.path().join("settings/model.toml"), "[run]\nthreds = 2").unwrap();
    add(root.path(), "misfit");
    fs::write(root.path().join("misfit/model.toml"), "[inputs.picture]\ndefault = 0").unwrap();

    let server = Server::start(&["--models", &root.path().display().to_string()]);
    let answer: Value = serde_json::from_str(&paste(server.greeting.last().unwrap())).unwrap();
    assert_eq!((&answer["model_name"], &answer["outputs"][1]["data"][0]), (&"good".into(), &7.into()));
    assert_eq!(get(&format!("{}/v2/models/misfit", server.url())).0, 404);
    server.signal("TERM");
    let (code, said) = server.ended();
    assert_eq!(code, 0, "{said}");
    for part in [
        "empty: has neither model.onnx, .py, .skops, .joblib or .pkl nor a folder 1 with one; put one there, or take",
        "garbage  `garbage.onnx` is not a sound ONNX model",
        "settings/model.toml:2: `run.threds`: unknown field `threds`, expected one of",
        "misfit/model.toml: `inputs.picture`: a default for an input that does not exist",
        "ready   good",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn nothing_to_serve_is_a_failure() {
    let root = tempfile::tempdir().unwrap();
    let models = root.path().display().to_string();
    let said = run(&["serve", "--models", &models]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("NAME/1/model.onnx   numbered versions"), "{}", said.err);
    fs::write(root.path().join("garbage.onnx"), "no model").unwrap();
    let said = run(&["serve", "--http", "127.0.0.1:0", "--models", &models]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("no model could be loaded"), "{}", said.err);
}

#[test]
fn a_taken_port_names_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = run(&["serve", "--http", &address]);
    assert_eq!((said.code, said.out.as_str()), (6, ""), "{}", said.err);
    let expected = format!("cannot listen on {address}: another program listens there");
    assert!(said.err.contains(&expected) && said.err.contains("--http 127.0.0.1:0"), "{}", said.err);
    let said = run(&["serve", "--http", "everywhere"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("such as 127.0.0.1:8000"), "{}", said.err);
}

/// An address that is free, most likely.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_second_address_serves_the_same() {
    let second = free();
    let server = Server::start(&["--grpc", &second]);
    for url in [server.url(), &format!("http://{second}")] {
        assert_eq!(get(&format!("{url}/v2/models/digits/ready")).0, 200);
    }
    server.signal("TERM");
    let (code, said) = server.ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("Listening for gRPC on {second}, too")), "{said}");
}

#[test]
fn a_second_address_that_is_taken_is_a_failure_only_if_it_was_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = run(&["serve", "--http", "127.0.0.1:0", "--grpc", &address]);
    assert_eq!((said.code, said.out.as_str()), (6, ""), "{}", said.err);
    let expected = format!("cannot listen on {address}: another program listens there");
    assert!(said.err.contains(&expected) && said.err.contains("--grpc 127.0.0.1:0"), "{}", said.err);

    // Taken now, by this test or by somebody before it.
    let _taken = TcpListener::bind("127.0.0.1:8001");
    let mut serve = program();
    let first = free();
    serve.args(["serve", "--http", &first]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(&first), "{line}");
    assert_eq!(get(&format!("http://{first}/v2/health/live")).0, 200);
    child.kill().unwrap();
    let said = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("127.0.0.1:8001 cannot be listened on"), "{said}");
    assert!(said.contains(&format!("gRPC is served on {first} alone")), "{said}");
}
