//! `prove fallback`: a primary that is killed costs no answer, and is left alone until it is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use unruffled::Engine;
use unruffled::engine::{Breaker, BreakerOptions, BreakerState, Chain, Link, PoolOptions};
use unruffled::model::{FnModel, Priority, RunContext};

use super::Proof;
use super::kinds::{self, Ask, Script, answer};
use super::models::{work, work_watching};
use super::plan::{Broken, Outcome, Plan, runtime};
use super::report::{Findings, Times};
use super::watched::Watched;

pub(super) const PROOF: Proof = Proof {
    name: "fallback",
    what: "The first model of a chain panics on every row, then a Python worker dies of every row; and both get well again.",
    pass_line: "every request answered, the breaker opens after 5 failures and those in flight, and closes within 5 s",
    run,
};

/// Who asks at the same time.
const CALLERS: usize = 8;

/// Failures before the breaker opens: half of the last calls.
const FAILURES: usize = 5;

/// How long one link may take.
const BUDGET: Duration = Duration::from_millis(100);

/// How long a request may take: that it does is a failure of the proof.
const PATIENCE: Duration = Duration::from_secs(5);

/// Until the breaker has closed again, once the model is well.
const LATEST: Duration = Duration::from_secs(5);

/// What the figures of one subject are called.
struct Names {
    asked: (&'static str, &'static str),
    degraded: (&'static str, &'static str),
    opened: (&'static str, &'static str),
    failures: (&'static str, &'static str),
    closed: (&'static str, &'static str),
    phases: [(&'static str, &'static str); 3],
}

const RUST: Names = Names {
    asked: ("requests", "requests, all answered"),
    degraded: ("degraded", "answered by the second model"),
    opened: ("opened_after_ms", "breaker opened after"),
    failures: ("failures_before_open", "failures before that"),
    closed: ("closed_after_ms", "breaker closed, model well for"),
    phases: [("before_ms", "latency before"), ("during_ms", "latency during"), ("after_ms", "latency after")],
};

const PYTHON: Names = Names {
    asked: ("python_requests", "Python: requests, all answered"),
    degraded: ("python_degraded", "Python: by the second model"),
    opened: ("python_opened_after_ms", "Python: breaker opened after"),
    failures: ("python_failures_before_open", "Python: failures before that"),
    closed: ("python_closed_after_ms", "Python: closed, model well for"),
    phases: [
        ("python_before_ms", "Python: latency before"),
        ("python_during_ms", "Python: latency during"),
        ("python_after_ms", "Python: latency after"),
    ],
};

/// A chain whose first model can be made ill.
struct Subject {
    chain: Chain<f64, f64>,
    breaker: Breaker,
    is_ill: Arc<AtomicBool>,
}

impl Subject {
    fn new(engine: &Engine, primary: Link<f64, f64>, is_ill: Arc<AtomicBool>) -> Result<Self, Broken> {
        let second = |x: f64| {
            work(Duration::from_micros(200));
            2.0 * x
        };
        let second = engine.wrap(second).name("second").instances(2).build()?;
        let options = BreakerOptions::default()
            .with_calls_min(FAILURES)
            .with_window(2 * FAILURES, Duration::from_secs(10))
            .with_open(Duration::from_millis(100), Duration::from_millis(400));
        let breaker = Breaker::new("first", options);
        let primary = primary.budget(BUDGET).breaker(&breaker);
        let chain = engine.fallback(primary).then(&second).build();
        Ok(Self { chain, breaker, is_ill })
    }

    fn failures(&self) -> u64 {
        self.chain.status().links[0].failed
    }
}

/// What the callers of one phase have seen.
#[derive(Default)]
struct Seen {
    times: Times,
    degraded: usize,
    wrong: Vec<String>,
}

fn run(plan: &Plan<'_>) -> Outcome {
    plan.steps(6);
    let mut findings = Findings::default();
    let engine = Engine::new();
    let is_ill = Arc::new(AtomicBool::new(false));
    let ill = Arc::clone(&is_ill);
    let model = FnModel::interruptible(move |x: &f64, ctx: &RunContext<'_>| {
        if ill.load(Ordering::Relaxed) {
            // A panic like any other, but for the report on standard error.
            std::panic::resume_unwind(Box::new("killed by the proof".to_owned()));
        }
        work_watching(Duration::from_millis(1), Duration::from_micros(200), ctx)?;
        Ok(2.0 * x)
    });
    let first = engine.wrap_model(model).name("first").instances(2).build()?;
    let subject = Subject::new(&engine, Link::new(&first), is_ill)?;
    plan.run(runtime()?, async {
        measure(plan, &subject, &RUST, &mut findings).await?;
        Ok(Findings::default())
    })?;

    let (model, _folder) = match kinds::python(plan, Script::Joint) {
        Ok(python) => python,
        Err(why) => {
            findings.leave_out("python", "Python", why);
            return Ok(findings);
        }
    };
    let (python, _door) = Watched::build(&engine, "python", PoolOptions::default(), model)?;
    let is_ill = Arc::new(AtomicBool::new(false));
    let ill = Arc::clone(&is_ill);
    let to = move |x: &f64| match ill.load(Ordering::Relaxed) {
        true => Ask::Die.joint(),
        false => Ask::Double(*x).joint(),
    };
    let link = Link::converting(&python, to, |outputs| answer(&outputs).map_or(f64::NAN, |(y, _)| y));
    let subject = Subject::new(&engine, link, is_ill)?;
    plan.run(runtime()?, async {
        python.infer(Ask::Double(1.0).joint()).await?;
        measure(plan, &subject, &PYTHON, &mut findings).await?;
        Ok(Findings::default())
    })?;
    Ok(findings)
}

async fn measure(
    plan: &Plan<'_>,
    subject: &Subject,
    names: &Names,
    findings: &mut Findings,
) -> Result<(), Broken> {
    let phase = Duration::from_millis(plan.pick(1_500, 400));
    let before = phase_of(subject, phase, || true).await?;
    plan.step();

    let failed_before = subject.failures();
    subject.is_ill.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    let watch = tokio::spawn(until(subject.breaker.clone(), BreakerState::Open, begin));
    let failures = tokio::spawn({
        let (chain, breaker) = (subject.chain.clone(), subject.breaker.clone());
        async move {
            until(breaker, BreakerState::Open, begin).await;
            chain.status().links[0].failed
        }
    });
    let during = phase_of(subject, phase, || subject.breaker.status().opened > 0).await?;
    let opened = watch.await?;
    let failures = failures.await?.saturating_sub(failed_before);
    plan.step();

    subject.is_ill.store(false, Ordering::Relaxed);
    let begin = Instant::now();
    let watch = tokio::spawn(until(subject.breaker.clone(), BreakerState::Closed, begin));
    let closed = || subject.breaker.status().state == BreakerState::Closed;
    let after = phase_of(subject, phase, closed).await?;
    let closed = watch.await?;
    // The last phase begins while it is still open: those who are answered by the first again are looked at.
    let well = phase_of(subject, phase, || true).await?;
    plan.step();

    let all = [&before, &during, &after, &well];
    let asked: usize = all.iter().map(|seen| seen.times.len() + seen.wrong.len()).sum();
    let wrong: Vec<_> = all.iter().flat_map(|seen| &seen.wrong).collect();
    findings.count(names.asked.0, names.asked.1, asked);
    findings.count(names.degraded.0, names.degraded.1, during.degraded + after.degraded);
    findings.time(names.opened.0, names.opened.1, opened);
    findings.count(names.failures.0, names.failures.1, failures);
    findings.time(names.closed.0, names.closed.1, closed);
    for ((key, label), seen) in names.phases.iter().zip([&before, &during, &well]) {
        findings.spread(key, label, &seen.times);
    }
    findings.require(wrong.is_empty(), || format!("{} without a right answer: {}", wrong.len(), wrong[0]));
    findings
        .require(before.degraded == 0, || format!("{} degraded before anything was wrong", before.degraded));
    findings.require(during.degraded > 0, || "nobody was answered by the second model".to_owned());
    let most = (FAILURES + CALLERS) as u64;
    findings.require(failures <= most, || format!("{failures} failures before the breaker opened"));
    findings.require(closed <= LATEST, || format!("closed only after {closed:.1?}"));
    findings.require(well.degraded == 0, || format!("{} degraded though the model is well", well.degraded));
    Ok(())
}

/// Has all callers ask for so long, and until this has come about.
async fn phase_of(subject: &Subject, length: Duration, is_over: impl Fn() -> bool) -> Result<Seen, Broken> {
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (chain, stop) = (subject.chain.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut seen = Seen::default();
                let mut number = caller as f64;
                while !stop.load(Ordering::Relaxed) {
                    number += CALLERS as f64;
                    let begin = Instant::now();
                    let request = chain.infer(number).timeout(PATIENCE).priority(Priority::Normal);
                    match request.await {
                        Ok(response) if response.output == 2.0 * number => {
                            seen.times.add(begin.elapsed());
                            seen.degraded += usize::from(response.is_degraded());
                        }
                        Ok(response) => seen.wrong.push(format!("{number} gave {}", response.output)),
                        Err(error) => seen.wrong.push(error.to_string()),
                    }
                    // As callers do that have something else to do, too.
                    tokio::time::sleep(Duration::from_millis(4)).await;
                }
                seen
            })
        })
        .collect();
    let begin = Instant::now();
    while begin.elapsed() < length || (!is_over() && begin.elapsed() < length + 2 * LATEST) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    for caller in callers {
        let seen = caller.await?;
        all.times.extend(&seen.times);
        all.degraded += seen.degraded;
        all.wrong.extend(seen.wrong);
    }
    Ok(all)
}

/// How long after `begin` a breaker is in this state, looked at every half millisecond.
async fn until(breaker: Breaker, state: BreakerState, begin: Instant) -> Duration {
    while breaker.status().state != state && begin.elapsed() < 4 * LATEST {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    begin.elapsed()
}
