//! What a caller says about a request, and what comes back with its result.

use std::ops::Deref;
use std::time::Duration;

use unruffled_model::{Name, Provenance, RequestContext, RequestId};

/// What a request asks for besides its input.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestOptions {
    /// All but the name, which may be left to the engine.
    pub(crate) context: Option<RequestContext>,
    pub(crate) named: bool,
    pub(crate) supersede: Option<Name>,
    /// Which version of the model is to answer, if it matters.
    pub(crate) version: Option<Name>,
    /// Whether it comes again when the queue is full, which is no refusal then.
    pub(crate) patient: bool,
    /// Whether it is sent on a thread that is not its caller's, where no model must run.
    pub(crate) elsewhere: bool,
}

impl RequestOptions {
    /// The context, to be changed.
    pub(crate) fn edit(&mut self, change: impl FnOnce(RequestContext) -> RequestContext) {
        let context = self.context.take().unwrap_or_else(|| RequestContext::new(RequestId::Number(0)));
        self.context = Some(change(context));
    }
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
    /// Where the output comes from, if not simply from a run of the model that was asked.
    pub provenance: Option<Box<Provenance>>,
}

impl<O> Response<O> {
    /// Whether the output is not what was asked for but what could be had instead; [`provenance`](Self::provenance) says
    /// from whom, and why.
    pub fn is_degraded(&self) -> bool {
        self.provenance.as_ref().is_some_and(|provenance| provenance.degraded.is_some())
    }
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
    /// How many runs it took: more than one if it gave way to something more urgent, or a neighbour failed.
    pub attempts: u32,
}
