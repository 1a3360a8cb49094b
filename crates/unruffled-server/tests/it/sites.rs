//! Browsers: pages of other sites, names that are not ours, and CORS.

use unruffled_engine::PoolOptions;
use unruffled_server::{Keys, NewKey, ServerOptions};
use unruffled_testing::scripted::doubling;

use crate::support::{Answer, Client, ONE_ROW, TestServer};

const APP: &str = "https://app.example";

fn start(options: ServerOptions) -> TestServer {
    TestServer::with(doubling(), PoolOptions::default(), options).0
}

/// Asks under a name, with further headers.
fn ask(server: &TestServer, method: &str, path: &str, host: &str, headers: &str, body: &str) -> Answer {
    let mut client: Client = server.client();
    let length = body.len();
    client.write(format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    ));
    client.answer()
}

fn infer(server: &TestServer, headers: &str) -> Answer {
    ask(server, "POST", "/v2/models/m/infer", "localhost", headers, ONE_ROW)
}

fn preflight(server: &TestServer, origin: &str) -> Answer {
    let headers = format!(
        "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"
    );
    ask(server, "OPTIONS", "/v2/models/m/infer", "localhost", &headers, "")
}

fn with_key() -> (ServerOptions, String) {
    let key = NewKey::generate().unwrap();
    let entry = format!("[[key]]\nname = \"a\"\nhash = \"{}\"\ninfer = [\"*\"]", key.hash());
    let options = ServerOptions::default().with_keys(Keys::from_toml(&entry).unwrap());
    (options, format!("Authorization: Bearer {}\r\n", key.reveal()))
}

#[test]
fn a_foreign_name_is_refused() {
    let server = start(ServerOptions::default());
    for host in ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.0.2.1"] {
        let answer = ask(&server, "GET", "/v2", host, "", "");
        answer.assert_error(421, &[host, "--allow-host", "--keys"]);
        ask(&server, "POST", "/v2/models/m/infer", host, "", ONE_ROW).assert_error(421, &[host]);
    }
    for host in ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "test"] {
        assert_eq!(ask(&server, "GET", "/v2", host, "", "").status, 200, "{host}");
    }
    // Load balancers ask for health under any name.
    assert_eq!(ask(&server, "GET", "/v2/health/live", "evil.example", "", "").status, 200);
}

#[test]
fn a_name_in_the_target_counts() {
    let server = start(ServerOptions::default());
    let answer = ask(&server, "GET", "http://evil.example/v2", "localhost", "", "");
    answer.assert_error(421, &[]);
}

#[test]
fn with_keys_any_name_will_do() {
    let (options, key) = with_key();
    let server = start(options);
    assert_eq!(ask(&server, "GET", "/v2", "models.example", &key, "").status, 200);
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let server = start(ServerOptions::default());
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:3000\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        // What a form of any page can send without asking before.
        "Origin: https://evil.example\r\nContent-Type: text/plain\r\n",
    ] {
        infer(&server, headers).assert_error(403, &["--cors-origin"]);
    }
    infer(&server, "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n").assert_doubled();
    infer(&server, "").assert_doubled();
    let answer = ask(&server, "GET", "/v2", "localhost", "Origin: https://evil.example\r\n", "");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, None),
        "for the browser to hide"
    );
}

#[test]
fn there_is_no_cors_unless_it_is_wanted() {
    let server = start(ServerOptions::default());
    let answer = preflight(&server, APP);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
}

#[test]
fn origins_that_may_ask() {
    let server = start(ServerOptions::default().with_cors_origins([APP, "tauri://localhost"]));
    for origin in [APP, "tauri://localhost"] {
        let answer = preflight(&server, origin);
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
        let answer = infer(&server, &format!("Origin: {origin}\r\nSec-Fetch-Site: cross-site\r\n"));
        answer.assert_doubled();
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    assert_eq!(preflight(&server, "https://evil.example").header("access-control-allow-origin"), None);
    infer(&server, "Origin: https://evil.example\r\n").assert_error(403, &["https://evil.example"]);
}

#[test]
fn every_origin_may_ask_if_so_wanted() {
    let server = start(ServerOptions::default().with_cors_origins(["*"]));
    assert_eq!(preflight(&server, APP).header("access-control-allow-origin"), Some("*"));
    infer(&server, "Origin: https://any.example\r\n").assert_doubled();
}

#[test]
fn browsers_ask_before_they_show_a_key() {
    let (options, key) = with_key();
    let server = start(options.with_cors_origins([APP]));
    let answer = preflight(&server, APP);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(APP)));
    infer(&server, &format!("Origin: {APP}\r\n{key}")).assert_doubled();
    let answer = infer(&server, &format!("Origin: {APP}\r\n"));
    answer.assert_error(401, &[]);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP), "so that the page sees why");
}
