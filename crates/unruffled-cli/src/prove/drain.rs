//! `prove drain`: a server that is told to end answers those whom it has let in.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Proof;
use super::plan::{Broken, Outcome, Plan};
use super::report::{Findings, Times};
use super::served::{Served, alone};

pub(super) const PROOF: Proof = Proof {
    name: "drain",
    what: "A server is told to end (SIGTERM) while requests wait and run in it.",
    pass_line: "every request that it had is answered, none is taken any more, and it ends by itself, with success",
    run,
};

const CLIENTS: usize = 24;

/// How long after the last answer it may take to be gone.
const END: Duration = Duration::from_secs(5);

fn run(plan: &Plan<'_>) -> Outcome {
    if plan.target().is_some() {
        let why = "only a server of our own is told to end; leave --url out";
        return Ok(Findings::left_out("ended", "servers ended", why.into()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    plan.run(runtime, async { measure(plan).await })
}

async fn measure(plan: &Plan<'_>) -> Outcome {
    let rounds = plan.pick(5, 1);
    plan.steps(rounds);
    let (mut answers, mut took) = (Times::default(), Times::default());
    let mut findings = Findings::default();
    for _ in 0..rounds {
        let mut served = Served::own().await?;
        let single = alone(&served.client, 5).await?;
        let mut asking = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = served.client.clone();
            asking.spawn(async move {
                let begin = Instant::now();
                client.ask().await?.success()?;
                Ok::<_, Broken>(begin.elapsed())
            });
        }
        // All are there, and the first of them run.
        tokio::time::sleep(single).await;
        let process = served.process.as_mut().ok_or_else(|| Broken::new("the server is not ours"))?;
        let begin = Instant::now();
        process.terminate()?;
        while let Some(answer) = asking.join_next().await {
            match answer? {
                Ok(time) => answers.add(time),
                Err(broken) => findings.require(false, || format!("not answered: {}", broken.into_text())),
            }
        }
        let ended = process.ended(END)?;
        took.add(begin.elapsed());
        findings.require(ended.is_some_and(|status| status.success()), || format!("it ended with {ended:?}"));
        findings.require(served.client.get("/v2/health/live").await.is_err(), || "it still answers".into());
        plan.step();
    }
    findings.count("ended", "servers ended", rounds);
    findings.spread("answered_ms", "answered meanwhile", &answers);
    findings.spread("ended_ms", "gone after", &took);
    let all = CLIENTS * rounds;
    findings.require(answers.len() == all, || format!("{} of {all} requests were answered", answers.len()));
    Ok(findings)
}
