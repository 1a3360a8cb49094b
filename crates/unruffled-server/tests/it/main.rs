//! The server over real sockets, in front of scripted models.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

mod support;

mod metadata;

mod infer;
mod jobs;

mod mistakes;

mod failures;

mod deadlines;

mod disconnects;

mod overload;
mod partial;
mod repository;

mod sizes;

mod operator;

mod ending;
mod extensions;

mod other_clients;

mod grpc;
