//! Responsive inference in Tauri apps: models run beside the window, which never waits for them.
//!
//! ```no_run
//! # fn example<R: tauri::Runtime>(app: tauri::Builder<R>) -> tauri::Builder<R> {
//! app.plugin(tauri_plugin_unruffled::init())
//! # }
//! ```
//!
//! and in the page, with the package `tauri-plugin-unruffled-api`:
//!
//! ```js
//! const digits = await load("digits");
//! const out = await digits.infer({ pixels }, { signal, timeoutMs: 100 });
//! ```
//!
//! Models lie in the app's resources or data, or are functions of the app ([`Builder`]); they are loaded in the background. A
//! request is cancelled by its `AbortSignal`, by a newer one of the same `supersede` key, by closing or reloading its window,
//! and at the end of the app. Tensors cross as bytes; where Tauri falls back to arrays of numbers, because the content security
//! policy forbids the other way, they are taken, and both sides warn.
//!
//! From Rust the same engine is asked by way of [`UnruffledExt::unruffled`].
//!
//! # Permissions
//!
//! `unruffled:default` lets a window see the models and ask them: requests, batches, streams, sessions. Jobs
//! (`unruffled:jobs`), unloading (`unruffled:manage`) and figures (`unruffled:monitor`) are given apart. A scope says which
//! models a window may use, by name or with `*`: `{ "identifier": "unruffled:default", "allow": [{ "model": "magika" }] }`.
//!
//! # What pages hear
//!
//! Commands fail with [`Error`], an object with a stable `code`. [`MODEL_EVENT`] tells every window that may listen how models come into
//! memory: `name`, `state` (`waiting`, `loading`, `ready`, `failed`), `progress`, `error`, and what the model takes and gives.

mod error;

mod frame;
mod pages;
mod scope;
mod sessions;
mod shelf;

mod lateness;

mod answer;
mod terms;

mod streams;

mod opening;
mod runtime;

mod commands;

mod builder;

pub use unruffled;

pub use builder::{Builder, MODEL_EVENT};
pub use error::Error;
pub use runtime::{Unruffled, UnruffledExt};

/// The plugin with the models of the resource folder `models`, all of which are loaded in the background.
pub fn init<R: tauri::Runtime>() -> tauri::plugin::TauriPlugin<R> {
    Builder::new().resource_models("models").build()
}
