//! For tests: models that do as they are told, and the suite that every backend passes.
//!
//! - [`scripted`]: models whose runs wait for the test, panic, fail or are cancelled when it says so.
//! - [`conformance`]: a [`Backend`](unruffled_model::Backend) against recorded answers and against the contract of the traits.
//! - [`nodes`]: the ONNX standard's own tests of operators, as data.
//! - [`npy`]: tensors in NumPy's file format.
//! - `webdriver`, with the feature of that name: pages in a browser or in an app's window.
//!
//! Nothing here sleeps or polls, and every wait gives up with a message rather than hang.

mod floats;

pub mod npy;

mod run;

pub mod scripted;

pub mod conformance;

pub mod nodes;

#[cfg(feature = "webdriver")]
pub mod webdriver;
