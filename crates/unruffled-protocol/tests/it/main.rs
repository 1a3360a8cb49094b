//! What somebody on the other side of the wire can see.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bad;
mod binary;
mod generated;
mod good;
mod grpc;
mod metadata;
mod mutation;
mod response;
mod round_trip;
