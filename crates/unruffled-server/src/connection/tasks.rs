//! [`Tasks`]: what a connection of HTTP/2 runs side by side, one task for each of its requests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

/// Spawns the requests of one connection, and owns them: dropped, they end. Cheap to clone.
///
/// They are as many as the connection may have streams.
#[derive(Clone)]
pub(super) struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
    running: watch::Sender<usize>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { set: Arc::default(), running: watch::Sender::new(0) }
    }

    /// Waits until nothing has run for so long.
    pub(super) async fn idle(&self, patience: Duration) {
        let mut running = self.running.subscribe();
        loop {
            // The sender is here, in `self`: it cannot go meanwhile.
            let _ = running.wait_for(|running| *running == 0).await;
            if timeout(patience, running.wait_for(|running| *running > 0)).await.is_err() {
                return;
            }
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        self.running.send_modify(|running| *running += 1);
        let running = Running(self.running.clone());
        let mut set = self.set.lock();
        set.spawn(async move {
            let _running = running;
            request.await;
        });
        while let Some(ended) = set.try_join_next() {
            note(ended);
        }
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request panicked");
    }
}

/// Counts one that runs.
struct Running(watch::Sender<usize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use hyper::rt::Executor as _;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::Tasks;

    #[tokio::test(start_paused = true)]
    async fn is_idle_once_nothing_runs() {
        let tasks = Tasks::new();
        let second = Duration::from_secs(1);
        tasks.idle(second).await;
        let (end, ended) = oneshot::channel::<()>();
        tasks.execute(async {
            let _ = ended.await;
        });
        assert!(timeout(second * 10, tasks.idle(second)).await.is_err());
        drop(end);
        tasks.idle(second).await;
    }

    #[tokio::test]
    async fn what_runs_ends_with_them() {
        let tasks = Tasks::new();
        let (held, dropped) = oneshot::channel::<()>();
        tasks.execute(async {
            let _held = held;
            pending::<()>().await;
        });
        drop(tasks);
        assert!(dropped.await.is_err());
    }
}
