//! [`Offload`]: takes work that grows with the size of a message off the event loop.

use std::sync::Arc;
use std::thread::available_parallelism;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use crate::refusal::Refusal;

/// Runs small work in place and large work on blocking threads, as many at a time as there are cores.
///
/// Those who wait for a thread are requests in flight, which are bounded.
#[derive(Clone)]
pub(crate) struct Offload {
    slots: Arc<Semaphore>,
    inline_bytes: usize,
}

impl Offload {
    pub(crate) fn new(inline_bytes: usize) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { slots: Arc::new(Semaphore::new(cores)), inline_bytes }
    }

    /// Runs `work`, which deals with a message of so many bytes.
    ///
    /// Dropped before its end, work that has begun goes on; its slot, and what it owns, are kept until then.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if bytes <= self.inline_bytes {
            return Ok(work());
        }
        let slots = Arc::clone(&self.slots);
        let slot = slots.acquire_owned().await.expect("nobody closes it");
        let work = move || {
            let _slot = slot;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "a message could not be converted");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to convert the message")
        })
    }
}
