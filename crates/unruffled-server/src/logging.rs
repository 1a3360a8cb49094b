//! [`Logging`]: what is logged, as far as operators may change it while the server runs.

/// Whoever writes the log, for the logging extension of the protocol. Called on the event loop: it must not block.
pub trait Logging: Send + Sync + 'static {
    /// What is logged now.
    fn settings(&self) -> LogSettings;

    /// Changes what is logged, from the next line on.
    ///
    /// # Errors
    ///
    /// What cannot be set so, and why.
    fn set(&self, settings: LogSettings) -> Result<(), String>;
}

/// Which kinds of lines the log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// What has failed.
    pub error: bool,
    /// What should be looked at.
    pub warning: bool,
    /// What has happened.
    pub info: bool,
    /// Details: none at 0, of each request at 1, all above.
    pub verbose: u32,
}
