//! What a caller says about a request, and what comes back with its result.

use std::ops::Deref;
use std::time::{Duration, Instant};

use unruffled_model::RequestId;

/// Who goes first when work waits. Within a class the earliest deadline goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody looks at the screen and waits.
    Interactive,
    /// The usual.
    #[default]
    Normal,
    /// Whenever nothing else waits.
    Bulk,
}

impl Priority {
    /// How many classes there are.
    pub(crate) const COUNT: usize = 3;
}

/// What a request asks for besides its input.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestOptions {
    pub(crate) priority: Priority,
    pub(crate) deadline: Option<Instant>,
    pub(crate) id: Option<RequestId>,
}

/// A result, and how it came about. Dereferences to the output.
#[derive(Clone, Debug)]
pub struct Response<O> {
    /// What the model gave.
    pub output: O,
    /// The name of the request.
    pub id: RequestId,
    /// Where the time went.
    pub timings: Timings,
}

impl<O> Deref for Response<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.output
    }
}

/// Where the time of one request went, and in which company it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// From arrival until an instance took it.
    pub queue: Duration,
    /// The run that it was part of, gathering and scattering included.
    pub run: Duration,
    /// How many requests shared that run.
    pub batch_requests: usize,
    /// How many rows these had together.
    pub batch_rows: usize,
    /// Which instance of the model ran it, counted from 0.
    pub instance: usize,
}
