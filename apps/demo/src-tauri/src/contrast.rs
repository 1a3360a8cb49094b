//! What apps do without the plugin: the same work in a command, in each of the three ways.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tauri::ipc::{InvokeBody, Request, Response};

/// Nobody needs to see a window frozen for longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Keeps a core busy, as a model does.
fn compute(milliseconds: u64) {
    let end = Instant::now() + Duration::from_millis(milliseconds).min(LONGEST);
    let mut sum = 0_u64;
    while Instant::now() < end {
        for number in 0..1000 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(number));
        }
    }
}

/// The usual way: a command that computes. It runs on the main thread, which draws.
#[tauri::command]
pub(crate) fn block_usual(ms: u64) {
    compute(ms);
}

/// The same in an `async` command: the window goes on, but every other command waits.
#[tauri::command]
pub(crate) async fn block_inline(ms: u64) {
    compute(ms);
}

/// The same on a thread for such work: better, with nothing to bound, batch or cancel it.
#[tauri::command]
pub(crate) async fn block_pool(ms: u64) -> Result<(), String> {
    tauri::async_runtime::spawn_blocking(move || compute(ms)).await.map_err(|error| error.to_string())
}

/// Nothing: its way there and back is what is measured.
#[tauri::command]
pub(crate) async fn ping() {}

/// The bytes that came: the least that a command with raw bytes costs.
#[tauri::command]
pub(crate) async fn echo(request: Request<'_>) -> Result<Response, String> {
    match request.body() {
        InvokeBody::Raw(body) => Ok(Response::new(body.clone())),
        InvokeBody::Json(_) => Err("expected bytes".into()),
    }
}
