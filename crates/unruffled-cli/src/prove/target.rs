//! [`Target`]: a server that is tried instead of one of our own.

use std::path::PathBuf;

/// A server that was named on the command line.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Where it is.
    pub(super) url: String,
    /// The model to ask.
    pub(super) model: String,
    /// The request to send it, if one was named: a file of JSON.
    pub(super) request: Option<PathBuf>,
}
