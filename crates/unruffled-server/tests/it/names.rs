//! Names of models from paths: whatever they are, they are looked up among the names that there are, and nowhere else.

use unruffled_testing::scripted::doubling;

use crate::support::{ONE_ROW, TestServer};

const NAMES: [&str; 14] = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "%2Fetc%2Fpasswd",
    "..%5c..%5cwindows",
    "C:%5cwindows",
    "m%00",
    "m%00.onnx",
    "m%2f..%2fm",
    "m%20",
    "M",
    "%6D%6D",
    "file:%2f%2f%2fetc%2fpasswd",
];

#[test]
fn nothing_but_a_name_is_a_name() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    for name in NAMES {
        for (method, end, body) in [
            ("GET", "", ""),
            ("GET", "/ready", ""),
            ("GET", "/config", ""),
            ("GET", "/stats", ""),
            ("POST", "/infer", ONE_ROW),
        ] {
            for version in ["", "/versions/1", "/versions/..", "/versions/%2e%2e%2f1"] {
                let path = format!("/v2/models/{name}{version}{end}");
                let answer = client.request(method, &path, "", body);
                assert_eq!(answer.status, 404, "{path}: {answer:?}");
                let told = answer.error();
                assert!(!told.contains("root:") && !told.contains(env!("CARGO_MANIFEST_DIR")), "{told}");
            }
        }
    }
    for name in NAMES {
        for (path, body) in [
            (format!("/v2/repository/models/{name}/load"), "{}"),
            (format!("/v2/repository/models/{name}/unload"), "{}"),
            (
                format!("/v2/systemsharedmemory/region/{name}/register"),
                "{\"key\":\"/../etc/passwd\",\"byte_size\":8}",
            ),
            (format!("/v1/jobs?model={name}"), ONE_ROW),
        ] {
            let answer = client.request("POST", &path, "", body);
            assert!(matches!(answer.status, 400 | 403 | 404 | 501), "{path}: {answer:?}");
            assert!(!answer.error().contains("root:"), "{answer:?}");
        }
        let answer = client.get(&format!("/v1/jobs/{name}"));
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    for version in ["..", "%2e%2e", "-1", "1%00", "0x1", "%2f1", "1%2f..", "99999999999999999999999999"] {
        let path = format!("/v2/models/m/versions/{version}");
        client.get(&path).assert_error(404, &["version"]);
    }
    server.assert_serves(&mut client);
}

#[test]
fn a_name_may_be_written_in_percent() {
    let (server, _) = TestServer::with_model(doubling());
    assert_eq!(server.client().get("/v2/models/%6d").status, 200);
}

#[test]
fn errors_of_models_tell_no_folders() {
    use unruffled_model::ModelError;

    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut client = server.client();
    script.fail_next(ModelError::failed(
        "File \"/srv/secret place/models/m/model.py\", line 3: no `/etc/m/x.bin`",
    ));
    let answer = client.infer(ONE_ROW);
    answer.assert_error(500, &["model.py", "line 3", "`x.bin`"]);
    assert!(!answer.body.contains("/srv") && !answer.body.contains("/etc"), "{}", answer.body);
}
