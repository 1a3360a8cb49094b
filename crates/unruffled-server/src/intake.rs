//! Taking a request in: admitted by its headers, read and decoded in time.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;
use unruffled_model::Name;
use unruffled_protocol::InferRequest;

use crate::access::Identity;
use crate::body;
use crate::budget::Part;
use crate::packing::{Frame, Packing};
use crate::refusal::Refusal;
use crate::service::{Found, Service, Target};
use crate::terms;

/// What is known of a request before its body is read.
pub(crate) struct Admitted {
    pub(crate) found: Found,
    pub(crate) arrived: Instant,
    /// By when the headers want the answer.
    pub(crate) deadline: Option<Instant>,
    /// What the request takes the place of an older one for.
    pub(crate) supersede: Option<Name>,
    packing: Packing,
    /// What the answer's headers are chosen by.
    pub(crate) accepts: HeaderMap,
}

/// Refuses what can be refused before the body is read.
pub(crate) fn admit(
    service: &Service,
    identity: &Identity,
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
        found: service.find(identity, target)?,
        arrived,
    };
    identity.may_infer(&target.model)?;
    // Given back at once: it is taken when the body is there, so that those who send slowly keep nobody out.
    drop(service.enter()?);
    Ok((admitted, part))
}

impl Admitted {
    /// The same, with values beside the names of inputs.
    pub(crate) fn plain(mut self) -> Self {
        self.packing = self.packing.plain();
        self
    }
}

/// A request that was read.
pub(crate) struct Received {
    pub(crate) request: InferRequest,
    /// What its answer is to look like.
    pub(crate) frame: Frame,
    /// What it holds as long as there is no answer: what is decoded from a body is of its size.
    pub(crate) held: (Part, OwnedSemaphorePermit),
}

/// The body, read in time: within that of a body, and before the deadline, if there is one.
pub(crate) async fn collect(
    service: &Service,
    body: Body,
    part: &mut Part,
    arrived: Instant,
    deadline: Option<Instant>,
) -> Result<Bytes, Refusal> {
    let options = service.options();
    let patience = arrived + options.body_timeout;
    let deadline = deadline.filter(|deadline| *deadline < patience);
    let collect = body::collect(body, options.body_limit(), part);
    let collected = timeout_at(deadline.unwrap_or(patience).into(), collect).await;
    collected.unwrap_or_else(|_| {
        let refusal = match deadline {
            Some(_) => terms::late(),
            None => {
                let message =
                    format!("the body did not arrive within {:?}; send it faster", options.body_timeout);
                Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
            }
        };
        Err(refusal.closing())
    })
}

/// The request, read and decoded in time.
pub(crate) async fn receive(
    service: &Service,
    admitted: &Admitted,
    body: Body,
    mut part: Part,
) -> Result<Received, Refusal> {
    let body = collect(service, body, &mut part, admitted.arrived, admitted.deadline).await?;

    let place = service.enter()?;
    let packing = admitted.packing;
    let info = match (packing.needs_signature(), admitted.found.handle.known_info()) {
        // What the data are is known to the model alone.
        (true, None) => {
            admitted.found.handle.ready().await?;
            Some(admitted.found.handle.info())
        }
        (_, info) => info,
    };
    let (memory, limit) = (service.shared_memory().clone(), service.options().body_limit());
    let weight = packing.weight(&body, &memory);
    let decode = move || {
        let signature = info.as_ref().map(|info| &info.signature);
        let request = packing.unpack(body, limit, &mut part, &memory, signature);
        // A large body is freed here, off the event loop; its part is kept also when nobody waits any more.
        (request, part)
    };
    let decoded = service.offload().run(weight, decode);
    let decoded = terms::in_time(admitted.deadline, decoded).await?;
    let (unpacked, part) = decoded;
    let (request, frame) = unpacked?;
    Ok(Received { request, frame, held: (part, place) })
}
