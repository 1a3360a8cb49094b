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
mod python;
mod repository;

mod sizes;

mod floods;

mod idlers;
mod operator;

mod ending;
mod extensions;

mod keys;

mod limits;

mod names;

mod sites;

mod tls;

mod traces;

mod other_clients;

mod generate;
mod grpc;
mod health;
mod openai;
mod openapi;
mod sockets;
mod streams;
