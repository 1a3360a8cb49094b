//! gRPC and HTTP/2, with the client of a library and with one that can also misbehave.

pub(crate) mod client;
mod wire;

mod about;

mod infer;

mod stream;

mod transport;
