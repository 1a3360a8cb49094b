//! [`Opening`]: the queue of the app's jobs, on its way.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use unruffled::engine::job::{JobFilter, JobLimits};
use unruffled::{DurableJobs, Engine, JobState, Jobs, JobsOptions};

use crate::error::Error;
use crate::shelf::Shelf;

/// The jobs of the app, once their queue is open. All who wait share it; cheap to clone.
pub(crate) type Opening = Shared<BoxFuture<'static, Result<Jobs, Error>>>;

/// Jobs that end with the app.
pub(crate) fn in_memory(engine: &Engine) -> Opening {
    let engine = engine.clone();
    async move { Ok(engine.jobs()) }.boxed().shared()
}

/// Jobs that are kept in this folder, and go on from there: whatever waits has its model loaded.
pub(crate) fn durable(engine: &Engine, shelf: &Shelf, folder: PathBuf) -> Opening {
    let (engine, shelf) = (engine.clone(), shelf.clone());
    let opening = async move {
        let queue = DurableJobs::open(&folder, JobLimits::default()).await?;
        Ok(engine.use_jobs(Arc::new(queue), JobsOptions::default())?)
    };
    let opening = opening.boxed().shared();
    let opened = opening.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(error) = go_on(opened, &shelf).await {
            tracing::error!("the jobs of the app cannot go on: {error}");
        }
    });
    opening
}

async fn go_on(opening: Opening, shelf: &Shelf) -> Result<(), Error> {
    let waiting = opening.await?.list(JobFilter::default().with_state(JobState::Queued)).await?;
    let models: BTreeSet<_> = waiting.into_iter().map(|job| job.model).collect();
    for model in models {
        shelf.want(&model).await;
    }
    Ok(())
}
