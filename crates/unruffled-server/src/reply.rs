//! Writing an answer: each output in its form, the whole in the coding that the client takes.

use axum::http::HeaderMap;
use unruffled_model::{Name, Tensors};
use unruffled_protocol::{Body, Form, InferResponse, raw};

use crate::ask::Answered;
use crate::coding::Coding;
use crate::packing::{Frame, Packed};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::shared_memory::SharedMemory;

/// How many bytes of text one byte of a tensor makes, about.
pub(crate) const TEXT_PER_BYTE: usize = 4;

/// Writes the answer: each output in its form, the whole in the coding that the client takes.
pub(crate) async fn encode(
    service: &Service,
    model: &Name,
    accepts: &HeaderMap,
    frame: Frame,
    answered: Answered,
) -> Result<Packed, Refusal> {
    let bytes = answered.outputs.byte_len();
    let is_text = answered.forms.contains(&Form::Json);
    let coding = Coding::wanted(accepts, bytes);
    let weight = match coding {
        Coding::Identity if !is_text => bytes,
        _ => bytes.saturating_mul(TEXT_PER_BYTE),
    };
    let (name, memory) = (model.clone(), service.shared_memory().clone());
    let encode = move || {
        let Answered { version, id, parameters, outputs, forms, .. } = answered;
        let forms = place(&outputs, forms, &memory)?;
        let (version, id) = (version.as_deref(), id.as_deref());
        let body = match frame {
            Frame::Protocol => {
                let outputs = outputs.iter().zip(&forms).map(|((name, tensor), form)| (name, tensor, form));
                InferResponse::write(&name, version, id, &parameters, outputs)?
            }
            Frame::Plain { is_row } => {
                let outputs = outputs.iter();
                let bytes = InferResponse::write_plain(&name, version, id, &parameters, outputs, is_row)?;
                Body { bytes, json_bytes: None }
            }
        };
        Packed::new(body, coding)
    };
    service.offload().run(weight, encode).await?
}

/// Puts outputs into shared memory that are wanted there, and says how much each took.
pub(crate) fn place(
    outputs: &Tensors,
    mut forms: Vec<Form>,
    memory: &SharedMemory,
) -> Result<Vec<Form>, Refusal> {
    for ((_, tensor), form) in outputs.iter().zip(&mut forms) {
        if let Form::Shared(span) = form {
            let data = raw::lend(tensor)?;
            memory.write(span, &data)?;
            span.bytes = data.len();
        }
    }
    Ok(forms)
}
