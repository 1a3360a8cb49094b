//! [`FailedGroup`]: what there is when one of a group has failed and the others were stopped.

use std::fmt;

use super::scope::StoppedScope;
use crate::error::Error;
use crate::request::Response;

/// Why a group was stopped: its first failure. Keeps the results that there were by then.
pub struct FailedGroup<O> {
    index: usize,
    error: Error,
    also_failed: Vec<(usize, Error)>,
    finished: Vec<(usize, Response<O>)>,
    cancelled: Vec<usize>,
}

impl<O> FailedGroup<O> {
    /// `results` are those from before the failure.
    pub(super) fn new(
        index: usize,
        error: Error,
        results: Vec<Option<Response<O>>>,
        stopped: StoppedScope<O>,
    ) -> Self {
        let results = results.into_iter().enumerate();
        let mut finished: Vec<_> = results.filter_map(|(at, result)| Some((at, result?))).collect();
        let mut also_failed = Vec::new();
        for (at, outcome) in stopped.answered {
            match outcome {
                Ok(response) => finished.push((at, response)),
                Err(error) => also_failed.push((at, error)),
            }
        }
        finished.sort_unstable_by_key(|(at, _)| *at);
        also_failed.sort_unstable_by_key(|(at, _)| *at);
        Self { index, error, also_failed, finished, cancelled: stopped.cancelled }
    }

    /// Which request failed first, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Why it failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Others that had failed by themselves when the group was stopped.
    pub fn also_failed(&self) -> &[(usize, Error)] {
        &self.also_failed
    }

    /// The results that there were by then, with their places, in the order of the group.
    pub fn finished(&self) -> &[(usize, Response<O>)] {
        &self.finished
    }

    /// The results that there were by then, to be kept.
    pub fn into_finished(self) -> Vec<(usize, Response<O>)> {
        self.finished
    }

    /// Which were cancelled, running, waiting or not yet sent.
    pub fn cancelled(&self) -> &[usize] {
        &self.cancelled
    }
}

impl<O> fmt::Display for FailedGroup<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, error, also_failed, finished, cancelled } = self;
        write!(f, "request {index} failed: {error} ({} had finished", finished.len())?;
        if !also_failed.is_empty() {
            write!(f, ", {} failed as well", also_failed.len())?;
        }
        write!(f, ", {} were cancelled)", cancelled.len())
    }
}

impl<O> fmt::Debug for FailedGroup<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedGroup")
            .field("index", &self.index)
            .field("error", &self.error)
            .field("also_failed", &self.also_failed)
            .field("finished", &self.finished.len())
            .field("cancelled", &self.cancelled)
            .finish()
    }
}

impl<O> std::error::Error for FailedGroup<O> {
    /// The first failure.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
