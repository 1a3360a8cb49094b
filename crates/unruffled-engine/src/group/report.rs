//! [`Report`]: every outcome of a group that was run to its end.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::request::Response;

/// So many failures are displayed one by one.
const DISPLAYED: usize = 20;

/// The outcome of every request of a group, in the order in which they were added.
#[derive(Debug)]
#[must_use = "failures are in the report, and nowhere else"]
pub struct Report<O>(Vec<Result<Response<O>, Error>>);

impl<O> Report<O> {
    pub(super) fn new(outcomes: Vec<Result<Response<O>, Error>>) -> Self {
        Self(outcomes)
    }

    /// Every outcome.
    pub fn outcomes(&self) -> &[Result<Response<O>, Error>] {
        &self.0
    }

    /// Every outcome, to be kept.
    pub fn into_outcomes(self) -> Vec<Result<Response<O>, Error>> {
        self.0
    }

    /// Those that failed: which, counted from 0, and why.
    pub fn failures(&self) -> impl Iterator<Item = (usize, &Error)> {
        self.0.iter().enumerate().filter_map(|(at, outcome)| Some((at, outcome.as_ref().err()?)))
    }

    /// Whether none failed.
    pub fn is_complete(&self) -> bool {
        self.0.iter().all(Result::is_ok)
    }

    /// All results, if none failed.
    ///
    /// # Errors
    ///
    /// All failures, and the results of the others.
    pub fn into_result(self) -> Result<Vec<Response<O>>, GroupError<O>> {
        let (mut finished, mut failures) = (Vec::with_capacity(self.0.len()), Vec::new());
        for (at, outcome) in self.0.into_iter().enumerate() {
            match outcome {
                Ok(response) => finished.push((at, response)),
                Err(error) => failures.push((at, error)),
            }
        }
        if failures.is_empty() {
            return Ok(finished.into_iter().map(|(_, response)| response).collect());
        }
        Err(GroupError { failures, finished })
    }
}

/// Why a group is not complete: all of its failures. Keeps the results of the others.
///
/// Displayed, it counts the failures by kind and then tells the first of them one by one.
pub struct GroupError<O> {
    failures: Vec<(usize, Error)>,
    finished: Vec<(usize, Response<O>)>,
}

impl<O> GroupError<O> {
    /// Which failed, counted from 0, and why: at least one, in the order of the group.
    pub fn failures(&self) -> &[(usize, Error)] {
        &self.failures
    }

    /// The results that there are, with their places.
    pub fn finished(&self) -> &[(usize, Response<O>)] {
        &self.finished
    }

    /// The results that there are, to be kept.
    pub fn into_finished(self) -> Vec<(usize, Response<O>)> {
        self.finished
    }
}

impl<O> fmt::Display for GroupError<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures.len();
        write!(f, "{failed} of {} requests failed: ", failed + self.finished.len())?;
        let kinds = ErrorKind::ALL.iter().filter_map(|kind| {
            let count = self.failures.iter().filter(|(_, error)| error.kind() == *kind).count();
            (count > 0).then(|| format!("{count} {}", kind.code()))
        });
        f.write_str(&kinds.collect::<Vec<_>>().join(", "))?;
        for (at, error) in self.failures.iter().take(DISPLAYED) {
            write!(f, "\n  request {at}: {error}")?;
        }
        match failed.saturating_sub(DISPLAYED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl<O> fmt::Debug for GroupError<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupError")
            .field("failures", &self.failures)
            .field("finished", &self.finished.len())
            .finish()
    }
}

impl<O> std::error::Error for GroupError<O> {
    /// The first failure.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failures.first().map(|(_, error)| error as _)
    }
}
