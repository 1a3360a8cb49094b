//! [`ask`]: the middle of every front: a request that is decoded becomes an answer that is not encoded yet.

use std::sync::Arc;
use std::time::Instant;

use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use unruffled_engine::{Error, ErrorKind, Outputs, Request, Timings};
use unruffled_model::{Batching, Name, Provenance, Signature, Tensors};
use unruffled_protocol::classify::classify;
use unruffled_protocol::{Form, InferRequest, Parameters, RequestedOutput, outputs};

use crate::patience::Patience;
use crate::refusal::Refusal;
use crate::service::{Found, Service};
use crate::sessions::Step;
use crate::terms::Terms;

/// As long as no more than these wait, a client that goes says nothing about the load.
const FEW: usize = 8;

/// What the terms and the name of a request say of one that is about to be sent.
macro_rules! refined {
    ($asked:expr, $found:expr, $terms:expr, $id:expr) => {{
        let mut asked = $asked.priority($terms.priority);
        if let Some(caller) = $found.identity.caller() {
            asked = asked.caller(caller);
        }
        if let Some(trace) = &$terms.trace {
            asked = asked.trace(trace.clone());
        }
        if let Some(deadline) = $terms.deadline {
            asked = asked.deadline(deadline);
        }
        if let Some(id) = $id.as_deref().filter(|id| !id.is_empty()) {
            asked = asked.id(id);
        }
        asked
    }};
}

/// What a model says to a request.
pub(crate) struct Answered {
    /// The version that is told, if the model has versions.
    pub(crate) version: Option<Name>,
    /// As the request gave it.
    pub(crate) id: Option<String>,
    /// The outputs that were asked for, in the order asked.
    pub(crate) outputs: Tensors,
    /// In which form each of them is wanted.
    pub(crate) forms: Vec<Form>,
    /// Where the outputs come from, if not simply from a run of the model.
    pub(crate) parameters: Parameters,
    /// Where the time went, if there was a run and it has ended.
    pub(crate) timings: Option<Timings>,
    /// Whether it is known that there is no further answer.
    pub(crate) is_last: bool,
}

/// Asks a model. Dropped before its end, the request is cancelled, queued or running.
pub(crate) async fn ask(
    service: &Service,
    found: &Found,
    request: InferRequest,
    terms: &Terms,
) -> Result<Answered, Refusal> {
    check(found, &request)?;
    let step = Step::of(&request.parameters)?;
    let (wanted, inputs) = Wanted::of(request, step.is_some());
    let session = match &step {
        Some(step) => {
            let name = found.identity.owned(&step.id);
            Some((service.sessions().find(&found.handle, step, &name)?, step.ends))
        }
        None => None,
    };
    // From here on nothing but the client's going ends it before there is an outcome.
    let waiting = Waiting::new(service, found, terms);
    let terms = &waiting.terms();
    let answer = match session {
        None => {
            let mut asked = refined!(found.handle.infer(inputs), found, terms, wanted.id);
            if let Some(key) = &terms.supersede {
                asked = asked.supersede(found.identity.owned(key));
            }
            if let Some(version) = &found.asked {
                asked = asked.version(version.clone());
            }
            asked.await
        }
        Some((session, ends)) => {
            let answer = refined!(session.infer(inputs), found, terms, wanted.id).await;
            if ends {
                session.end();
            }
            answer
        }
    };
    let answer = waiting.over(answer)?;
    let answered = wanted.answered(service, found, answer.output, answer.provenance.as_deref())?;
    Ok(Answered { timings: Some(answer.timings), ..answered })
}

/// A request that waits for its answer: whether its client gives up is learned from.
struct Waiting<'a> {
    found: &'a Found,
    terms: &'a Terms,
    patience: Arc<Patience>,
    /// By when it is to be answered, if its client is like those who gave up.
    learned: Option<Instant>,
    is_over: bool,
}

impl<'a> Waiting<'a> {
    fn new(service: &Service, found: &'a Found, terms: &'a Terms) -> Self {
        let patience = service.patience(found.handle.name());
        let learned = match terms.deadline {
            Some(_) => None,
            None => patience.bound(Instant::now()).and_then(|bound| terms.arrived.checked_add(bound)),
        };
        Self { found, terms, patience, learned, is_over: false }
    }

    /// The terms, with what is learned of those who do not say how long they wait.
    fn terms(&self) -> Terms {
        Terms { deadline: self.terms.deadline.or(self.learned), ..self.terms.clone() }
    }

    fn over<T>(mut self, outcome: Result<T, Error>) -> Result<T, Refusal> {
        self.is_over = true;
        outcome.map_err(|error| match error.kind() {
            // The client has set no deadline: it is told that there is too much to do.
            ErrorKind::DeadlineExceeded if self.learned.is_some() => {
                self.patience.turned_away(Instant::now());
                let model = self.found.handle.name();
                Refusal::overloaded(format!(
                    "model `{model}` has more to do than its clients wait for; try again later, or say with `timeout` how \
                     long you wait"
                ))
            }
            _ => error.into(),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // One of few says nothing: people change their minds. A full batch is no measure: of a slow model, those who wait are
        // fewer than that when they begin to go.
        let waiting = self.found.handle.status().queued;
        if waiting > self.found.handle.options().max_batch().min(FEW) {
            let now = Instant::now();
            self.patience.gave_up(now.saturating_duration_since(self.terms.arrived), now);
        }
    }
}

/// Whether a request has one answer for sure: a model that gains from batches gives no more, and would not share them if
/// it were asked for more; and a step of a sequence leaves one state.
pub(crate) fn has_one_answer(found: &Found, request: &InferRequest) -> Result<bool, Refusal> {
    Ok(found.handle.info().batching == Batching::Joint || Step::of(&request.parameters)?.is_some())
}

/// Asks a model for all that it gives, as it comes. The request runs alone, and is sent now; it is cancelled when the stream
/// is dropped.
pub(crate) fn ask_each(
    service: Service,
    found: Found,
    request: InferRequest,
    terms: &Terms,
) -> Result<impl Stream<Item = Result<Answered, Refusal>> + Send + use<>, Refusal> {
    check(&found, &request)?;
    let (wanted, inputs) = Wanted::of(request, false);
    let mut asked = refined!(found.handle.infer(inputs), found, terms, wanted.id);
    if let Some(key) = &terms.supersede {
        asked = asked.supersede(found.identity.owned(key));
    }
    if let Some(version) = &found.asked {
        asked = asked.version(version.clone());
    }
    let outputs = asked.outputs();
    let each = Each { service, found, wanted, outputs, ahead: Ahead::Unknown };
    Ok(stream::unfold(each, async |mut each| Some((each.next().await?, each))))
}

/// The answers to a request that may have several.
struct Each {
    service: Service,
    found: Found,
    wanted: Wanted,
    outputs: Outputs<Tensors, Tensors>,
    ahead: Ahead,
}

/// What is known of the output after the one that was given last.
enum Ahead {
    Unknown,
    Known(Option<Result<Tensors, Error>>),
}

impl Each {
    async fn next(&mut self) -> Option<Result<Answered, Refusal>> {
        let (output, wanted) = loop {
            let output = match std::mem::replace(&mut self.ahead, Ahead::Unknown) {
                Ahead::Known(output) => output?,
                Ahead::Unknown => self.outputs.next().await?,
            };
            let output = match output {
                Ok(output) => output,
                Err(error) => return Some(Err(error.into())),
            };
            if let Some(wanted) = self.wanted.of_part(&output, &self.found.handle.info().signature) {
                break (output, wanted);
            }
        };
        // Most models give one output, and are known to have ended when it is here.
        self.ahead = self.outputs.next().now_or_never().map_or(Ahead::Unknown, Ahead::Known);
        let provenance = self.outputs.provenance();
        let answered = wanted.answered(&self.service, &self.found, output, provenance);
        let (timings, is_last) = (self.outputs.timings(), matches!(self.ahead, Ahead::Known(None)));
        Some(answered.map(|answered| Answered { timings, is_last, ..answered }))
    }
}

/// Checks whether they may ask, and what is asked for, as far as the model is known: one that was never in memory is not, and
/// a function of tensors does not say what it gives.
fn check(found: &Found, request: &InferRequest) -> Result<(), Refusal> {
    found.identity.may_infer(found.handle.name())?;
    match found.handle.known_info().filter(|info| !info.signature.outputs.is_empty()) {
        Some(info) => Ok(outputs::check(&request.outputs, &info.signature)?),
        None => Ok(()),
    }
}

/// What is wanted of an answer.
#[derive(Clone)]
pub(crate) struct Wanted {
    id: Option<String>,
    parameters: Parameters,
    outputs: Vec<RequestedOutput>,
    in_sequence: bool,
}

impl Wanted {
    pub(crate) fn of(request: InferRequest, in_sequence: bool) -> (Self, Tensors) {
        let InferRequest { id, parameters, inputs, outputs } = request;
        (Self { id, parameters, outputs, in_sequence }, inputs)
    }

    /// What is wanted of one of several outputs: some tensors come with each of them, others with the last. None if nothing
    /// is that it has.
    fn of_part(&self, part: &Tensors, signature: &Signature) -> Option<Self> {
        let has = |name: &Name| part.get(name).is_some();
        let is_known = signature.outputs.iter().any(|spec| has(&spec.name));
        if !is_known {
            // What it lacks is told in the usual words.
            return Some(self.clone());
        }
        let mut outputs = self.outputs.clone();
        if outputs.is_empty() {
            let all = signature.outputs.iter().map(|spec| spec.name.clone());
            outputs.extend(all.map(|name| RequestedOutput { name, parameters: Parameters::new() }));
        }
        outputs.retain(|output| has(&output.name));
        (!outputs.is_empty()).then(|| Self { outputs, ..self.clone() })
    }

    pub(crate) fn answered(
        &self,
        service: &Service,
        found: &Found,
        output: Tensors,
        provenance: Option<&Provenance>,
    ) -> Result<Answered, Refusal> {
        let Self { id, parameters: asked, outputs: wanted, in_sequence } = self;
        let info = found.handle.info();
        let signature = &info.signature;
        // A function of tensors does not say what it gives, and a session keeps the outputs that are its state: then
        // everything that there is is wanted.
        let all = signature.outputs.is_empty() || *in_sequence;
        let picks = !(all && wanted.is_empty());
        if picks {
            outputs::check(wanted, signature)?;
        }
        let given = if picks { outputs::select(output, wanted, signature)? } else { output };
        let given = classified(service, found, given, wanted, info.batching != Batching::Single)?;
        let version = provenance.and_then(|provenance| provenance.version.clone());
        Ok(Answered {
            version: found.version.as_ref().map(|known| version.unwrap_or_else(|| known.clone())),
            id: id.clone(),
            forms: outputs::forms(asked, wanted, given.len())?,
            outputs: given,
            parameters: provenance.map(parameters).unwrap_or_default(),
            timings: None,
            is_last: true,
        })
    }
}

/// A request for each row of the inputs.
pub(crate) fn requests_of_rows<'a>(
    found: &'a Found,
    inputs: &'a Tensors,
    rows: usize,
    terms: &'a Terms,
    id: Option<&'a str>,
) -> impl Iterator<Item = Request<'a, Tensors, Tensors>> {
    (0..rows).map(move |row| {
        let part = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.rows(row..row + 1))).collect();
        let id = id.filter(|id| !id.is_empty()).map(|id| format!("{id}/{row}"));
        let asked = refined!(found.handle.infer(part), found, terms, id);
        match &found.asked {
            Some(version) => asked.version(version.clone()),
            None => asked,
        }
    })
}

/// The outputs, those of which only the best classes are wanted replaced by these.
fn classified(
    service: &Service,
    found: &Found,
    outputs: Tensors,
    wanted: &[RequestedOutput],
    batched: bool,
) -> Result<Tensors, Refusal> {
    let mut given = Tensors::new();
    for (index, (name, tensor)) in outputs.into_iter().enumerate() {
        let classes = wanted.get(index).map_or(Ok(None), RequestedOutput::classes)?;
        let tensor = match classes {
            None => tensor,
            Some(classes) => {
                let label = |class: usize| service.label(found.handle.name(), &name, class);
                classify(&tensor, classes, batched, &label)?
            }
        };
        given.insert(name, tensor);
    }
    Ok(given)
}

/// What is told of an answer that is not simply from a run of the model that was asked.
fn parameters(provenance: &Provenance) -> Parameters {
    let mut parameters = Parameters::new();
    if provenance.cached {
        parameters = parameters.with("unruffled_cached", true);
    }
    if let Some(degraded) = &provenance.degraded {
        let why: Vec<String> =
            degraded.why.iter().map(|(model, reason)| format!("{model}: {reason}")).collect();
        parameters = parameters
            .with("unruffled_degraded", true)
            .with("unruffled_degraded_by", &*degraded.by)
            .with("unruffled_degraded_why", why.join("; "));
    }
    parameters
}
