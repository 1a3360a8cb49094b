//! Reads files of keys and certificates again when they have changed.
//!
//! They are looked at every few seconds, and compared as a whole: that works on every system and file system, and however
//! a file is exchanged, be it by a link that is pointed elsewhere, as in containers.

use std::fmt;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::options::ServerOptions;
use crate::setup::{Reload, SetupError};

/// Goes on until it is dropped.
pub(crate) async fn on_change(options: ServerOptions) {
    let ServerOptions { tls, keys, reload_interval, .. } = options;
    if (tls.is_none() && keys.is_none()) || reload_interval.is_zero() {
        return;
    }
    let mut ticks = interval(reload_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A fault is told once, not at each look.
    let (mut tls_fault, mut keys_fault) = (None, None);
    loop {
        ticks.tick().await;
        if let Some(tls) = tls.clone() {
            note("certificates", spawn_blocking(move || tls.reload()).await, &mut tls_fault);
        }
        if let Some(keys) = keys.clone() {
            note("keys", spawn_blocking(move || keys.reload()).await, &mut keys_fault);
        }
    }
}

fn note<E: fmt::Display>(
    what: &str,
    outcome: Result<Result<Reload, SetupError>, E>,
    fault: &mut Option<String>,
) {
    let error = match outcome {
        Ok(Ok(reload)) => {
            *fault = None;
            if reload == Reload::Changed {
                tracing::info!(what, "read again, for they have changed");
            }
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    if fault.as_ref() != Some(&error) {
        tracing::warn!(what, %error, "cannot be read again; those that were read before go on");
        *fault = Some(error);
    }
}
