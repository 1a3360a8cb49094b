//! [`Way`]: one way to run a model, a round at a time.

use std::time::Duration;

use anyhow::Result;

/// One way to run a model with inputs that are given beforehand.
pub(crate) trait Way {
    /// Runs for about so long.
    ///
    /// # Errors
    ///
    /// If the model does not answer.
    fn round(&mut self, length: Duration) -> Result<Round>;
}

/// What a round gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) rows_per_second: f64,
    /// The median time of a call.
    pub(crate) p50: Duration,
}
