//! `POST /v2/models/{model}/infer`: decode, ask the engine, encode.
//!
//! Everything is in one future: when the client goes, the HTTP server drops it, and with it the request in the engine.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;
use unruffled_engine::{Error, ErrorKind, Timings};
use unruffled_model::{Name, Tensors};
use unruffled_protocol::{Form, InferRequest, InferResponse, raw};

use crate::ask::{Answered, ask};
use crate::body;
use crate::budget::Part;
use crate::coding::Coding;
use crate::packing::{Packed, Packing};
use crate::refusal::Refusal;
use crate::service::{Found, Service, Target};
use crate::shared_memory::SharedMemory;
use crate::terms::{self, Terms};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How many bytes of text one byte of a tensor makes, about.
const TEXT_PER_BYTE: usize = 4;

/// What is known of a request before its body is read.
struct Admitted {
    found: Found,
    arrived: Instant,
    /// By when the headers want the answer.
    deadline: Option<Instant>,
    supersede: Option<Name>,
    packing: Packing,
    /// What the answer's headers are chosen by.
    accepts: HeaderMap,
    _place: OwnedSemaphorePermit,
}

pub(crate) async fn infer(
    State(service): State<Service>,
    target: Result<Target, Refusal>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let admitted = target.and_then(|target| admit(&service, &target, &head.headers, &body, arrived));
    let (admitted, part) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return body::refuse(refusal, &head.headers, body).await,
    };
    let answer = tokio::select! {
        // An answer that is there goes out, also in the last moment.
        biased;
        answer = answer(&service, &admitted, body, part) => answer,
        () = service.closing() => {
            let error = Error::new(ErrorKind::ShuttingDown, "the server is shutting down");
            Err(Refusal::from(error))
        }
    };
    answer.unwrap_or_else(Refusal::into_response)
}

/// Refuses what can be refused before the body is read.
fn admit(
    service: &Service,
    target: &Target,
    headers: &HeaderMap,
    body: &Body,
    arrived: Instant,
) -> Result<(Admitted, Part), Refusal> {
    let part = body::admit(body, service.options().body_limit(), service.budget())?;
    let accepts = headers.get_all(header::ACCEPT_ENCODING).iter();
    let admitted = Admitted {
        packing: Packing::of(headers)?,
        accepts: accepts.map(|value| (header::ACCEPT_ENCODING, value.clone())).collect(),
        deadline: terms::header_deadline(headers, arrived)?,
        supersede: terms::supersede(headers)?,
        found: service.find(target)?,
        arrived,
        _place: service.enter()?,
    };
    Ok((admitted, part))
}

/// Takes the body in, has the model answer, writes what it says.
async fn answer(service: &Service, admitted: &Admitted, body: Body, part: Part) -> Result<Response, Refusal> {
    let Admitted { found, arrived, .. } = admitted;
    // What is decoded from a body is of its size, and so counts as long as there is no answer.
    let (request, _part) = receive(service, admitted, body, part).await?;
    let terms =
        Terms::new(&request.parameters, admitted.deadline, *arrived)?.superseding(admitted.supersede.clone());
    let answered = ask(service, found, request, &terms).await?;
    let timing = [(SERVER_TIMING, server_timing(&answered.timings))];
    let packed = encode(service, admitted, answered).await?;
    Ok((timing, packed).into_response())
}

/// The request, read and decoded in time.
async fn receive(
    service: &Service,
    admitted: &Admitted,
    body: Body,
    mut part: Part,
) -> Result<(InferRequest, Part), Refusal> {
    let options = service.options();
    let patience = admitted.arrived + options.body_timeout;
    let deadline = admitted.deadline.filter(|deadline| *deadline < patience);
    let late = || Refusal::late("the deadline passed before the request was read");

    let collect = body::collect(body, options.body_limit(), &mut part);
    let collected = timeout_at(deadline.unwrap_or(patience).into(), collect).await;
    let body = collected.unwrap_or_else(|_| {
        let refusal = match deadline {
            Some(_) => late(),
            None => {
                let message =
                    format!("the body did not arrive within {:?}; send it faster", options.body_timeout);
                Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
            }
        };
        Err(refusal.closing())
    })?;

    let packing = admitted.packing;
    let info = match (packing.is_raw(), admitted.found.handle.known_info()) {
        // What the data are is known to the model alone.
        (true, None) => {
            admitted.found.handle.ready().await?;
            Some(admitted.found.handle.info())
        }
        (_, info) => info,
    };
    let (memory, limit) = (service.shared_memory().clone(), options.body_limit());
    let weight = packing.weight(&body, &memory);
    let decode = move || {
        let signature = info.as_ref().map(|info| &info.signature);
        let request = packing.unpack(body, limit, &mut part, &memory, signature);
        // A large body is freed here, off the event loop; its part is kept also when nobody waits any more.
        (request, part)
    };
    let decoded = service.offload().run(weight, decode);
    let decoded = match admitted.deadline {
        Some(deadline) => timeout_at(deadline.into(), decoded).await.unwrap_or_else(|_| Err(late()))?,
        None => decoded.await?,
    };
    let (request, part) = decoded;
    Ok((request?, part))
}

/// Writes the answer: each output in its form, the whole in the coding that the client takes.
async fn encode(service: &Service, admitted: &Admitted, answered: Answered) -> Result<Packed, Refusal> {
    let bytes = answered.outputs.byte_len();
    let is_text = answered.forms.contains(&Form::Json);
    let coding = Coding::wanted(&admitted.accepts, bytes);
    let weight = match coding {
        Coding::Identity if !is_text => bytes,
        _ => bytes.saturating_mul(TEXT_PER_BYTE),
    };
    let (name, memory) = (admitted.found.handle.name().clone(), service.shared_memory().clone());
    let encode = move || {
        let forms = place(&answered.outputs, answered.forms, &memory)?;
        let (version, id) = (answered.version.as_deref(), answered.id.as_deref());
        let outputs = answered.outputs.iter().zip(&forms).map(|((name, tensor), form)| (name, tensor, form));
        let body = InferResponse::write(&name, version, id, &answered.parameters, outputs)?;
        Packed::new(body, coding)
    };
    service.offload().run(weight, encode).await?
}

/// Puts outputs into shared memory that are wanted there, and says how much each took.
fn place(outputs: &Tensors, mut forms: Vec<Form>, memory: &SharedMemory) -> Result<Vec<Form>, Refusal> {
    for ((_, tensor), form) in outputs.iter().zip(&mut forms) {
        if let Form::Shared(span) = form {
            let data = raw::lend(tensor)?;
            memory.write(span, &data)?;
            span.bytes = data.len();
        }
    }
    Ok(forms)
}

/// Where the time went, for people with the developer tools of a browser open: milliseconds.
fn server_timing(timings: &Timings) -> String {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let Timings { batch_requests, batch_rows, instance, .. } = timings;
    format!(
        "queue;dur={:.3}, run;dur={:.3};desc=\"{batch_requests} requests, {batch_rows} rows, instance {instance}\"",
        millis(timings.queue),
        millis(timings.run),
    )
}
