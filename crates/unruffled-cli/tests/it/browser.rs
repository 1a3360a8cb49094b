//! [`Browser`]: Chromium without a window, driven by its driver.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
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

pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Driver,
}

/// The driver's process; it ends with this.
struct Driver {
    process: Child,
    _profile: tempfile::TempDir,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The browser ends with the connection to its driver.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that the driver has beyond the standard: its path, and what it takes.
#[derive(Debug)]
struct Beyond(&'static str, Value);

impl WebDriverCompatibleCommand for Beyond {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let remedy = "chromedriver does not start; remedy: cargo xtask test setup";
        let mut driver = Command::new("chromedriver");
        let mut process =
            driver.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect(remedy);
        let said = BufReader::new(process.stdout.take().unwrap());
        let profile = tempfile::tempdir().unwrap();
        let ready = said.lines().map(Result::unwrap).find(|line| line.contains("successfully on port"));
        let ready = ready.expect(remedy);
        let port = ready.trim_end_matches('.').rsplit(' ').next().unwrap();
        let mut switches: Vec<String> = SWITCHES.iter().map(|&switch| switch.to_owned()).collect();
        switches.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({
            "goog:chromeOptions": { "args": switches },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 30_000 },
        });
        let driver = Driver { process, _profile: profile };
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        let Value::Object(wanted) = wanted else { unreachable!("it is written above") };
        let client = builder.capabilities(wanted).connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
        Self { client, driver }
    }

    pub(crate) async fn end(self) {
        self.client.close().await.unwrap();
        drop(self.driver);
    }

    /// Runs a script in the page and gives what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    /// Waits until an expression holds, looked at with every frame, and gives its value.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (function look() {{
               const value = {expression};
               if (value) done(value); else requestAnimationFrame(look);
             }})();"
        );
        let value = self.client.execute_async(&script, Vec::new()).await;
        value.unwrap_or_else(|error| panic!("waited in vain for `{expression}`: {error}"))
    }

    /// Asks the browser's own protocol for something.
    pub(crate) async fn cdp(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.client.issue_cmd(Beyond("goog/cdp/execute", body)).await.unwrap()
    }

    /// What was written to the console as a warning or an error. A request that gave way to a newer one is told there by the
    /// browser itself, as it tells of every status from 400 on: that is no complaint.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Beyond("se/log", json!({ "type": "browser" }))).await.unwrap();
        let lines = log.as_array().unwrap().iter();
        let loud = lines.filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        let messages = loud.map(|line| line["message"].as_str().unwrap().to_owned());
        messages.filter(|message| !message.contains("responded with a status of 499")).collect()
    }
}
