//! `prove orphans`: no worker outlives its parent, however that ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Proof;
use super::kinds::{self, Ask, MODEL, Script};
use super::models::wait;
use super::plan::{Broken, Outcome, Plan, thread};
use super::processes::{descendants, is_alive};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "orphans",
    what: "A server with two Python workers is killed with SIGKILL, while they wait and while they are busy.",
    pass_line: "1 s later none of the processes that it had begun is left",
    run,
};

const LATEST: Duration = Duration::from_secs(1);

/// When it is no longer of interest how long they still live.
const GIVEN_UP: Duration = Duration::from_secs(10);

fn run(plan: &Plan<'_>) -> Outcome {
    if let Err(why) = kinds::python(plan, Script::Alone) {
        return Ok(Findings::left_out("python", "Python", why));
    }
    let mut findings = Findings::default();
    let rounds = plan.pick(5, 1);
    plan.steps(2 * rounds);
    let (mut waiting, mut busy) = (Times::default(), Times::default());
    let mut processes = 0;
    for _ in 0..rounds {
        for (times, ask) in [
            (&mut waiting, None),
            // One hears of nothing while it is in there.
            (&mut busy, Some(Ask::Native(60.0))),
        ] {
            let Some(left) = orphans(plan, ask, times)? else {
                findings.leave_out(
                    "processes",
                    "processes",
                    "the system does not tell which there are".into(),
                );
                return Ok(findings);
            };
            processes += left;
            plan.step();
        }
    }
    findings.count("processes", "processes that a server had begun", processes);
    for (key, label, times) in [
        ("gone_when_waiting_ms", "all gone, having waited", &waiting),
        ("gone_when_busy_ms", "all gone, having been busy", &busy),
    ] {
        let gone = findings.spread(key, label, times);
        findings.require(gone.max <= LATEST, || format!("{label}: after {:.1?}", gone.max));
    }
    // Two workers each, in twice as many servers.
    findings.require(processes >= 4 * rounds, || "servers had fewer processes than workers".into());
    Ok(findings)
}

/// Kills a server, and takes the time until the last of its processes is gone: how many those were. `None` where the system
/// does not tell which processes there are.
fn orphans(plan: &Plan<'_>, ask: Option<Ask>, gone: &mut Times) -> Result<Option<usize>, Broken> {
    let folder = Script::Alone.written()?;
    let server = Server::start(plan, &folder.path())?;
    // Answered, it is in memory.
    server.ask(Ask::Double(1.0))?;
    let busy = ask.map(|ask| server.ask_in_background(ask)).transpose()?;
    let Some(processes) = descendants(server.child.id()) else {
        return Ok(None);
    };
    let Server { mut child, .. } = server;
    if busy.is_some() {
        // Nothing tells from outside when a run has begun; a moment is plenty, and too soon is no error.
        wait(Duration::from_millis(300));
    }
    child.kill()?;
    child.wait()?;
    let killed = Instant::now();
    while processes.iter().any(|process| is_alive(*process)) && killed.elapsed() < GIVEN_UP {
        wait(Duration::from_millis(1));
    }
    gone.add(killed.elapsed());
    if let Some(busy) = busy {
        // Its connection is gone: it ends with an error that nobody needs.
        let _ = busy.join();
    }
    Ok(Some(processes.len()))
}

/// `unruffled serve`, in a process of its own.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(plan: &Plan<'_>, models: &Path) -> Result<Self, Broken> {
        let file = models.join("model.toml");
        let settings = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{settings}\n[run]\ninstances = 2\n"))?;
        let mut serve = Command::new(std::env::current_exe()?);
        serve.args(["serve", "--http", "127.0.0.1:0", "--onnxruntime", "none", "--models"]).arg(models);
        if let Some(python) = &plan.runtimes().python {
            serve.arg("--python").arg(python);
        }
        let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let out = child.stdout.take().ok_or_else(|| Broken::new("the server says nothing"))?;
        let url = BufReader::new(out).lines().map_while(Result::ok).find_map(|line| address(&line));
        match url {
            Some(url) => Ok(Self { child, url }),
            None => {
                child.kill()?;
                let status = child.wait()?;
                Err(Broken::new(format!("the server did not come up: {status}")))
            }
        }
    }

    /// Asks the model, and waits for its answer.
    fn ask(&self, ask: Ask) -> Result<(), Broken> {
        post(&self.url, ask).map_err(|error| Broken::new(format!("the server gave no answer: {error}")))
    }

    /// Asks the model, and looks no more for what becomes of it.
    fn ask_in_background(&self, ask: Ask) -> Result<JoinHandle<Result<(), ureq::Error>>, Broken> {
        let url = self.url.clone();
        thread("busy", move || post(&url, ask))
    }
}

fn post(url: &str, ask: Ask) -> Result<(), ureq::Error> {
    let x = json!({ "name": "x", "datatype": "FP64", "shape": [2], "data": ask.numbers() });
    ureq::post(format!("{url}/v2/models/{MODEL}/infer")).send_json(json!({ "inputs": [x] }))?;
    Ok(())
}

/// The address in what a server says when it is ready.
fn address(line: &str) -> Option<String> {
    line.split_whitespace()
        .find(|word| word.starts_with("http://"))
        .map(|url| url.trim_end_matches('/').to_owned())
}
