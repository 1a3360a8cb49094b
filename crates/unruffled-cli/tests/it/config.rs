//! One file of settings: checked, shown, served by, read again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Said, Server, program, repository, run_in};

/// A folder with a file of settings.
fn folder(settings: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("unruffled.toml"), settings).unwrap();
    folder
}

fn run_with(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut program = program();
    program.args(arguments).current_dir(folder).envs(variables.iter().copied());
    let output = program.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The line of a setting, without the blanks before its source.
#[track_caller]
fn line(page: &str, key: &str) -> String {
    let found = page.lines().find(|line| line.starts_with(&format!("{key} = ")));
    let line = found.unwrap_or_else(|| panic!("no `{key}` in\n{page}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn get(url: &str) -> Value {
    ureq::get(url).call().unwrap().body_mut().read_json().unwrap()
}

#[test]
fn a_right_file_is_shown() {
    let folder =
        folder("http = \"0.0.0.0:80\"\nmemory = 1073741824\ncors_origin = [\"*\"]\nkeys = \"keys.toml\"\n");
    let page = run_in(folder.path(), &["config", "check", "unruffled.toml"]).ok();
    assert_eq!(line(&page, "http"), "http = \"0.0.0.0:80\" # file");
    assert_eq!(line(&page, "memory"), "memory = \"1GiB\" # file");
    assert_eq!(line(&page, "grace"), "grace = \"30s\" # default");
    assert_eq!(line(&page, "cors_origin"), "cors_origin = [\"*\"] # file");
    // What is shown is a file of settings.
    fs::write(folder.path().join("again.toml"), &page).unwrap();
    run_in(folder.path(), &["config", "check", "again.toml"]).ok();

    // Paths are meant from the folder of the file.
    let elsewhere = tempfile::tempdir().unwrap();
    let file = folder.path().join("unruffled.toml").display().to_string();
    let page = run_in(elsewhere.path(), &["config", "check", &file]).ok();
    let keys = folder.path().join("keys.toml").display().to_string();
    assert_eq!(line(&page, "keys"), format!("keys = \"{keys}\" # file"));
}

#[test]
fn mistakes_are_told_with_line_value_and_what_was_meant() {
    for (settings, expected) in [
        (
            "\nhtpp = \"0.0.0.0:80\"\n",
            "unruffled.toml:2: `htpp`: there is no such setting; did you mean `http`?",
        ),
        (
            "queue = \"many\"",
            "unruffled.toml:1: `queue`: invalid type: string \"many\", expected a nonzero usize",
        ),
        ("# a\n\ngrace = \"soon\"", "unruffled.toml:3: `grace`: is `soon`; expected a time such as 250ms"),
        ("http = 80", "unruffled.toml:1: `http`: is `80`; expected an address and a port"),
        ("tls_cert = \"a.pem\"", "`--tls-cert` needs `--tls-key` beside it"),
        ("log = \"a=b=c\"", "`log` is `a=b=c`"),
        ("queue 1", "unruffled.toml:1: "),
    ] {
        let folder = folder(settings);
        for arguments in
            [&["config", "check", "unruffled.toml"][..], &["serve", "--config", "unruffled.toml"]]
        {
            let said = run_in(folder.path(), arguments);
            assert!(said.code == 2 && said.err.contains(expected), "{settings}: {}", said.err);
        }
    }
    let folder = folder("");
    let said = run_in(folder.path(), &["config", "check", "gone.toml"]);
    assert!(said.code == 2 && said.err.contains("gone.toml: cannot be read"), "{}", said.err);
}

#[test]
fn flags_count_before_variables_before_the_file() {
    let folder = folder("queue = 1\nbody_bytes = \"1MiB\"\nlog = \"info\"\ngrace = \"1s\"\n");
    let variables = [
        ("UNRUFFLED_CONFIG", "unruffled.toml"),
        ("UNRUFFLED_QUEUE", "2"),
        ("UNRUFFLED_BODY_BYTES", "2MiB"),
        ("UNRUFFLED_CORS_ORIGIN", "https://a.example,https://b.example"),
        ("UNRUFFLED_SHARED_MEMORY", "true"),
        ("UNRUFFLED_ORT_LIB", "none"),
    ];
    let arguments = ["config", "show", "--queue", "3", "--log-format", "json", "net.onnx"];
    let page = run_with(folder.path(), &variables, &arguments).ok();
    assert_eq!(line(&page, "queue"), "queue = 3 # flag");
    assert_eq!(line(&page, "body_bytes"), "body_bytes = \"2MiB\" # environment, UNRUFFLED_BODY_BYTES");
    assert_eq!(line(&page, "log"), "log = \"info\" # file");
    assert_eq!(line(&page, "log_format"), "log_format = \"json\" # flag");
    assert_eq!(line(&page, "grace"), "grace = \"1s\" # file");
    assert_eq!(line(&page, "connections"), "connections = 2048 # default");
    assert_eq!(line(&page, "file"), "file = \"net.onnx\" # flag");
    assert_eq!(line(&page, "onnxruntime"), "onnxruntime = \"none\" # environment, UNRUFFLED_ORT_LIB");
    assert!(line(&page, "cors_origin").contains("\"https://a.example\", \"https://b.example\""), "{page}");
    assert_eq!(line(&page, "shared_memory"), "shared_memory = true # environment, UNRUFFLED_SHARED_MEMORY");
    let page = run_with(folder.path(), &variables, &["config", "show", "--shared-memory=false"]).ok();
    assert_eq!(line(&page, "shared_memory"), "shared_memory = false # flag");
    let said = run_with(folder.path(), &[("UNRUFFLED_GRACE", "soon")], &["config", "show"]);
    assert!(said.code == 2 && said.err.contains("250ms, 30s or 2m"), "{}", said.err);
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let folder = folder("");
    let schema = run_in(folder.path(), &["config", "schema"]).ok();
    assert_eq!(schema, fs::read_to_string(repository("docs/configuration.schema.json")).unwrap());
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["properties"]["grace"]["default"], json!("30s"));
}

#[test]
fn the_example_of_the_guide_is_right() {
    let page = fs::read_to_string(repository("docs/guide/configuration.md")).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = folder(example);
    let page = run_in(folder.path(), &["config", "check", "unruffled.toml"]).ok();
    assert_eq!(line(&page, "otlp_sample"), "otlp_sample = 0.1 # file");
}

#[test]
fn a_server_is_what_its_file_says() {
    let folder = folder("body_bytes = 64\nlog = \"off\"\ngrace = \"3s\"\n");
    let server = Server::start_in(folder.path(), &["--config", "unruffled.toml"]);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer =
        agent.post(format!("{}/v2/models/digits/infer", server.url())).send(&[b' '; 65][..]).unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    assert_eq!(get(&format!("{}/v2/logging", server.url()))["log_error"], json!(false));
    server.signal("TERM");
    let (code, said) = server.ended();
    assert!(code == 0 && said.contains("have 3000 ms"), "{said}");
}

#[cfg(unix)]
#[test]
fn the_file_is_read_again() {
    let folder = folder("log = \"warn\"\notlp = \"http://127.0.0.1:9\"\notlp_sample = 1\n");
    let server = Server::start_in(folder.path(), &["--config", "unruffled.toml"]);
    let (logging, setting) =
        (format!("{}/v2/logging", server.url()), format!("{}/v2/trace/setting", server.url()));
    let write = |settings: &str| fs::write(folder.path().join("unruffled.toml"), settings).unwrap();
    assert_eq!(get(&logging)["log_info"], json!(false));

    // What can change does; what cannot is told.
    write("log = \"info\"\notlp = \"http://127.0.0.1:9\"\notlp_sample = 0.1\nqueue = 7\nmemory = \"1GiB\"\n");
    server.signal("HUP");
    while get(&logging)["log_info"] != json!(true) || get(&setting)["trace_rate"] != json!("10") {}

    // What is broken changes nothing, and what comes after it is taken.
    write("log = \"debug\"\notlp_sample = 7\n");
    server.signal("HUP");
    server.wait_for("all stays as it was");
    let told = get(&logging);
    assert_eq!((&told["log_info"], &told["log_verbose_level"]), (&json!(true), &json!(0)));
    assert_eq!(get(&setting)["trace_rate"], "10");
    write("log = \"debug\"\notlp = \"http://127.0.0.1:9\"\notlp_sample = 0.1\n");
    server.signal("HUP");
    while get(&logging)["log_verbose_level"] != json!(1) {}

    server.signal("TERM");
    let (code, said) = server.ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("queue, memory will count after a restart"), "{said}");
    assert!(said.contains("all stays as it was: "), "{said}");
    assert!(said.contains("unruffled.toml:2: `otlp_sample`: is `7`; expected a part from 0 to 1"), "{said}");
}
