//! What pages may ask for. Commands only translate: whatever takes time is done elsewhere.

pub(crate) mod jobs;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod session;

pub(crate) mod infer;

pub(crate) mod batch;

pub(crate) mod stream;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tauri::ipc::{InvokeBody, Request};
use tauri::{Runtime, Webview};
use unruffled::Tensors;

use crate::error::Error;
use crate::frame::{self, Head, Reader};
use crate::runtime::UnruffledExt as _;

/// From so many bytes on, reading and writing is done where it holds up no other command.
const HEAVY: usize = 256 << 10;

/// Opens the frame that came with a command.
fn opened<R: Runtime, T: DeserializeOwned>(
    webview: &Webview<R>,
    request: &Request<'_>,
) -> Result<(T, Reader), Error> {
    let (body, is_slow) = frame::bytes(request.body())?;
    if is_slow {
        webview.unruffled().warn_slow();
    }
    Reader::open(body)
}

/// What came as JSON.
fn json<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, Error> {
    match request.body() {
        InvokeBody::Json(value) => serde_json::from_value(value.clone())
            .map_err(|error| Error::invalid(format!("the arguments cannot be read: {error}"))),
        InvokeBody::Raw(_) => Err(Error::invalid("this takes arguments in JSON, not a frame")),
    }
}

/// Does work that grows with `bytes`: here if they are few, else on a thread for such work.
async fn offload<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if bytes < HEAVY {
        return work();
    }
    match tauri::async_runtime::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::of(unruffled::engine::ErrorKind::ModelCrashed, error.to_string())),
    }
}

/// One of many requests in a frame.
#[derive(Deserialize)]
struct Item {
    inputs: Vec<Head>,
}

/// The inputs of many requests.
async fn read(request: &Request<'_>, items: Vec<Item>, mut reader: Reader) -> Result<Vec<Tensors>, Error> {
    let read = move || items.into_iter().map(|item| reader.tensors(item.inputs)).collect();
    offload(request_bytes(request), read).await
}

/// How large the body of a command is.
fn request_bytes(request: &Request<'_>) -> usize {
    match request.body() {
        InvokeBody::Raw(body) => body.len(),
        InvokeBody::Json(value) => value.as_array().map_or(0, Vec::len),
    }
}
