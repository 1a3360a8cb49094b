//! The Open Inference Protocol V2 over HTTP and gRPC, in front of an [`Engine`](unruffled_engine::Engine).
//!
//! [`serve`] runs it on a listener, [`Server`] lets you add to it first, and [`router`] gives its end points to a
//! service of your own. [`ServerOptions`] has every bound; a [`Catalog`] knows the versions of models.
//!
//! | end point | answers |
//! | --- | --- |
//! | `GET /v2/health/live`, `GET /v2/health/ready` | whether it lives; whether all models are loaded and can answer |
//! | `GET /v2` | what it is |
//! | `GET /v2/models/{model}` | what the model takes and gives |
//! | `GET /v2/models/{model}/ready` | whether the model can answer |
//! | `POST /v2/models/{model}/infer` | the model's outputs |
//! | `POST /v2/models/{model}/generate`, `.../generate_stream` | the same in plain values; each output as an event |
//! | `POST /v2/models/{model}/stream`, `GET` for a WebSocket | answers to requests one by one, in lines, events or messages |
//! | `/v1/jobs` and below | jobs: submitted, asked for, watched, cancelled |
//! | `POST /v1/embeddings`, `GET /v1/models` | what clients of OpenAI ask for |
//! | `GET /openapi.json`, `GET /docs/` | all end points, for programs and for people |
//! | `GET /v2/trace/setting`, `GET /v2/logging` | how requests are traced and what is logged; `POST` changes it |
//! | `POST /inference.GRPCInferenceService/...` | the same over gRPC, streams with `ModelStreamInfer`; health and reflection |
//!
//! And for operators, not part of [`router`]:
//!
//! | end point | answers |
//! | --- | --- |
//! | `GET /` | a live page; a text for whoever does not want HTML |
//! | `GET /metrics` | counters, gauges and histograms for Prometheus |
//! | `GET /v1/explain/{id}` | what became of a request; `/v1/explain/{model}/{id}` where it has only a number |
//! | `GET /v1/overview` | all models at this moment; `/v1/overview/events` once a second |
//!
//! `/v2/models/{model}` may always be followed by `/versions/{version}`.
//!
//! # Requests
//!
//! - The parameter `timeout` (microseconds) and the header `X-Request-Timeout` (seconds, such as `0.25`) bound the whole
//!   request from the arrival of its headers; the shorter one counts, 0 is none.
//! - The parameter `priority` is 1 for interactive, 2 or 0 for normal, 3 and above for bulk work.
//! - The header `X-Unruffled-Supersede`, or the parameter `unruffled_supersede`, names a canvas or a search box: a newer
//!   request to the same model under the same name cancels the older one, queued or running, which is answered with 499.
//!   Steps of a sequence are never cancelled so.
//! - A client that disconnects cancels its request, queued or running. So does one that only closes its sending side.
//!   Bytes of a further request, sent before the answer, hide the disconnect until the answer is written.
//! - The header `Server-Timing` of the answer says how long the request waited and ran, and in which company.
//!
//! # Errors
//!
//! Every answer that is no success is `{"error": text}`, an object for clients of OpenAI, and the connection stays open,
//! unless a part of the request was left unread. Only a head that is not HTTP is answered without a body.
//!
//! | what | status |
//! | --- | --- |
//! | invalid input, malformed message | 400 |
//! | unknown model, version or path; wrong method | 404; 405 |
//! | no key, or none that is known; a key without the scope; too much for one client (with `Retry-After`) | 401; 403; 429 |
//! | body too late, too large, encoded | 408, 413, 415 |
//! | asked for under a foreign name, on loopback without keys | 421 |
//! | a WebSocket is expected | 426 |
//! | cancelled | 499 |
//! | model failed or crashed | 500 |
//! | a part of the protocol that is not here, or not switched on | 501 |
//! | queue or server full (with `Retry-After`), model not ready, shutting down | 503 |
//! | deadline exceeded | 504 |
//!
//! A call of gRPC is answered with the code that stands for the status, and `retry-after` in its metadata.
//!
//! # Doors
//!
//! [`Tls`] is the certificate of the server, and of its clients if it asks them. [`Keys`] say who may ask which models.
//! Both are given to [`ServerOptions`], which also limit how much one client may ask. On a loopback address without keys,
//! requests for foreign names, and what pages of other sites want done, are refused. [`Identity`] is who asks, as an
//! extension of each request.
//!
//! HTTP/1.1 and HTTP/2 are spoken on the same port; HTTP/2 to those who know beforehand, or agree on it in the handshake of
//! TLS. There is no backend: models come with the engine.

mod catalog;
mod logging;
mod peer;
mod phase;
mod spans;

mod setup;

mod keys;
mod tls;

mod options;

mod paths;

mod refusal;

mod budget;
mod coding;
mod held;
mod offload;
mod patience;
mod seats;
mod sessions;
mod shared_memory;

mod successor;

mod body;
mod packing;
mod terms;

mod access;

mod service;

mod endpoint;

mod ask;
mod partial;
mod trail;

mod exchange;

mod intake;
mod reply;

mod metadata;
mod repository;
mod settings;
mod statistics;

mod control;

mod infer;
mod jobs;
mod openai;
mod stream;

mod operator;

mod grpc;

mod openapi;

mod router;

mod awaited;
mod patient;

mod connection;
mod health;
mod reload;
mod server;

pub use access::Identity;
pub use catalog::{Catalog, Control, FileEnds, Unversioned};
pub use jobs::job_status;
pub use keys::{Keys, NewKey, RateLimit};
pub use logging::{LogSettings, Logging};
pub use options::ServerOptions;
pub use router::router;
pub use server::{Served, Server, serve};
pub use setup::{Reload, SetupError, SetupErrorKind};
pub use spans::{Operation, Outcome, RequestSpan, Tracing, TracingReport, Transport};
pub use tls::Tls;

/// Whose examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/security.md")]
struct Security;
