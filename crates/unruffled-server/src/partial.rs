//! [`ask_rows`]: a request of many rows of which each has an outcome of its own.

use serde_json::json;
use unruffled_engine::Timings;
use unruffled_model::{Tensor, Tensors};
use unruffled_protocol::{InferRequest, Parameters, ProtocolError};

use crate::ask::{Answered, Wanted, ask, requests_of_rows};
use crate::refusal::Refusal;
use crate::service::{Found, Service};
use crate::terms::Terms;

/// The parameter of a request that asks for it.
const PARTIAL: &str = "unruffled_partial";

/// The most rows of a request whose rows have outcomes of their own: each is a request in the engine.
const ROWS: usize = 4096;

/// Asks a model: as one request, or row by row if the request says so.
///
/// Row by row, what a row got wrong or ran into costs that row only. The outputs then have the rows that were answered, in
/// their order; the parameters of the answer tell which these are (`unruffled_rows`, a JSON array), and what became of the
/// others (`unruffled_errors`, a JSON array of `row`, `kind` and `message`).
pub(crate) async fn ask_rows(
    service: &Service,
    found: &Found,
    request: InferRequest,
    terms: &Terms,
) -> Result<Answered, Refusal> {
    if !is_wanted(&request)? {
        return ask(service, found, request, terms).await;
    }
    found.identity.may_infer(found.handle.name())?;
    let rows = rows(&request.inputs)?;
    let group = service.group(requests_of_rows(found, &request.inputs, rows, terms, request.id.as_deref()));
    let group = terms.deadline.into_iter().fold(group, unruffled_engine::Group::deadline);
    let outcomes = group.run_all().await.into_outcomes();

    let (mut answered, mut errors, mut given) = (Vec::new(), Vec::new(), Vec::new());
    let mut timings: Option<Timings> = None;
    for (row, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(answer) => {
                answered.push(row);
                given.push(answer.output);
                // The whole took as long as its slowest part.
                timings =
                    timings.into_iter().chain([answer.timings]).max_by_key(|times| times.queue + times.run);
            }
            Err(error) => {
                errors.push(json!({ "row": row, "kind": error.kind().code(), "message": error.message() }));
            }
        }
    }
    let joined = joined(&given)?;
    let parameters = Parameters::new()
        .with("unruffled_rows", json!(answered).to_string())
        .with("unruffled_errors", json!(errors).to_string());
    if given.is_empty() {
        // There is nothing to pick from.
        let (version, id, forms, outputs) = (found.version.clone(), request.id, Vec::new(), joined);
        return Ok(Answered { version, id, forms, outputs, parameters, timings, is_last: true });
    }
    let (wanted, _) = Wanted::of(request, false);
    let answered = wanted.answered(service, found, joined, None)?;
    Ok(Answered { parameters, timings, ..answered })
}

/// Whether a request asks for outcomes of its rows.
pub(crate) fn is_wanted(request: &InferRequest) -> Result<bool, Refusal> {
    Ok(request.parameters.bool(PARTIAL)? == Some(true))
}

/// How many rows the inputs have.
fn rows(inputs: &Tensors) -> Result<usize, Refusal> {
    let refused = |message: String| Refusal::from(ProtocolError::invalid_parameter(message));
    let mut counts = inputs.iter().map(|(_, tensor)| tensor.shape().first().copied());
    let Some(first) = counts.next().flatten() else {
        return Err(refused(format!(
            "parameter `{PARTIAL}` is for inputs of rows; an input here has no dimensions, or there is none"
        )));
    };
    if counts.any(|count| count != Some(first)) {
        return Err(refused(format!(
            "parameter `{PARTIAL}` is for inputs of equally many rows; their first dimensions differ"
        )));
    }
    if first > ROWS {
        return Err(refused(format!(
            "parameter `{PARTIAL}` is for requests of up to {ROWS} rows, not {first}: split the request"
        )));
    }
    Ok(first)
}

/// The outputs of several rows as those of one request.
fn joined(rows: &[Tensors]) -> Result<Tensors, Refusal> {
    let mut joined = Tensors::new();
    let Some(first) = rows.first() else { return Ok(joined) };
    for (name, _) in first.iter() {
        let parts = || rows.iter().filter_map(|row| row.get(name));
        if parts().count() != rows.len() {
            continue;
        }
        let parts: Vec<&Tensor> = parts().collect();
        let whole = Tensor::concat(parts.iter().copied()).map_err(|error| {
            Refusal::bad_request(format!(
                "output `{name}`: rows have different shapes and cannot be told together ({error}); ask for them one by one"
            ))
        })?;
        joined.insert(name.clone(), whole);
    }
    Ok(joined)
}
