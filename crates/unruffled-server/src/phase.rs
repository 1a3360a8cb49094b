//! [`Phase`]: how far the server is on its way to its end, as its parts are told.

use std::future::pending;

use tokio::sync::watch;

/// What the server does as a whole; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Takes connections and requests.
    Serving,
    /// Takes no connections; requests in flight finish.
    Draining,
    /// Answers what is left with an error.
    Closing,
}

/// Waits until the server has come this far; for ever if there is no server that could, as where a router is embedded.
pub(crate) async fn reached(phase: &mut watch::Receiver<Phase>, goal: Phase) {
    if phase.wait_for(|phase| *phase >= goal).await.is_err() {
        pending::<()>().await;
    }
}
