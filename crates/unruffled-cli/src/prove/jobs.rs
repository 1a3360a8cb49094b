//! `prove jobs`: what was accepted survives the process, and its result is stored once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use unruffled::engine::job::{JobData as _, JobFilter, JobLimits, JobOutcome, JobQueue as _};
use unruffled::{DurableJobs, Engine, JobState, Jobs, JobsOptions, Tensor, Tensors};

use super::Proof;
use super::models::{mixed, wait};
use super::plan::{Broken, Outcome, Plan, event_loop, join, thread};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "jobs",
    what: "A process takes in jobs, runs them from disk, and is killed with SIGKILL at random moments.",
    pass_line: "every job that was accepted has one result, the right one, stored once; a poll takes less than 1 ms",
    run,
};

const MODEL: &str = "proof";

/// What one run costs.
const RUN: Duration = Duration::from_millis(3);

/// Each so manieth job is large enough for files of its own.
const LARGE: u64 = 40;

/// How long a life lasts at most.
const LIFE: Duration = Duration::from_millis(160);

/// When a process that should come to its end hangs.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// How many submit at once, to see what commits together.
const CALLERS: u64 = 64;

/// A poll of a state while the disk is busy.
const POLL_MAX: Duration = Duration::from_millis(1);

fn run(plan: &Plan<'_>) -> Outcome {
    let mut findings = Findings::default();
    let (jobs, kills) = (plan.pick(1_000, 150), plan.pick(20, 4));
    plan.steps(kills + 2);
    killed(plan, jobs, kills, &mut findings)?;
    plan.step();
    polled(plan, &mut findings)?;
    plan.step();
    Ok(findings)
}

/// The folders of one proof.
struct Place(TempDir);

impl Place {
    fn store(&self) -> std::path::PathBuf {
        self.0.path().join("store")
    }

    /// A line for each run that began.
    fn runs(&self) -> std::path::PathBuf {
        self.0.path().join(RUNS)
    }
}

const RUNS: &str = "runs";

fn killed(plan: &Plan<'_>, jobs: u64, kills: usize, findings: &mut Findings) -> Result<(), Broken> {
    let place = Place(tempfile::tempdir()?);
    let mut random = plan.random(0);
    let begin = Instant::now();
    let (mut accepted, mut unfinished) = (0, 0);
    for _ in 0..kills {
        let mut victim = Victim::start(place.0.path(), accepted, jobs)?;
        wait(LIFE.mul_f64(random.f64()));
        let (told, finished) = victim.kill()?;
        accepted = told.max(accepted);
        unfinished += usize::from(!finished);
        plan.step();
    }
    let (told, finished) = Victim::start(place.0.path(), accepted, jobs)?.end()?;
    accepted = told.max(accepted);
    let took = begin.elapsed();
    findings.require(finished, || "the last process did not come to its end".into());

    let seen = event_loop()?.block_on(count(&place.store(), jobs))?;
    let runs = std::fs::read_to_string(place.runs())?.lines().count() as u64;
    findings.count("kills", "kills", kills);
    findings.count("kills_at_work", "kills before all was done", unfinished);
    findings.count("accepted", "accepted", accepted);
    findings.count("executions", "runs begun", runs);
    findings.count("redeliveries", "begun again", runs.saturating_sub(seen.done));
    findings.count("results", "results", seen.done);
    findings.count("results_stored", "results ever stored", seen.stored);
    findings.time("total_ms", "all together", took);
    findings.require(accepted == jobs, || format!("{accepted} of {jobs} were accepted"));
    findings.require(seen.done == jobs, || format!("{} of {jobs} jobs have a result", seen.done));
    findings.require(seen.stored == jobs, || format!("{} results were stored for {jobs} jobs", seen.stored));
    findings.require(seen.wrong == 0, || format!("{} results are not the right ones", seen.wrong));
    findings.require(runs >= jobs, || format!("{jobs} jobs were done in {runs} runs"));
    // Kills that find nothing to do prove nothing.
    let enough = kills * 3 / 4;
    findings.require(unfinished >= enough, || format!("only {unfinished} of {kills} kills found work"));
    Ok(())
}

/// What is in a store.
struct Seen {
    done: u64,
    wrong: usize,
    stored: u64,
}

async fn count(store: &Path, jobs: u64) -> Result<Seen, Broken> {
    let queue = DurableJobs::open(store, limits()).await?;
    let all = queue.list(JobFilter::default()).await?;
    let mut seen = Seen { done: 0, wrong: 0, stored: queue.results_stored().await? };
    let mut numbers = std::collections::BTreeSet::new();
    for status in &all {
        let number = status.key.as_ref().and_then(|key| key.parse::<u64>().ok());
        let Some(number) = number.filter(|number| numbers.insert(*number) && *number < jobs) else {
            return Err(Broken::new(format!("the store has a job that nobody submitted: {:?}", status.key)));
        };
        if status.state != JobState::Done {
            continue;
        }
        seen.done += 1;
        let right = match queue.outcome(status.id).await? {
            Some(JobOutcome::Done(result)) => Tensors::from_payload(&result)? == answer(number),
            _ => false,
        };
        seen.wrong += usize::from(!right);
    }
    queue.close().await;
    Ok(seen)
}

/// This program, as the process that is killed.
struct Victim {
    child: Child,
    said: Option<std::thread::JoinHandle<(u64, bool)>>,
}

impl Victim {
    fn start(folder: &Path, from: u64, jobs: u64) -> Result<Self, Broken> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["prove", "--onnxruntime", "none", "--victim"])
            .arg(folder)
            .args([from.to_string(), jobs.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| Broken::new("the process says nothing"))?;
        let said = thread("victim", move || {
            let (mut accepted, mut finished) = (0, false);
            // To the end: what it said before it died counts.
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                match line.strip_prefix("accepted ").map(str::parse) {
                    Some(Ok(number)) => accepted = number,
                    _ => finished |= line == "finished",
                }
            }
            (accepted, finished)
        })?;
        Ok(Self { child, said: Some(said) })
    }

    /// Kills it: how many jobs had been accepted by then, and whether it had come to its end.
    fn kill(&mut self) -> Result<(u64, bool), Broken> {
        self.child.kill()?;
        self.said()
    }

    /// Waits for its end.
    fn end(mut self) -> Result<(u64, bool), Broken> {
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > GIVEN_UP {
                self.child.kill()?;
                return Err(Broken::new("the process that should have finished the jobs hangs"));
            }
            wait(Duration::from_millis(5));
        }
        self.said()
    }

    fn said(&mut self) -> Result<(u64, bool), Broken> {
        self.child.wait()?;
        let said = self.said.take().ok_or_else(|| Broken::new("a process dies once"))?;
        join(said)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that is killed, given a folder, how many jobs were accepted before, and how many there are to be: takes in the
/// others, and runs what is there.
pub(super) fn victim(words: &[String]) -> Result<(), Broken> {
    let [folder, from, jobs] = words else { return Err(Broken::new("expected a folder and two numbers")) };
    let (folder, from, jobs) = (Path::new(folder), from.parse::<u64>()?, jobs.parse::<u64>()?);
    event_loop()?.block_on(async {
        let engine = Engine::new();
        let runs = std::fs::OpenOptions::new().create(true).append(true).open(folder.join(RUNS))?;
        let model = engine.wrap(move |inputs: Tensors| {
            let number = number(&inputs);
            // In one call: lines of two threads do not mix, and what is written survives the process.
            let _ = (&runs).write_all(format!("{number}\n").as_bytes());
            wait(RUN);
            answer(number)
        });
        model.name(MODEL).instances(2).register()?;
        let queue = DurableJobs::open(folder.join("store"), limits()).await?;
        let jobs_of_engine = engine.use_jobs(Arc::new(queue), JobsOptions::default())?;
        for number in from..jobs {
            submit(&jobs_of_engine, number).await?;
            println!("accepted {}", number + 1);
        }
        for state in [JobState::Queued, JobState::Running] {
            for status in jobs_of_engine.list(JobFilter::default().with_state(state)).await? {
                jobs_of_engine.attach::<Tensors>(status.id).await?.wait().await?;
            }
        }
        println!("finished");
        Ok(())
    })
}

async fn submit(jobs: &Jobs, number: u64) -> Result<unruffled::Job<Tensors>, Broken> {
    // A job that is killed again and again is none that kills.
    let request = jobs.submit(MODEL, question(number)).key(number.to_string()).attempts(1_000);
    Ok(request.await?)
}

/// All that a proof needs is kept.
fn limits() -> JobLimits {
    JobLimits::default()
}

/// The input of a job: its number, and for some much more.
fn question(number: u64) -> Tensors {
    let question = Tensors::new().with("number", Tensor::scalar(number));
    match number % LARGE {
        0 => question.with("more", Tensor::filled(&[100_000], number as u8).expect("it is small")),
        _ => question,
    }
}

fn number(inputs: &Tensors) -> u64 {
    inputs
        .get("number")
        .and_then(|number| number.elements::<u64>().ok()?.first().copied())
        .unwrap_or(u64::MAX)
}

/// What comes out.
fn answer(number: u64) -> Tensors {
    let answer = Tensors::new().with("answer", Tensor::scalar(mixed(number)));
    match number % LARGE {
        0 => answer.with("more", Tensor::filled(&[100_000], mixed(number) as u8).expect("it is small")),
        _ => answer,
    }
}

/// How long a submission takes, and a poll meanwhile.
fn polled(plan: &Plan<'_>, findings: &mut Findings) -> Result<(), Broken> {
    let place = Place(tempfile::tempdir()?);
    let count = plan.pick(1_000_u64, 100);
    event_loop()?.block_on(async {
        let engine = Engine::new();
        let model = engine.wrap(|inputs: Tensors| answer(number(&inputs)));
        model.name(MODEL).register()?;
        let queue = DurableJobs::open(place.store(), limits()).await?;
        let jobs = engine.use_jobs(Arc::new(queue), JobsOptions::default())?;
        let (mut submissions, mut polls, mut ends) = (Times::default(), Times::default(), Times::default());
        // Not the large ones: what is measured is the queue, not the disk's bandwidth.
        for number in (0..).filter(|number| number % LARGE != 0).take(count as usize) {
            let begin = Instant::now();
            let job = submit(&jobs, number).await?;
            submissions.add(begin.elapsed());
            for _ in 0..10 {
                let begin = Instant::now();
                let status = job.status().await?;
                polls.add(begin.elapsed());
                if status.state.is_final() {
                    break;
                }
            }
            job.wait().await?;
            ends.add(begin.elapsed());
        }
        let begin = Instant::now();
        let mut together = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let (jobs, first) = (jobs.clone(), (1 << 32) + caller * LARGE);
            together.spawn(async move {
                for number in first + 1..first + 1 + count / CALLERS {
                    submit(&jobs, number).await?;
                }
                Ok::<_, Broken>(())
            });
        }
        while let Some(submitted) = together.join_next().await {
            submitted??;
        }
        let rate = (count / CALLERS * CALLERS) as f64 / begin.elapsed().as_secs_f64();
        findings.spread("submit_ms", "a submission, on disk", &submissions);
        findings.rate("submit_rate", "submissions of 64 callers", rate);
        findings.spread("result_ms", "until its result was stored", &ends);
        let polls = findings.spread("poll_ms", "a poll meanwhile", &polls);
        findings.require(polls.p99 < POLL_MAX, || format!("a poll took {:.2?} at p99", polls.p99));
        Ok(())
    })
}
