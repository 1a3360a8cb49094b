//! [`ask`]: the middle of every front: a request that is decoded becomes an answer that is not encoded yet.

use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use unruffled_engine::{Error, Outputs, Request, Timings};
use unruffled_model::{Name, Provenance, Tensors};
use unruffled_protocol::{InferRequest, Parameters, RequestedOutput, outputs};

use crate::refusal::Refusal;
use crate::service::Found;
use crate::terms::Terms;

/// What a model says to a request.
pub(crate) struct Answered {
    /// The version that is told, if the model has versions.
    pub(crate) version: Option<Name>,
    /// As the request gave it.
    pub(crate) id: Option<String>,
    /// The outputs that were asked for, in the order asked.
    pub(crate) outputs: Tensors,
    /// Where the outputs come from, if not simply from a run of the model.
    pub(crate) parameters: Parameters,
    /// Where the time went, once all is answered.
    pub(crate) timings: Option<Timings>,
    /// Whether it is known that there is no further answer.
    pub(crate) is_last: bool,
}

/// Asks a model. Dropped before its end, the request is cancelled, queued or running.
pub(crate) async fn ask(found: &Found, request: InferRequest, terms: &Terms) -> Result<Answered, Refusal> {
    check(found, &request)?;
    let InferRequest { id, inputs, outputs, .. } = request;
    let answer = begin(found, inputs, id.as_deref(), terms).await?;
    let provenance = answer.provenance.as_deref();
    let answered = answered(found, id, &outputs, answer.output, provenance)?;
    Ok(Answered { timings: Some(answer.timings), ..answered })
}

/// Asks a model for all that it gives, as it comes. The request runs alone, and is sent now; it is cancelled when the stream
/// is dropped.
pub(crate) fn ask_each(
    found: Found,
    request: InferRequest,
    terms: &Terms,
) -> Result<impl Stream<Item = Result<Answered, Refusal>> + Send + use<>, Refusal> {
    check(&found, &request)?;
    let InferRequest { id, inputs, outputs: wanted, .. } = request;
    let outputs = begin(&found, inputs, id.as_deref(), terms).outputs();
    let each = Each { found, id, wanted, outputs, ahead: Ahead::Unknown };
    Ok(stream::unfold(each, async |mut each| Some((each.next().await?, each))))
}

/// The answers to a request that may have several.
struct Each {
    found: Found,
    id: Option<String>,
    wanted: Vec<RequestedOutput>,
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
        let output = match std::mem::replace(&mut self.ahead, Ahead::Unknown) {
            Ahead::Known(output) => output?,
            Ahead::Unknown => self.outputs.next().await?,
        };
        let output = match output {
            Ok(output) => output,
            Err(error) => return Some(Err(error.into())),
        };
        // Most models give one output, and are known to have ended when it is here.
        self.ahead = self.outputs.next().now_or_never().map_or(Ahead::Unknown, Ahead::Known);
        let provenance = self.outputs.provenance();
        let answered = answered(&self.found, self.id.clone(), &self.wanted, output, provenance);
        let (timings, is_last) = (self.outputs.timings(), matches!(self.ahead, Ahead::Known(None)));
        Some(answered.map(|answered| Answered { timings, is_last, ..answered }))
    }
}

/// Checks what is asked for, as far as the model is known: one that was never in memory is not, and a function of tensors
/// does not say what it gives.
fn check(found: &Found, request: &InferRequest) -> Result<(), Refusal> {
    match found.handle.known_info().filter(|info| !info.signature.outputs.is_empty()) {
        Some(info) => Ok(outputs::check(&request.outputs, &info.signature)?),
        None => Ok(()),
    }
}

fn begin<'a>(
    found: &'a Found,
    inputs: Tensors,
    id: Option<&str>,
    terms: &Terms,
) -> Request<'a, Tensors, Tensors> {
    let mut asked = found.handle.infer(inputs).priority(terms.priority);
    if let Some(deadline) = terms.deadline {
        asked = asked.deadline(deadline);
    }
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        asked = asked.id(id);
    }
    if let Some(version) = &found.asked {
        asked = asked.version(version.clone());
    }
    asked
}

fn answered(
    found: &Found,
    id: Option<String>,
    wanted: &[RequestedOutput],
    output: Tensors,
    provenance: Option<&Provenance>,
) -> Result<Answered, Refusal> {
    let info = found.handle.info();
    let signature = &info.signature;
    // A function of tensors does not say what it gives: then everything that it gives is wanted.
    let picks = !(signature.outputs.is_empty() && wanted.is_empty());
    if picks {
        outputs::check(wanted, signature)?;
    }
    let outputs = if picks { outputs::select(output, wanted, signature)? } else { output };
    let version = provenance.and_then(|provenance| provenance.version.clone());
    Ok(Answered {
        version: found.version.as_ref().map(|known| version.unwrap_or_else(|| known.clone())),
        id,
        outputs,
        parameters: provenance.map(parameters).unwrap_or_default(),
        timings: None,
        is_last: true,
    })
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
