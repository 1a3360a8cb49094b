//! For tests: models that do as they are told, and the suite that every backend passes.
//!
//! - [`scripted`]: models whose runs wait for the test, panic, fail or are cancelled when it says so.
//! - [`conformance`]: a [`Backend`](unruffled_model::Backend) against recorded answers and against the contract of the traits.
//! - [`npy`]: tensors in NumPy's file format.
//!
//! Nothing here sleeps or polls, and every wait gives up with a message rather than hang.

pub mod npy;

pub mod scripted;

pub mod conformance;
