//! [`Window`]: the program on a display of its own, driven by the driver of its WebView.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unruffled_testing::webdriver::WebDriver;

/// How long a test waits before it fails: longer than any test should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

const REMEDY: &str = "remedy: cargo xtask test setup";

/// A display without a screen; gone when it is dropped.
pub(crate) struct Display {
    server: Child,
    name: String,
}

impl Display {
    fn open() -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut server = Command::new("Xvfb");
        // It takes a free number, and says which on its standard output.
        server.args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]);
        let server = server.stdout(writer).stderr(Stdio::null()).spawn();
        let server = server.unwrap_or_else(|error| panic!("Xvfb does not start: {error}; {REMEDY}"));
        let mut number = String::new();
        BufReader::new(reader).read_line(&mut number).unwrap();
        Self { server, name: format!(":{}", number.trim()) }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The app, its window open and its page loaded.
pub(crate) struct Window {
    session: Option<WebDriver>,
    driver: Child,
    display: Display,
    _home: tempfile::TempDir,
}

impl Deref for Window {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        self.session.as_ref().expect("it is there until the end")
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.session = None;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Window {
    pub(crate) fn open() -> Self {
        let display = Display::open();
        let home = tempfile::tempdir().unwrap();
        // Free a moment ago; nobody else asks for ports here.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let log = File::create(artifact("driver.log")).unwrap();
        let driver = Command::new("WebKitWebDriver")
            .args([format!("--port={port}"), "--host=127.0.0.1".into()])
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .env("DISPLAY", &display.name)
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .env("GDK_BACKEND", "x11")
            .env("NO_AT_BRIDGE", "1")
            .env("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let driver =
            driver.unwrap_or_else(|error| panic!("WebKitWebDriver does not start: {error}; {REMEDY}"));
        let mut window = Self { session: None, driver, display, _home: home };
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(begin.elapsed() < PATIENCE, "WebKitWebDriver does not listen");
            std::thread::yield_now();
        }
        let wanted = json!({
            "webkitgtk:browserOptions": { "binary": program(), "args": [] },
            "timeouts": { "script": PATIENCE.as_millis() },
        });
        window.session = Some(WebDriver::begin(port, &wanted));
        window.until("document.readyState === 'complete' && window.__demo?.api");
        window
    }

    /// Runs the body of an `async` function that knows the package as `api`.
    #[track_caller]
    pub(crate) fn call(&self, body: &str) -> Value {
        self.wait_for(&format!("const api = window.__demo.api; {body}"))
    }

    /// The name of the display on which it is.
    #[allow(dead_code, reason = "for what moves the pointer there")]
    pub(crate) fn display(&self) -> &str {
        &self.display.name
    }

    /// Keeps a picture among the artifacts.
    #[track_caller]
    pub(crate) fn show(&self, name: &str) {
        self.picture(&artifact(&format!("{name}.png")));
    }
}

/// The program: one that is installed, if it is said where; else as Cargo tells tests, or two folders up from a program that is none.
fn program() -> PathBuf {
    if let Some(installed) = std::env::var_os("UNRUFFLED_DEMO") {
        return installed.into();
    }
    option_env!("CARGO_BIN_EXE_unruffled-demo").map_or_else(
        || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("unruffled-demo"),
        PathBuf::from,
    )
}

/// A file that is kept, to be looked at.
pub(crate) fn artifact(name: &str) -> PathBuf {
    let folder =
        option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from).join("demo");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}
