//! `prove disconnect`: clients that go take their work with them.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Proof;
use super::plan::{Outcome, Plan};
use super::report::{Findings, Times};
use super::served::{Served, alone};

pub(super) const PROOF: Proof = Proof {
    name: "disconnect",
    what: "Two hundred clients ask a server and close their connections; then one asks who waits.",
    pass_line: "that one is answered within three runs and 100 ms: nothing is computed for those who have gone",
    run,
};

const CLIENTS: usize = 200;

/// How long they wait before they go.
const BEFORE: Duration = Duration::from_millis(100);

const SLACK: Duration = Duration::from_millis(100);

fn run(plan: &Plan<'_>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    plan.run(runtime, async { measure(plan).await })
}

async fn measure(plan: &Plan<'_>) -> Outcome {
    let rounds = plan.pick(10, 2);
    plan.steps(rounds);
    let served = Served::find(plan).await?;
    // What was learned of clients that went does not concern who says how long they wait.
    let client = &served.client.clone().saying(60);
    let single = alone(client, 20).await?;
    let (mut next, mut gone, mut answered) = (Times::default(), 0, 0);
    for _ in 0..rounds {
        let mut asking = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = client.clone();
            asking.spawn(async move { client.ask().await });
        }
        tokio::time::sleep(BEFORE).await;
        while asking.try_join_next().is_some() {
            answered += 1;
        }
        gone += asking.len();
        // Each connection that waits is closed.
        asking.shutdown().await;
        let begin = Instant::now();
        client.ask().await?.success()?;
        next.add(begin.elapsed());
        plan.step();
    }
    let mut findings = Findings::default();
    findings.time("alone_ms", "one caller alone", single);
    findings.count("gone", "clients that went", gone);
    findings.count("answered", "answered before they went", answered);
    let next = findings.spread("next_ms", "the next one was answered", &next);
    let most = 3 * single + SLACK;
    findings.require(next.max <= most, || format!("the next one waited {:?}, more than {most:?}", next.max));
    findings.require(gone > 0, || "no client went before it was answered".into());
    Ok(findings)
}
