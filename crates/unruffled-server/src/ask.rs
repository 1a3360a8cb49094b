//! [`ask`]: the middle of every front: a request that is decoded becomes an answer that is not encoded yet.

use unruffled_engine::Timings;
use unruffled_model::{Name, Provenance, Tensors};
use unruffled_protocol::{InferRequest, Parameters, outputs};

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
    pub(crate) timings: Timings,
}

/// Asks a model. Dropped before its end, the request is cancelled, queued or running.
pub(crate) async fn ask(found: &Found, request: InferRequest, terms: &Terms) -> Result<Answered, Refusal> {
    // Nothing is known of a model that was never in memory, nor of what a function of tensors gives.
    if let Some(info) = found.handle.known_info().filter(|info| !info.signature.outputs.is_empty()) {
        outputs::check(&request.outputs, &info.signature)?;
    }

    let mut asked = found.handle.infer(request.inputs).priority(terms.priority);
    if let Some(deadline) = terms.deadline {
        asked = asked.deadline(deadline);
    }
    if let Some(id) = request.id.as_deref().filter(|id| !id.is_empty()) {
        asked = asked.id(id);
    }
    if let Some(key) = &terms.supersede {
        asked = asked.supersede(Name::clone(key));
    }
    if let Some(version) = &found.asked {
        asked = asked.version(version.clone());
    }
    let answer = asked.await?;

    let info = found.handle.info();
    let signature = &info.signature;
    // A function of tensors does not say what it gives: then everything that it gives is wanted.
    let picks = !(signature.outputs.is_empty() && request.outputs.is_empty());
    if picks {
        outputs::check(&request.outputs, signature)?;
    }
    let given =
        if picks { outputs::select(answer.output, &request.outputs, signature)? } else { answer.output };
    let version = answer.provenance.as_ref().and_then(|provenance| provenance.version.clone());
    Ok(Answered {
        version: found.version.as_ref().map(|known| version.unwrap_or_else(|| known.clone())),
        id: request.id,
        outputs: given,
        parameters: answer.provenance.as_deref().map(parameters).unwrap_or_default(),
        timings: answer.timings,
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
