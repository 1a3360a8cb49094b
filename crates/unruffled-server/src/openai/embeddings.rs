//! `POST /v1/embeddings`: texts, or tokens, to rows of numbers.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use unruffled_protocol::{InferRequest, Parameters, RequestedOutput};

use super::input::read;
use super::output;
use crate::access::Identity;
use crate::ask::ask;
use crate::body;
use crate::budget::Part;
use crate::intake::collect;
use crate::metadata::json as written;
use crate::refusal::Refusal;
use crate::reply::TEXT_PER_BYTE;
use crate::service::{Service, Target};
use crate::spans::{Operation, Transport};
use crate::terms::{self, Terms};
use crate::trail::{Trail, incoming};

pub(crate) async fn embeddings(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let limit = service.options().body_limit();
    let admitted = body::admit(&body, limit, service.budget());
    let mut trail = Trail::new(&service, incoming(&head.headers), arrived, Operation::Infer, Transport::Http);
    let answer = async {
        let deadline = terms::header_deadline(&head.headers, arrived)?;
        let answer = answer(&service, &identity, body, admitted?, arrived, deadline, &mut trail);
        tokio::select! {
            // An answer that is there goes out, also in the last moment.
            biased;
            answer = answer => answer,
            () = service.closing() => Err(Refusal::shutting_down()),
        }
    };
    let answer = answer.await;
    trail.end(&answer);
    answer.unwrap_or_else(Refusal::into_object)
}

async fn answer(
    service: &Service,
    identity: &Identity,
    body: Body,
    mut part: Part,
    arrived: Instant,
    deadline: Option<Instant>,
    trail: &mut Trail,
) -> Result<Response, Refusal> {
    let body = collect(service, body, &mut part, arrived, deadline).await?;
    let (weight, limit) = (body.len(), service.options().body_limit());
    let _place = service.enter()?;
    let (asked, input) = service.offload().run(weight, move || read(&body)).await??;
    let target = Target { model: asked.model.clone(), version: None };
    let found = service.find(identity, &target)?;
    found.identity.may_infer(found.handle.name())?;
    if found.handle.known_info().is_none() {
        terms::in_time(deadline, async { Ok(found.handle.ready().await?) }).await?;
    }
    let info = found.handle.info();
    let embedding = &output::spec(&asked.model, &info.signature)?.name;
    let tokens = input.tokens();
    let (model, known) = (asked.model.clone(), Arc::clone(&info));
    let make = move || {
        let inputs = input.into_tensors(&model, &known.signature, limit, &mut part)?;
        Ok::<_, Refusal>((inputs, part))
    };
    let (inputs, _part) = service.offload().run(weight, make).await??;
    let counts = output::count(&info.signature).filter(|_| tokens.is_none());
    let outputs = [embedding]
        .into_iter()
        .chain(counts)
        .map(|name| RequestedOutput { name: name.clone(), parameters: Parameters::new() });
    let request = InferRequest { inputs, outputs: outputs.collect(), ..InferRequest::default() };
    trail.is_for(&found, &request);
    let terms = Terms::new(&request.parameters, deadline, arrived)?.traced(trail.context());
    trail.asks(&terms);
    let answered = ask(service, &found, request, &terms).await?;
    trail.answered(&answered);
    let tokens = tokens.or_else(|| output::tokens(&answered.outputs)).unwrap_or(0);
    let (embedding, model) = (embedding.clone(), asked.model);
    let weight = answered.outputs.byte_len().saturating_mul(TEXT_PER_BYTE);
    let write = move || {
        let rows = answered.outputs.get(&embedding).ok_or_else(|| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("model `{model}` gave no `{embedding}`"))
        })?;
        let data = output::objects(rows, asked.encoding_format, asked.dimensions)?;
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        Ok::<_, Refusal>(
            json!({ "object": "list", "data": data, "model": model, "usage": usage }).to_string(),
        )
    };
    let text = service.offload().run(weight, write).await??;
    Ok(written(text.into_bytes()).into_response())
}
