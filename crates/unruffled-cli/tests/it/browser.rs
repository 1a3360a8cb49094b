//! [`Browser`]: Chromium without a window, driven by its driver over the WebDriver protocol, which is JSON over HTTP.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

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

/// Keys, as the protocol writes them.
pub(crate) const TAB: &str = "\u{E004}";
pub(crate) const ENTER: &str = "\u{E007}";

pub(crate) struct Browser {
    agent: ureq::Agent,
    /// The address of the session.
    session: String,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser, also after a test that failed; then its driver.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
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
        let port = ready.trim_end_matches('.').rsplit(' ').next().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut switches: Vec<String> = SWITCHES.iter().map(|&switch| switch.to_owned()).collect();
        switches.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({
            "goog:chromeOptions": { "args": switches },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 30_000 },
        });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let sessions = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { agent, session: sessions.clone(), driver, _profile: profile };
        let begun = browser.post("", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session = format!("{sessions}/{}", begun["sessionId"].as_str().unwrap());
        browser
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let mut answer = self.agent.post(format!("{}{path}", self.session)).send_json(body).unwrap();
        let value = answer.body_mut().read_json::<Value>().unwrap()["value"].take();
        assert!(answer.status().is_success(), "{path} {body}: {value}");
        value
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub(crate) fn refresh(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Runs a script in the page and gives what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression holds, looked at with every frame, and gives its value.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (function look() {{
               const value = {expression};
               if (value) done(value); else requestAnimationFrame(look);
             }})();"
        );
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Types into an element, or gives a file's path to one that takes files.
    #[track_caller]
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let element = found.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses a key where the focus is.
    #[track_caller]
    pub(crate) fn press(&self, key: &str) {
        let actions = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
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
