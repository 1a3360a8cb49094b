//! Who asks, whether they may, and how much: what stands before every end point.
//!
//! The order of the checks, and why:
//!
//! 1. CORS answers the questions of browsers before a key is asked for: a browser sends none with them.
//! 2. Health passes: what asks for it is told nothing else, and must not depend on anything.
//! 3. Names and origins, where there are no keys: cheap, and what fails here is not even counted.
//! 4. The key.
//! 5. The limits of the client, who is known by now.
//!
//! Where there are keys, the files of the live page never come here: they are given to browsers before
//! (`operator/page.rs`), and what they show they ask for as any client would.

mod identity;

mod site;

mod meters;

mod grpc;

mod guard;

#[cfg(test)]
mod tests;

pub use identity::Identity;

pub(crate) use grpc::is_grpc;
pub(crate) use guard::{Kept, guarded};
