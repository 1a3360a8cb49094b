//! `prove evict`: twenty models share the memory of five.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Proof;
use super::plan::{Broken, Outcome, Plan, join, thread};
use super::processes::{resident, resident_max};
use super::report::{Findings, Times};
use super::weights::{INPUTS, product};

pub(super) const PROOF: Proof = Proof {
    name: "evict",
    what: "A server with 20 models and memory for 5 is asked for all of them at random, four requests at a time.",
    pass_line: "no error, and never more memory than the budget and a tenth above what the server began with",
    run,
};

const MODELS: usize = 20;

/// How many of them the budget has room for.
const FIT: u64 = 5;

/// The size of each model's file.
const FILE_BYTES: usize = 32 << 20;

/// Requests on their way at once.
const CALLERS: usize = 4;

/// Who took so much longer than it waited in the queue and ran has waited for a load.
const LOAD_MIN: Duration = Duration::from_millis(8);

fn run(plan: &Plan<'_>) -> Outcome {
    let folder = tempfile::tempdir()?;
    for model in 0..MODELS {
        let place = folder.path().join(name(model));
        std::fs::create_dir(&place)?;
        std::fs::write(place.join("model.onnx"), product(FILE_BYTES, weight(model)))?;
    }
    let requests = plan.pick(200, 60);
    plan.steps(requests);
    let Some(one) = weigh(folder.path())? else {
        let why = "the system does not tell how much memory a process takes";
        return Ok(Findings::left_out("grown_bytes_max", "resident memory", why.into()));
    };
    let budget = one * FIT;
    let server = Server::start(folder.path(), budget)?;
    let before = server.resident()?;
    let asked = ask_all(plan, &server.url, requests)?;
    let most = resident_max(server.child.id()).ok_or_else(|| Broken::new("the server has gone"))?;
    let Counts { loads, evictions } = server.end()?;

    let grown = most.saturating_sub(before);
    let mut findings = Findings::default();
    findings.count("requests", "requests", asked.cold.len() + asked.warm.len() + asked.errors.len());
    findings.count("errors", "errors", asked.errors.len());
    findings.count("loads", "loads", loads);
    findings.count("evictions", "models put out of memory", evictions);
    findings.bytes("model_bytes", "what one model takes", one);
    findings.bytes("budget_bytes", "budget", budget);
    findings.bytes("grown_bytes_max", "most above what the server began with", grown);
    findings.spread("cold_ms", "answered after a load", &asked.cold);
    findings.spread("warm_ms", "answered from memory", &asked.warm);
    findings.require(asked.errors.is_empty(), || asked.errors[0].clone());
    findings
        .require(grown <= budget + budget / 10, || format!("{grown} bytes more, with a budget of {budget}"));
    findings.require(evictions > 0, || "nothing was put out of memory".into());
    Ok(findings)
}

fn name(model: usize) -> String {
    format!("model{model:02}")
}

/// What each model multiplies by, so that its answer tells it from the others.
fn weight(model: usize) -> f32 {
    (model + 1) as f32
}

/// What one model takes in memory, beside another that is there already.
fn weigh(models: &Path) -> Result<Option<u64>, Broken> {
    let server = Server::start(models, 1 << 40)?;
    ask(&server.url, 0)?;
    let before = resident(server.child.id());
    ask(&server.url, 1)?;
    let after = resident(server.child.id());
    server.end()?;
    Ok(before.zip(after).map(|(before, after)| after.saturating_sub(before)))
}

/// What came of all requests.
#[derive(Default)]
struct Asked {
    cold: Times,
    warm: Times,
    errors: Vec<String>,
}

fn ask_all(plan: &Plan<'_>, url: &str, requests: usize) -> Result<Asked, Broken> {
    let call = |caller| {
        let (url, mut random) = (url.to_owned(), plan.random(caller));
        thread("caller", move || {
            let mut asked = Asked::default();
            for _ in 0..requests / CALLERS {
                match ask(&url, random.usize(..MODELS)) {
                    Ok(Took { all, own }) if all.saturating_sub(own) > LOAD_MIN => asked.cold.add(all),
                    Ok(Took { all, .. }) => asked.warm.add(all),
                    Err(error) => asked.errors.push(error.into_text()),
                }
            }
            asked
        })
    };
    let callers: Vec<JoinHandle<Asked>> = (0..CALLERS as u64).map(call).collect::<Result<_, _>>()?;
    let mut all = Asked::default();
    for caller in callers {
        let asked = join(caller)?;
        all.cold.extend(&asked.cold);
        all.warm.extend(&asked.warm);
        all.errors.extend(asked.errors);
        (0..requests / CALLERS).for_each(|_| plan.step());
    }
    Ok(all)
}

/// How long an answer took, and how long the model had the request.
struct Took {
    all: Duration,
    own: Duration,
}

/// Asks a model, and looks whether the answer is its own.
fn ask(url: &str, model: usize) -> Result<Took, Broken> {
    let begin = Instant::now();
    let ones = vec![1.0_f32; INPUTS];
    let x = json!({ "name": "x", "datatype": "FP32", "shape": [1, INPUTS], "data": ones });
    let mut answer = ureq::post(format!("{url}/v2/models/{}/infer", name(model)))
        .send_json(json!({ "inputs": [x] }))
        .map_err(|error| Broken::new(format!("{}: {error}", name(model))))?;
    let own = answer.headers().get("server-timing").and_then(|timing| times(timing.to_str().ok()?));
    let body: Value = answer.body_mut().read_json()?;
    let all = begin.elapsed();
    let (given, right) = (body["outputs"][0]["data"][0].as_f64(), f64::from(weight(model)) * INPUTS as f64);
    match given {
        Some(given) if (given / right - 1.0).abs() < 1e-2 => Ok(Took { all, own: own.unwrap_or_default() }),
        _ => Err(Broken::new(format!("{} answered {given:?} instead of {right}", name(model)))),
    }
}

/// All that the header counts, together.
fn times(header: &str) -> Option<Duration> {
    let millis: Result<Vec<f64>, _> = header
        .split("dur=")
        .skip(1)
        .map(|part| part.split([',', ';']).next().unwrap_or(part).parse())
        .collect();
    Some(Duration::from_secs_f64(millis.ok()?.iter().sum::<f64>() / 1e3))
}

/// `unruffled serve`, in a process of its own.
struct Server {
    child: Child,
    url: String,
    log: JoinHandle<Counts>,
}

/// What a server has said that it did.
#[derive(Default)]
struct Counts {
    loads: u64,
    evictions: u64,
}

impl Server {
    fn start(models: &Path, budget: u64) -> Result<Self, Broken> {
        let mut serve = Command::new(std::env::current_exe()?);
        // The backend that is always there.
        serve.args(["serve", "--onnxruntime", "none", "--http", "127.0.0.1:0", "--log", "info"]);
        serve.args(["--memory", &budget.to_string(), "--models"]).arg(models);
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = serve.spawn()?;
        let (Some(out), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Broken::new("the server says nothing"));
        };
        let log = thread("log", move || counts(errors))?;
        let url = BufReader::new(out).lines().map_while(Result::ok).find_map(|line| address(&line));
        match url {
            Some(url) => Ok(Self { child, url, log }),
            None => {
                child.kill()?;
                Err(Broken::new(format!("the server did not come up: {}", child.wait()?)))
            }
        }
    }

    fn resident(&self) -> Result<u64, Broken> {
        resident(self.child.id()).ok_or_else(|| Broken::new("the server has gone"))
    }

    /// Ends it, and says what it has done.
    fn end(mut self) -> Result<Counts, Broken> {
        self.child.kill()?;
        self.child.wait()?;
        join(self.log)
    }
}

fn counts(log: ChildStderr) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        counts.loads += u64::from(line.contains("loaded") && line.contains("unruffled_engine"));
        counts.evictions += u64::from(line.contains("put out of memory"));
    }
    counts
}

/// The address in what a server says when it can be asked.
fn address(line: &str) -> Option<String> {
    line.split_whitespace()
        .find_map(|word| word.find("http://").map(|at| &word[at..]))
        .map(|url| url.trim_end_matches(['/', '\u{1b}']).split('\u{1b}').next().unwrap_or(url).to_owned())
}
