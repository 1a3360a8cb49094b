//! [`ask`]: the middle of every front: a request that is decoded becomes an answer that is not encoded yet.

use unruffled_engine::{Request, Timings};
use unruffled_model::{Batching, Name, Provenance, Tensors};
use unruffled_protocol::classify::classify;
use unruffled_protocol::{Form, InferRequest, Parameters, RequestedOutput, outputs};

use crate::refusal::Refusal;
use crate::service::{Found, Service};
use crate::sessions::Step;
use crate::terms::Terms;

/// What the terms and the name of a request say of one that is about to be sent.
macro_rules! refined {
    ($asked:expr, $terms:expr, $id:expr) => {{
        let mut asked = $asked.priority($terms.priority);
        if let Some(deadline) = $terms.deadline {
            asked = asked.deadline(deadline);
        }
        if let Some(caller) = $terms.identity.caller() {
            asked = asked.caller(caller);
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
    /// Where the time went, if there was a run.
    pub(crate) timings: Option<Timings>,
}

/// Asks a model. Dropped before its end, the request is cancelled, queued or running.
pub(crate) async fn ask(
    service: &Service,
    found: &Found,
    request: InferRequest,
    terms: &Terms,
) -> Result<Answered, Refusal> {
    terms.identity.may_infer(found.handle.name())?;
    // Nothing is known of a model that was never in memory, nor of what a function of tensors gives.
    if let Some(info) = found.handle.known_info().filter(|info| !info.signature.outputs.is_empty()) {
        outputs::check(&request.outputs, &info.signature)?;
    }

    let step = Step::of(&request.parameters)?;
    let in_sequence = step.is_some();
    let answer = match step {
        None => {
            let mut asked = refined!(found.handle.infer(request.inputs), terms, request.id);
            if let Some(version) = &found.asked {
                asked = asked.version(version.clone());
            }
            asked.await?
        }
        Some(step) => {
            let session = service.sessions().find(&found.handle, &step, &terms.identity.owned(&step.id))?;
            let answer = refined!(session.infer(request.inputs), terms, request.id).await;
            if step.ends {
                session.end();
            }
            answer?
        }
    };

    let info = found.handle.info();
    let signature = &info.signature;
    // A function of tensors does not say what it gives, and a session keeps the outputs that are its state: then everything
    // that there is is wanted.
    let all = signature.outputs.is_empty() || in_sequence;
    let picks = !(all && request.outputs.is_empty());
    if picks {
        outputs::check(&request.outputs, signature)?;
    }
    let given =
        if picks { outputs::select(answer.output, &request.outputs, signature)? } else { answer.output };
    let given = classified(service, found, given, &request.outputs, info.batching != Batching::Single)?;
    let forms = outputs::forms(&request.parameters, &request.outputs, given.iter().len())?;
    let version = answer.provenance.as_ref().and_then(|provenance| provenance.version.clone());
    Ok(Answered {
        version: found.version.as_ref().map(|known| version.unwrap_or_else(|| known.clone())),
        forms,
        id: request.id,
        outputs: given,
        parameters: answer.provenance.as_deref().map(parameters).unwrap_or_default(),
        timings: Some(answer.timings),
    })
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
        let asked = refined!(found.handle.infer(part), terms, id);
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
