//! Keys: who is let in, and to what.

use std::fs;
use std::time::Duration;

use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::{Tensor, Tensors};
use unruffled_server::{Keys, NewKey, Reload, ServerOptions};
use unruffled_testing::scripted::{ScriptedModel, doubling};

use crate::extensions::summing;
use crate::support::{Answer, Client, ONE_ROW, TestServer, wait_until};

/// A key, and an entry for it with these lines.
fn key(name: &str, lines: &str) -> (String, String) {
    let key = NewKey::generate().unwrap();
    let entry = format!("[[key]]\nname = \"{name}\"\nhash = \"{}\"\n{lines}\n", key.hash());
    (key.reveal().to_owned(), entry)
}

fn start(entries: &str) -> TestServer {
    let engine = Engine::new();
    for name in ["m", "other"] {
        let handle = engine.wrap_model(doubling()).name(name).register().unwrap();
        wait_until("the first instance", || handle.status().ready);
    }
    TestServer::start(engine, ServerOptions::default().with_keys(Keys::from_toml(entries).unwrap()))
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

fn infer(client: &mut Client, model: &str, headers: &str) -> Answer {
    client.request("POST", &format!("/v2/models/{model}/infer"), headers, ONE_ROW)
}

#[test]
fn a_key_opens_what_it_may() {
    let (key, entry) = key("phone", "infer = [\"m\"]");
    let server = start(&entry);
    let mut client = server.client();
    infer(&mut client, "m", &bearer(&key)).assert_doubled();
    infer(&mut client, "m", &format!("X-API-Key: {key}\r\n")).assert_doubled();
    infer(&mut client, "other", &bearer(&key)).assert_error(403, &["`phone`", "`infer`", "`other`"]);
    // Whether there is such a model is not told either.
    infer(&mut client, "none", &bearer(&key)).assert_error(403, &["`infer`", "`none`"]);
    assert_eq!(client.request("GET", "/v2/models/m", &bearer(&key), "").status, 200);
    client.request("GET", "/v2/models/other", &bearer(&key), "").assert_error(403, &["`other`"]);
    client.request("GET", "/v2/models/other/ready", &bearer(&key), "").assert_error(403, &["`other`"]);
    let page = client.request("GET", "/", &bearer(&key), "").body;
    assert!(page.contains("/v2/models/m") && !page.contains("other"), "{page}");
}

#[test]
fn nothing_opens_without_a_key() {
    let (key, entry) = key("phone", "infer = [\"*\"]");
    let server = start(&entry);
    let mut client = server.client();
    let wrong = NewKey::generate().unwrap();
    for (headers, part) in [
        (String::new(), "asks for a key"),
        (bearer(wrong.reveal()), "none of this server's"),
        (bearer(""), "asks for a key"),
        (bearer(&key[1..]), "none of this server's"),
        (bearer(&format!("{key}0")), "none of this server's"),
        (format!("Authorization: Basic {key}\r\n"), "asks for a key"),
        (format!("Cookie: key={key}\r\n"), "asks for a key"),
    ] {
        for (method, path) in
            [("POST", "/v2/models/m/infer"), ("GET", "/v2"), ("GET", "/"), ("GET", "/nowhere")]
        {
            let answer = client.request(method, path, &headers, "");
            answer.assert_error(401, &[part]);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"unruffled\""));
            let told = answer.error();
            assert!(!told.contains(&key[4..]) && !told.contains(&wrong.reveal()[4..]), "{told}");
        }
    }
    client.request("GET", &format!("/v2?key={key}"), "", "").assert_error(401, &[]);
    infer(&mut client, "m", &bearer(&key)).assert_doubled();
}

/// What a browser accepts where it wants a page.
const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

#[test]
fn browsers_are_given_the_page() {
    let server = start(&key("phone", "infer = [\"m\"]").1);
    let mut client = server.client();
    let page = client.request("GET", "/", HTML, "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("vary"), Some("accept"));
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("form-action 'none'"), "a form without its script sends nothing: {policy}");
    // All that it names, and what that names.
    let mut names: Vec<String> =
        page.body.split('"').filter(|word| word.starts_with("page/")).map(str::to_owned).collect();
    let mut texts = vec![page.body];
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        at += 1;
        let file = client.get(&format!("/{name}"));
        assert_eq!((file.status, file.header("content-security-policy")), (200, Some(&*policy)), "{name}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        for import in file.body.split("from \"./").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let import = format!("page/{import}");
            if !names.contains(&import) {
                names.push(import);
            }
        }
        texts.push(file.body);
    }
    assert!(names.len() > 20, "{names:?}");
    // It is the same for every server of this kind, and tells none of its models, keys, versions and folders.
    for text in texts {
        assert!(!text.contains(env!("CARGO_PKG_VERSION")) && !text.contains(env!("CARGO_MANIFEST_DIR")));
        assert!(!text.contains("phone"), "a key's name");
        let numbered = text
            .split(|c: char| c != '.' && !c.is_ascii_digit())
            .find(|word| word.split('.').filter(|part| !part.is_empty()).count() > 2);
        assert_eq!(numbered, None, "a version");
    }
    for path in ["/", "/page/app.js"] {
        let length = client.request("GET", path, HTML, "").body.len().to_string();
        let head = client.head_with("HEAD", path, HTML);
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*length)), "{path}");
    }
    // And goes on to ask for a key.
    client.request("GET", "/v2", HTML, "").assert_error(401, &["asks for a key"]);
}

#[test]
fn nothing_beside_the_page_is_open() {
    let (key, entry) = key("phone", "infer = [\"m\"]");
    let server = start(&entry);
    let mut client = server.client();
    for path in [
        "//",
        "/./",
        "/.",
        "/%2e/",
        "/%2f",
        "/%20",
        "/index.html",
        "/page",
        "/page/",
        "/page//app.js",
        "//page/app.js",
        "/page/./app.js",
        "/page/../page/app.js",
        "/./page/app.js",
        "/page/%61pp.js",
        "/page%2fapp.js",
        "/page/app.js/",
        "/page/app.js%00",
        "/page/app.js%2f..%2f..%2fv2",
        "/page/other.js",
        "/Page/app.js",
        "/PAGE/APP.JS",
        "/page/app.js;x",
        "/page/app.js/../../v2",
        "/v2",
        "/metrics",
        "/v1/overview",
        "/v1/overview/events",
        "/v1/jobs",
        "/v1/explain/a",
        "/v2/models/m",
        "/nowhere",
    ] {
        assert_eq!(client.request("GET", path, HTML, "").status, 401, "{path}");
        assert_eq!(client.head_with("HEAD", path, HTML).status, 401, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        for path in ["/", "/page/app.js"] {
            client.request(method, path, HTML, "").assert_error(401, &["asks for a key"]);
        }
    }
    // Whoever is no browser is told nothing, and a page is no key.
    for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n", "Accept: text/plain, text/*\r\n"] {
        client.request("GET", "/", accept, "").assert_error(401, &["asks for a key"]);
    }
    // What stands behind a question mark is not read.
    assert_eq!(client.request("GET", "/?key=a", HTML, "").status, 200);
    client.request("GET", &format!("/v2?key={key}"), HTML, "").assert_error(401, &[]);
}

#[test]
fn health_is_open() {
    let server = start(&key("phone", "").1);
    let mut client = server.client();
    assert_eq!(client.get("/v2/health/live").status, 200);
    assert_eq!(client.get("/v2/health/ready").status, 200);
    for path in ["/v2/health/live/", "/v2/health/../models/m", "//v2/health/live", "/v2/health/live%2f.."] {
        assert_eq!(client.get(path).status, 401, "{path}");
    }
}

#[test]
fn a_refused_body_is_not_taken_in() {
    let server = start(&key("phone", "").1);
    let mut client = server.client();
    client.write("POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Length: 50000000\r\n\r\n");
    client.answer().assert_error(401, &["asks for a key"]);
    client.assert_closed();
    let mut client = server.client();
    client.write(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    );
    client.answer().assert_error(401, &["asks for a key"]);
    client.assert_closed();
}

#[test]
fn the_model_learns_whose_request_it_is_and_no_key() {
    let model = ScriptedModel::new(|_: &Tensors, run| {
        let told = format!("{:?}", run.requests());
        Ok(Tensors::new().with("y", Tensor::new(&[told.len()], told.into_bytes())?))
    });
    let (key, entry) = key("the phone", "infer = [\"*\"]");
    let options = ServerOptions::default().with_keys(Keys::from_toml(&entry).unwrap());
    let (server, _) = TestServer::with(model, PoolOptions::default(), options);
    let answer = infer(&mut server.client(), "m", &bearer(&key)).json();
    let bytes = answer["outputs"][0]["data"].as_array().unwrap().iter();
    let told: String = bytes.map(|byte| char::from(u8::try_from(byte.as_u64().unwrap()).unwrap())).collect();
    assert!(told.contains("the phone") && !told.contains(&key[4..]), "{told}");
}

#[test]
fn keys_are_read_again_when_the_file_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let ((old, old_entry), (new, new_entry)) = (key("old", "infer = [\"m\"]"), key("new", "infer = [\"m\"]"));
    fs::write(&file, &old_entry).unwrap();
    let keys = Keys::from_file(&file).unwrap();
    let options = ServerOptions::default().with_keys(keys.clone()).with_reload_interval(Duration::ZERO);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    infer(&mut client, "m", &bearer(&old)).assert_doubled();
    assert_eq!(keys.reload().unwrap(), Reload::Unchanged);

    fs::write(&file, "[[key]]\nnam = \"x\"\n").unwrap();
    let error = keys.reload().unwrap_err().to_string();
    assert!(error.contains("keys.toml:2: unknown field `nam`"), "{error}");
    infer(&mut client, "m", &bearer(&old)).assert_doubled();

    fs::write(&file, &new_entry).unwrap();
    assert_eq!(keys.reload().unwrap(), Reload::Changed);
    infer(&mut client, "m", &bearer(&old)).assert_error(401, &["withdrawn"]);
    infer(&mut client, "m", &bearer(&new)).assert_doubled();
}

#[test]
fn the_server_looks_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let ((old, old_entry), (new, new_entry)) = (key("old", "infer = [\"m\"]"), key("new", "infer = [\"m\"]"));
    fs::write(&file, &old_entry).unwrap();
    let options = ServerOptions::default()
        .with_keys(Keys::from_file(&file).unwrap())
        .with_reload_interval(Duration::from_millis(5));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    infer(&mut server.client(), "m", &bearer(&old)).assert_doubled();
    fs::write(&file, new_entry).unwrap();
    wait_until("the new keys", || infer(&mut server.client(), "m", &bearer(&new)).status == 200);
    infer(&mut server.client(), "m", &bearer(&old)).assert_error(401, &[]);
}

#[test]
fn every_end_point_asks_for_what_it_needs() {
    let (phone, phone_entry) = key("phone", "infer = [\"m\"]");
    let (meter, meter_entry) = key("meter", "metrics = true");
    let (operator, operator_entry) = key("operator", "admin = true");
    let server = start(&[phone_entry, meter_entry, operator_entry].concat());
    let mut client = server.client();
    // Statuses for the phone, the meter and the operator; 403 is what a key lacks, all else is the end point's own.
    for (method, path, body, expected) in [
        ("GET", "/v2", "", [200, 200, 200]),
        ("GET", "/v2/models/m", "", [200, 403, 200]),
        ("GET", "/v2/models/m/ready", "", [200, 403, 200]),
        ("GET", "/v2/models/m/stats", "", [200, 403, 200]),
        ("GET", "/v2/models/m/config", "", [200, 403, 200]),
        ("GET", "/v2/models/other/config", "", [403, 403, 200]),
        ("POST", "/v2/models/m/infer", ONE_ROW, [200, 403, 403]),
        ("POST", "/v2/models/other/infer", ONE_ROW, [403, 403, 403]),
        ("GET", "/v2/models/stats", "", [403, 200, 200]),
        ("POST", "/v2/repository/models/m/load", "{}", [403, 403, 400]),
        ("POST", "/v2/repository/models/m/unload", "{}", [403, 403, 400]),
        ("GET", "/v2/systemsharedmemory/status", "", [403, 403, 200]),
        ("POST", "/v2/systemsharedmemory/region/r/register", "{}", [403, 403, 400]),
        ("POST", "/v2/trace/setting", "{}", [403, 403, 200]),
        ("POST", "/v1/jobs?model=other", ONE_ROW, [403, 403, 403]),
        ("GET", "/v1/jobs", "", [403, 403, 200]),
    ] {
        let statuses =
            [&phone, &meter, &operator].map(|key| client.request(method, path, &bearer(key), body).status);
        assert_eq!(statuses, expected, "{method} {path}");
        client.request(method, path, "", body).assert_error(401, &[]);
    }
    let index = client.request("POST", "/v2/repository/index", &bearer(&phone), "").json();
    assert_eq!(index.as_array().unwrap().iter().map(|entry| &entry["name"]).collect::<Vec<_>>(), ["m"]);
}

#[test]
fn jobs_are_seen_by_those_who_may_ask_their_model() {
    let (phone, phone_entry) = key("phone", "infer = [\"m\"]");
    let (twin, twin_entry) = key("twin", "infer = [\"m\"]");
    let (tablet, tablet_entry) = key("tablet", "infer = [\"other\"]");
    let server = start(&[phone_entry, twin_entry, tablet_entry].concat());
    let mut client = server.client();
    let mut submit = |key: &str| {
        let headers = format!("{}Idempotency-Key: one\r\n", bearer(key));
        let answer = client.request("POST", "/v1/jobs?model=m", &headers, ONE_ROW);
        (answer.status, answer.header("location").map(str::to_owned))
    };
    let (status, job) = submit(&phone);
    assert_eq!(status, 202);
    assert_eq!(submit(&phone).1, job, "it is the same");
    assert_ne!(submit(&twin).1, job, "what another calls the same is not");
    assert_eq!(submit(&tablet).0, 403);
    let job = job.unwrap();
    let mut client = server.client();
    for end in ["", "/result", "/events"] {
        client.request("GET", &format!("{job}{end}"), &bearer(&tablet), "").assert_error(404, &["no job"]);
    }
    client.request("DELETE", &job, &bearer(&tablet), "").assert_error(404, &["no job"]);
    assert_eq!(client.request("GET", &format!("{job}?wait=20"), &bearer(&phone), "").status, 200);
}

#[test]
fn sequences_of_two_keys_are_two() {
    let (phone, phone_entry) = key("phone", "infer = [\"m\"]");
    let (tablet, tablet_entry) = key("tablet", "infer = [\"m\"]");
    let keys = Keys::from_toml(&[phone_entry, tablet_entry].concat()).unwrap();
    let options = ServerOptions::default().with_keys(keys);
    let (server, _) = TestServer::with(summing(), PoolOptions::default(), options);
    let mut client = server.client();
    let mut step = |key: &str, parameters: &str, x: f32| {
        let body = format!(
            r#"{{"parameters":{{"sequence_id":7{parameters}}},"inputs":[{{"name":"x","shape":[1,1],"datatype":"FP32","data":[{x}]}}]}}"#
        );
        client.request("POST", "/v2/models/m/infer", &bearer(key), &body)
    };
    let sum = |answer: Answer| answer.json()["outputs"][0]["data"][0].as_f64();
    assert_eq!(sum(step(&phone, r#","sequence_start":true"#, 1.0)), Some(1.0));
    step(&tablet, "", 1.0).assert_error(400, &["no sequence `7`"]);
    assert_eq!(sum(step(&tablet, r#","sequence_start":true"#, 10.0)), Some(10.0));
    assert_eq!(sum(step(&phone, "", 2.0)), Some(3.0));
}
