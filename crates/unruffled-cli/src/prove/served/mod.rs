//! A server under proof: this program's own, in a process of its own, or one that is named.

mod client;
mod process;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub(super) use self::client::{Client, Reply};
pub(super) use self::process::ServerProcess;

use super::plan::{Broken, Plan};
use super::weights::deep;

/// A model on a server.
pub(super) struct Served {
    pub(super) client: Client,
    /// The server's own process, if it is ours.
    pub(super) process: Option<ServerProcess>,
}

/// What a run of the model that is served here costs alone, about.
const RUN: Duration = Duration::from_millis(20);

/// The operators of the model by which others are measured.
const PROBE: usize = 100;

impl Served {
    /// The server that was named, or else one of our own with a model of about 20 ms.
    pub(super) async fn find(plan: &Plan<'_>) -> Result<Self, Broken> {
        match plan.target() {
            Some(target) => {
                let client = Client::new(&target.url, &target.model, target.request.as_deref()).await?;
                Ok(Self { client, process: None })
            }
            None => Self::own().await,
        }
    }

    /// A server of our own, with a model of about 20 ms.
    pub(super) async fn own() -> Result<Self, Broken> {
        let process = ServerProcess::start(&[("model", deep(PROBE))])?;
        let client = Client::new(&process.url, "model", None).await?;
        let probe = alone(&client, 10).await?;
        drop((client, process));
        let operators = (PROBE as f64 * RUN.as_secs_f64() / probe.as_secs_f64()).ceil() as usize;
        let process = ServerProcess::start(&[("model", deep(operators.clamp(1, 100_000)))])?;
        let client = Client::new(&process.url, "model", None).await?;
        Ok(Self { client, process: Some(process) })
    }
}

/// How long the model takes to answer one caller who asks alone: the median of so many times.
pub(super) async fn alone(client: &Client, times: usize) -> Result<Duration, Broken> {
    let mut all = Vec::with_capacity(times);
    for _ in 0..times {
        let begin = Instant::now();
        client.ask().await?.success()?;
        all.push(begin.elapsed());
    }
    all.sort_unstable();
    all.get(times / 2).copied().ok_or_else(|| Broken::new("nothing was measured"))
}

/// How many answers a second callers get who ask again as soon as they are answered.
pub(super) async fn capacity(client: &Client, callers: usize, length: Duration) -> Result<f64, Broken> {
    let begin = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..callers {
        let client = client.clone();
        asking.spawn(async move {
            let mut answers = 0_u32;
            while begin.elapsed() < length {
                client.ask().await?.success()?;
                answers += 1;
            }
            Ok::<_, Broken>(answers)
        });
    }
    let mut answers = 0;
    while let Some(one) = asking.join_next().await {
        answers += one??;
    }
    Ok(f64::from(answers) / begin.elapsed().as_secs_f64())
}
