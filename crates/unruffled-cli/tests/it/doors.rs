//! Who may ask: keys and certificates as people handle them, with curl and openssl.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{Server, program, repository, run, run_in};

/// Runs a line of a shell in a folder, with the program in its path.
#[track_caller]
fn shell(folder: &Path, line: &str) -> String {
    let output = in_shell(folder, line).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn in_shell(folder: &Path, line: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_unruffled")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var_os("PATH").unwrap().display());
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(line).current_dir(folder).env("PATH", path).env("UNRUFFLED_ORT_LIB", "none");
    shell
}

/// Status and body of what curl gets.
fn curl(folder: &Path, arguments: &str) -> (String, String) {
    let line = format!("curl -sS -o body.txt -w '%{{http_code}}' {arguments}");
    let status = shell(folder, &line);
    (status, fs::read_to_string(folder.join("body.txt")).unwrap())
}

/// The commands of a page, continued lines joined.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn the_commands_of_the_guide_work() {
    let folder = tempfile::tempdir().unwrap();
    let page = fs::read_to_string(repository("docs/guide/security.md")).unwrap();
    let mut server: Option<Server> = None;
    let mut ran = 0;
    for command in commands(&page) {
        if let Some(arguments) = command.strip_prefix("unruffled serve ") {
            drop(server.take());
            let arguments: Vec<_> = arguments.split_whitespace().collect();
            server = Some(Server::start_in(folder.path(), &arguments));
            continue;
        }
        let address = server.as_ref().map(|server| server.url().split("://").nth(1).unwrap().to_owned());
        let line = address.map_or(command.clone(), |address| command.replace("127.0.0.1:8000", &address));
        shell(folder.path(), &line);
        ran += 1;
    }
    assert!(ran >= 12, "{ran}");
}

#[test]
fn keys_are_made_and_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let phone = run_in(at, &["keys", "new", "the \"phone\"", "--infer", "no-*"]).ok();
    let operator = run_in(at, &["keys", "new", "operator", "--infer", "*", "--admin", "--rate", "9/h"]).ok();
    let (phone, operator) = (phone.trim(), operator.trim());
    assert!(
        phone.starts_with("unr_") && phone.len() == 68 && !phone.contains(char::is_whitespace),
        "{phone}"
    );
    let file = fs::read_to_string(at.join("keys.toml")).unwrap();
    assert!(!file.contains(&phone[4..]) && file.matches("[[key]]").count() == 2, "{file}");

    let server = Server::start_in(at, &["--keys", "keys.toml", "--log", "trace"]);
    let url = format!("{}/v2/models/digits", server.url());
    assert_eq!(curl(at, &url).0, "401");
    let (status, body) = curl(at, &format!("-H 'X-API-Key: {phone}' {url}"));
    assert!(status == "403" && body.contains(r#"the \"phone\""#), "{body}");
    assert_eq!(curl(at, &format!("-H 'Authorization: Bearer {operator}' {url}")).0, "200");
    // What is printed to be pasted works once the key is there.
    let line = format!("UNRUFFLED_KEY={operator}; {}", server.greeting.last().unwrap());
    assert!(shell(at, &line).contains("\"label\""));
    server.signal("TERM");
    let (_, said) = server.ended();
    assert!(!said.contains(&phone[4..]) && !said.contains(&operator[4..]), "{said}");
}

#[test]
fn mistakes_in_keys_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = run_in(at, &["serve", "--keys", "keys.toml"]);
    assert!(said.code == 2 && said.err.contains("keys.toml: cannot be read"), "{}", said.err);
    assert!(said.err.contains("unruffled keys new NAME"), "{}", said.err);
    run_in(at, &["keys", "new", "a"]).ok();
    let again = run_in(at, &["keys", "new", "a"]);
    assert!(again.code == 2 && again.err.contains("two keys of the name `a`"), "{}", again.err);
    let bad = run_in(at, &["keys", "new", "b", "--rate", "often"]);
    assert!(bad.code == 2 && bad.err.contains("50/s"), "{}", bad.err);
    let file = fs::read_to_string(at.join("keys.toml")).unwrap();
    assert_eq!(file.matches("[[key]]").count(), 1, "{file}");
    fs::write(at.join("keys.toml"), format!("{file}metrics = 1\n")).unwrap();
    let said = run_in(at, &["serve", "--keys", "keys.toml"]);
    assert!(said.code == 2 && said.err.contains("keys.toml:4: "), "{}", said.err);
}

#[test]
fn mistakes_in_flags_are_told() {
    for (arguments, part) in [
        (&["--tls-cert", "a.pem"][..], "--tls-key"),
        (&["--tls-client-ca", "a.pem"], "--tls-cert"),
        (&["--tls-cert", "a.pem", "--tls-key", "b.pem"], "a.pem: cannot be read"),
        (&["--client-burst", "3"], "--client-rate"),
        (&["--client-rate", "often"], "50/s"),
        (&["--cors-origin", "app.example"], "https://app.example"),
    ] {
        let said = run(&[&["serve"], arguments].concat());
        assert!(said.code == 2 && said.err.contains(part), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn sighup_takes_new_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let make = |name: &str| {
        format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN={name} \
             -addext subjectAltName=IP:127.0.0.1 -keyout {name}.key -out {name}.pem"
        )
    };
    shell(at, &format!("{} && {} && cp old.pem cert.pem && cp old.key key.pem", make("old"), make("new")));
    let server = Server::start_in(at, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let trusts = |ca: &str| {
        let line = format!("curl -sS --fail --cacert {ca}.pem {}/v2", server.url());
        in_shell(at, &line).output().unwrap().status.success()
    };
    assert!(trusts("old") && !trusts("new"));
    shell(at, "cp new.pem cert.pem && cp new.key key.pem");
    server.signal("HUP");
    // Each try is a handshake of its own.
    while !trusts("new") {}
    assert!(!trusts("old"));
    server.signal("TERM");
    assert_eq!(server.ended().0, 0);
}

#[test]
fn an_open_door_is_told() {
    let begin = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        run_in(folder.path(), &["keys", "new", "a"]).ok();
        let mut serve = program();
        serve.args(["serve", "--http", "0.0.0.0:0"]).args(arguments).current_dir(folder.path());
        let mut child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let warning = lines.find_map(|line| line.ok().filter(|line| line.contains("warning")));
        child.kill().unwrap();
        child.wait().unwrap();
        warning.unwrap()
    };
    let warning = begin(&[]);
    assert!(warning.contains("everybody who reaches 0.0.0.0:") && warning.contains("--keys"), "{warning}");
    let warning = begin(&["--keys", "keys.toml"]);
    assert!(warning.contains("in the clear") && warning.contains("--tls-cert"), "{warning}");
}

#[test]
fn loads_that_fail_tell_no_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a secret place");
    let add = |name: &str, file: &str, text: &str| {
        fs::create_dir_all(root.join(name)).unwrap();
        fs::write(root.join(name).join(file), text).unwrap();
    };
    add("garbage", "model.onnx", "no model");
    add("gone", "model.onnx", "no model");
    add("python", "model.py", "raise RuntimeError(__file__)");
    let models = root.display().to_string();
    let server = Server::start(&["--models", &models, "--memory", "1GiB"]);
    fs::remove_file(root.join("gone/model.onnx")).unwrap();
    let place = folder.path().display().to_string();
    for model in ["garbage", "gone", "python", "..%2fgone", "%2fetc%2fpasswd"] {
        for (end, body) in [("", ""), ("/ready", ""), ("/infer", "-d '{\"inputs\":[]}'")] {
            let (status, body) =
                curl(folder.path(), &format!("{body} {}/v2/models/{model}{end}", server.url()));
            assert!(status.starts_with(['4', '5']), "{model}{end}: {status} {body}");
            for leak in [&*place, "secret", "/tmp/", "/home/", "site-packages", "root:"] {
                assert!(!body.contains(leak), "{model}{end}: {leak} in {body}");
            }
        }
    }
}
