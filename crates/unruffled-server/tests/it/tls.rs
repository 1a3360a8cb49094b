//! TLS: who is let in, which certificate is shown, and what a bad handshake costs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use unruffled_engine::PoolOptions;
use unruffled_server::{Reload, ServerOptions, SetupErrorKind, Tls};
use unruffled_testing::scripted::doubling;

use crate::support::{
    Authority, Certificate, Client, ONE_ROW, TestServer, many_rows, tls_client, wait_until,
};

fn tls(certificate: &Certificate, client_ca: Option<&Authority>) -> Tls {
    let client_ca = client_ca.map(Authority::pem);
    let Certificate { pem, key } = certificate;
    Tls::from_pem(pem.as_bytes(), key.as_bytes(), client_ca.as_deref().map(str::as_bytes)).unwrap()
}

fn start(tls: Tls) -> TestServer {
    TestServer::with(doubling(), PoolOptions::default(), ServerOptions::default().with_tls(tls)).0
}

/// Whether the server lets a client with this certificate ask.
fn is_let_in(server: &TestServer, trusts: &Authority, shows: Option<&Certificate>) -> bool {
    let mut client = tls_client(server.address(), trusts, shows);
    // In TLS 1.3 the client learns that it is refused when it reads.
    if client.stream().write_all(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n").is_err() {
        return false;
    }
    let mut begin = [0; 12];
    client.stream().read_exact(&mut begin).is_ok_and(|()| begin == *b"HTTP/1.1 200")
}

#[test]
fn requests_inside_of_tls() {
    let authority = Authority::new("ours");
    let server = start(tls(&authority.sign("localhost"), None));
    let mut client = tls_client(server.address(), &authority, None);
    client.infer(ONE_ROW).assert_doubled();
    assert_eq!(client.infer(&many_rows(20_000)).status, 200, "many records in both directions");
    client.infer(ONE_ROW).assert_doubled();
    assert_eq!(client.stream().conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let page = client.get("/").body;
    assert!(page.contains("https://localhost/"), "{page}");
}

#[test]
fn a_client_that_knows_another_authority_does_not_trust() {
    let server = start(tls(&Authority::new("ours").sign("localhost"), None));
    assert!(!is_let_in(&server, &Authority::new("another"), None));
}

#[test]
fn only_clients_of_the_authority_are_let_in() {
    let (ours, another) = (Authority::new("ours"), Authority::new("another"));
    let server = start(tls(&ours.sign("localhost"), Some(&ours)));
    assert!(is_let_in(&server, &ours, Some(&ours.sign("client"))));
    assert!(!is_let_in(&server, &ours, None));
    assert!(!is_let_in(&server, &ours, Some(&another.sign("client"))));
    assert!(!is_let_in(&server, &ours, Some(&ours.sign_expired("client"))));
    assert!(is_let_in(&server, &ours, Some(&ours.sign("client"))));
}

#[test]
fn what_is_no_handshake_is_cut_and_nobody_suffers() {
    let authority = Authority::new("ours");
    let options = ServerOptions::default()
        .with_tls(tls(&authority.sign("localhost"), None))
        .with_handshake_timeout(Duration::from_millis(50));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut silent = server.client();
    // The server ends it, having waited long enough.
    assert_eq!(silent.stream().read(&mut [0; 8]).unwrap(), 0);
    let mut plain = server.client();
    plain.write("GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut said = Vec::new();
    // An alert or a cut, but no HTTP.
    let _ = plain.stream().read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

#[test]
fn files_are_read_again_when_they_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |certificate: &Certificate| {
        fs::write(path("cert.pem"), &certificate.pem).unwrap();
        fs::write(path("key.pem"), &certificate.key).unwrap();
    };
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    write(&old.sign("localhost"));
    let tls = Tls::from_files(path("cert.pem"), path("key.pem"), None).unwrap();
    let options = ServerOptions::default().with_tls(tls.clone()).with_reload_interval(Duration::ZERO);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut open = tls_client(server.address(), &old, None);
    open.infer(ONE_ROW).assert_doubled();
    assert_eq!(tls.reload().unwrap(), Reload::Unchanged);

    // Half of it: refused, and all goes on as it was.
    let certificate = new.sign("localhost");
    fs::write(path("cert.pem"), &certificate.pem).unwrap();
    let error = tls.reload().unwrap_err();
    assert_eq!(error.kind(), SetupErrorKind::Invalid);
    assert!(error.to_string().contains("key.pem"), "{error}");
    assert!(is_let_in(&server, &old, None));

    write(&certificate);
    assert_eq!(tls.reload().unwrap(), Reload::Changed);
    assert!(is_let_in(&server, &new, None) && !is_let_in(&server, &old, None));
    open.infer(ONE_ROW).assert_doubled();
}

#[test]
fn the_server_looks_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let write = |Certificate { pem, key: secret }: Certificate| {
        fs::write(&cert, pem).unwrap();
        fs::write(&key, secret).unwrap();
    };
    write(old.sign("localhost"));
    let tls = Tls::from_files(&cert, &key, None).unwrap();
    let options = ServerOptions::default().with_tls(tls).with_reload_interval(Duration::from_millis(5));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    assert!(is_let_in(&server, &old, None));
    write(new.sign("localhost"));
    wait_until("the new certificate", || is_let_in(&server, &new, None));
}

#[track_caller]
fn check_mistake(certificate: &str, key: &str, client_ca: Option<&str>, parts: &[&str]) {
    let made = Tls::from_pem(certificate.as_bytes(), key.as_bytes(), client_ca.map(str::as_bytes));
    let error = made.expect_err("it is wrong").to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in `{error}`");
    }
}

#[test]
fn mistakes_name_what_is_wrong() {
    let authority = Authority::new("ours");
    let (one, other) = (authority.sign("localhost"), authority.sign("localhost"));
    check_mistake("", &one.key, None, &["the certificate", "no certificate"]);
    check_mistake(&one.pem, "", None, &["the key", "no private key"]);
    check_mistake(&one.key, &one.key, None, &["the certificate", "no certificate"]);
    check_mistake(&one.pem, &other.key, None, &["the certificate", "cannot be used with the key"]);
    check_mistake(&one.pem, &one.key, Some(""), &["authority of clients", "no certificate"]);
    let error = Tls::from_files("/nowhere/cert.pem", "/nowhere/key.pem", None).unwrap_err();
    assert_eq!(error.kind(), SetupErrorKind::Unreadable);
    assert!(error.to_string().starts_with("/nowhere/cert.pem: cannot be read"), "{error}");
}

#[test]
fn what_is_plain_stays_plain() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = Client::connect(server.address());
    client.infer(ONE_ROW).assert_doubled();
}
