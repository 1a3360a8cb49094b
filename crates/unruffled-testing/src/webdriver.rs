//! [`WebDriver`]: a session with a browser or an app that is driven over the WebDriver protocol, which is JSON over HTTP.
//!
//! Specification: <https://www.w3.org/TR/webdriver2/>.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Keys, as the protocol writes them.
pub const TAB: &str = "\u{E004}";
/// See [`TAB`].
pub const ENTER: &str = "\u{E007}";

/// A session; ended when it is dropped, also after a test that failed.
///
/// # Panics
///
/// All methods do, with what the driver said, if something fails: it is for tests.
pub struct WebDriver {
    agent: ureq::Agent,
    /// The address of the session.
    session: String,
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        // One that has ended already has nothing to say about it.
        let _ = self.agent.delete(&self.session).call();
    }
}

impl WebDriver {
    /// Begins a session with the driver that listens on a port.
    #[track_caller]
    pub fn begin(port: u16, wanted: &Value) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let sessions = format!("http://127.0.0.1:{port}/session");
        let mut driver = Self { agent, session: sessions.clone() };
        let begun = driver.post("", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        let id = begun["sessionId"].as_str().expect("a session has a name");
        driver.session = format!("{sessions}/{id}");
        driver
    }

    /// Sends a command, whose path is that behind the session, and gives the value of the answer.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let sent = self.agent.post(format!("{}{path}", self.session)).send_json(body);
        let mut answer = sent.unwrap_or_else(|error| panic!("{path}: {error}"));
        let read = answer.body_mut().read_json::<Value>();
        let value = read.unwrap_or_else(|error| panic!("{path}: {error}"))["value"].take();
        assert!(answer.status().is_success(), "{path} {body}: {value}");
        value
    }

    /// Opens a page.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// Loads the page again.
    #[track_caller]
    pub fn refresh(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Runs a script in the page and gives what it returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script after which the page may be gone, so that nobody answers.
    pub fn run_last(&self, script: &str) {
        let body = json!({ "script": script, "args": [] });
        let _ = self.agent.post(format!("{}/execute/sync", self.session)).send_json(body);
    }

    /// Runs the body of an `async` function in the page, and gives what it returns; what it throws is a failure.
    #[track_caller]
    pub fn wait_for(&self, body: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async () => {{ {body} }})().then(
               (value) => done({{ value }}),
               (error) => done({{ error: `${{error}}\n${{error?.stack ?? ''}}` }}),
             );"
        );
        let mut outcome = self.post("/execute/async", &json!({ "script": script, "args": [] }));
        assert!(outcome["error"].is_null(), "{}\n{body}", outcome["error"].as_str().unwrap_or_default());
        outcome["value"].take()
    }

    /// Waits until an expression holds, looked at with every frame, and gives its value.
    #[track_caller]
    pub fn until(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (function look() {{
               const value = {expression};
               if (value) done(value); else requestAnimationFrame(look);
             }})();"
        );
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        id.expect("an element has a name").to_owned()
    }

    /// Types into an element, or gives a file's path to one that takes files.
    #[track_caller]
    pub fn type_into(&self, selector: &str, text: &str) {
        self.post(&format!("/element/{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// Clicks on an element.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.post(&format!("/element/{}/click", self.element(selector)), &json!({}));
    }

    /// Presses a key where the focus is.
    #[track_caller]
    pub fn press(&self, key: &str) {
        let actions = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// Keeps a picture of the page.
    #[track_caller]
    pub fn picture(&self, path: &Path) {
        let mut answer = self.agent.get(format!("{}/screenshot", self.session)).call().expect("a picture");
        let value = answer.body_mut().with_config().limit(64 << 20).read_json::<Value>().expect("JSON");
        let png = BASE64_STANDARD.decode(value["value"].as_str().expect("a picture")).expect("base 64");
        std::fs::write(path, png).expect("the folder of pictures can be written");
    }
}
