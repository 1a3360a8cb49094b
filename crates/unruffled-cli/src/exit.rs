//! How the program ends: [`Exit`] codes for scripts, [`Failure`] with words for people.

use std::process::ExitCode;

use unruffled::engine::{self, ErrorKind as EngineErrorKind};
use unruffled::{Error, ErrorKind};

use crate::terminal::{BAD, HINT};

/// What the exit codes mean, for `--help`.
pub(crate) const CODES: &str = "    0  it worked
    1  the model failed, or something unforeseen did
    2  the command line was not understood
    3  the model was not found, or could not be loaded
    4  an input was not one that the model takes
    5  no answer in time, or too much to do: try again
    6  the server could not be reached, or the address not be had
    7  a promise was not kept: `unruffled prove`
  130  interrupted";

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    Model = 3,
    Input = 4,
    Busy = 5,
    Network = 6,
    Unproven = 7,
    Interrupted = 130,
}

/// Why the program ends without having done what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// Adds a line that says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A model could not be found or loaded.
    pub(crate) fn loading(error: impl Into<Error>) -> Self {
        let error = error.into();
        let exit = match error.kind() {
            ErrorKind::Engine(EngineErrorKind::ShuttingDown | EngineErrorKind::Cancelled) => {
                Exit::Interrupted
            }
            _ => Exit::Model,
        };
        Self::new(exit, error.to_string())
    }

    /// Inputs could not be read, or the model did not answer.
    pub(crate) fn asking(error: impl Into<Error>) -> Self {
        let error = error.into();
        let exit = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::Unreadable => Exit::Input,
            ErrorKind::Engine(kind) => exit_of(kind),
            _ => Exit::Model,
        };
        Self::new(exit, error.to_string())
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn print(&self) -> ExitCode {
        anstream::eprintln!("{BAD}error{BAD:#}: {}", self.message);
        if let Some(hint) = &self.hint {
            anstream::eprintln!("{HINT}try{HINT:#}: {hint}");
        }
        ExitCode::from(self.exit as u8)
    }
}

/// Which code each way of ending without a result has.
pub(crate) fn exit_of(kind: engine::ErrorKind) -> Exit {
    match kind {
        EngineErrorKind::InvalidInput => Exit::Input,
        EngineErrorKind::NotFound | EngineErrorKind::NotReady => Exit::Model,
        EngineErrorKind::Overloaded | EngineErrorKind::DeadlineExceeded => Exit::Busy,
        EngineErrorKind::Cancelled => Exit::Interrupted,
        _ => Exit::Failed,
    }
}
