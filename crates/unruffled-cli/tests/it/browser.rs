//! [`Browser`]: Chromium without a window, driven by its driver.

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use unruffled_testing::webdriver::WebDriver;

pub(crate) use unruffled_testing::webdriver::{ENTER, TAB};

/// What keeps it to itself: no network but the server's, nothing left from before.
const SWITCHES: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
];

pub(crate) struct Browser {
    session: Option<WebDriver>,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; then its driver.
        self.session = None;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Deref for Browser {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        self.session.as_ref().expect("it is there until the end")
    }
}

impl Browser {
    pub(crate) fn start() -> Self {
        let remedy = "chromedriver does not start; remedy: cargo xtask test setup";
        let mut driver = Command::new("chromedriver");
        let mut driver =
            driver.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect(remedy);
        let said = BufReader::new(driver.stdout.take().unwrap());
        let ready = said.lines().map(Result::unwrap).find(|line| line.contains("successfully on port"));
        let ready = ready.expect(remedy);
        let port = ready.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut switches: Vec<String> = SWITCHES.iter().map(|&switch| switch.to_owned()).collect();
        switches.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({
            "goog:chromeOptions": { "args": switches },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 30_000 },
        });
        let mut browser = Self { session: None, driver, _profile: profile };
        browser.session = Some(WebDriver::begin(port, &wanted));
        browser
    }

    /// Draws a line with the mouse through these points of the window.
    #[track_caller]
    pub(crate) fn draw(&self, points: &[(f64, f64)]) {
        let mut actions: Vec<Value> = points
            .iter()
            .map(|(x, y)| json!({ "type": "pointerMove", "duration": 30, "x": x.round(), "y": y.round() }))
            .collect();
        actions.insert(1, json!({ "type": "pointerDown", "button": 0 }));
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let mouse = json!({
            "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions,
        });
        self.post("/actions", &json!({ "actions": [mouse] }));
    }

    /// Asks the browser's own protocol for something.
    #[track_caller]
    pub(crate) fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// A further tab, in front from now on.
    pub(crate) fn new_tab(&self) {
        let opened = self.post("/window/new", &json!({ "type": "tab" }));
        self.post("/window", &json!({ "handle": opened["handle"] }));
    }

    /// What was written to the console as a warning or an error. A request that gave way to a newer one is told there by the
    /// browser itself, as it tells of every status from 400 on: that is no complaint.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints_but(&[])
    }

    /// The same, where requests may be refused with these statuses.
    pub(crate) fn complaints_but(&self, statuses: &[u16]) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let lines = log.as_array().unwrap().iter();
        let loud = lines.filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        let messages = loud.map(|line| line["message"].as_str().unwrap().to_owned());
        let told: Vec<_> =
            statuses.iter().chain(&[499]).map(|status| format!("with a status of {status}")).collect();
        messages.filter(|message| !told.iter().any(|told| message.contains(told))).collect()
    }
}
