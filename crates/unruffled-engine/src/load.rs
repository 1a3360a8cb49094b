//! [`Loading`]: a model on its way into memory, with progress, on a thread of its own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::{oneshot, watch};
use unruffled_model::{CancelToken, Name};

use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::thread::{self, Intent};
use crate::version::{LoadProgress, Tell};

/// A model that is being loaded: await it for the [`Handle`].
///
/// The work goes on whether or not it is polled, on a thread of its own; no runtime is needed.
///
/// # Cancel safety
///
/// Dropping it stops the load as soon as the backend can, and frees the name.
#[must_use = "dropping it stops the load"]
pub struct Loading<I: Send + 'static, O: Send + 'static> {
    outcome: oneshot::Receiver<Result<Handle<I, O>, Error>>,
    progress: watch::Receiver<LoadProgress>,
    cancel: CancelToken,
    name: Name,
}

/// What a load does, on a thread of its own.
pub(crate) type Work<I, O> = Box<dyn FnOnce(&CancelToken, Tell<'_>) -> Result<Handle<I, O>, Error> + Send>;

impl<I: Send + 'static, O: Send + 'static> Loading<I, O> {
    /// Starts the thread that does the `work`.
    pub(crate) fn start(name: &Name, cancel: CancelToken, work: Work<I, O>) -> Result<Self, Error> {
        let (tell_outcome, outcome) = oneshot::channel();
        let (tell_progress, progress) = watch::channel(LoadProgress::Reading(0.0));
        let token = cancel.clone();
        let body = move || {
            let tell = |step| {
                tell_progress.send_replace(step);
            };
            let loaded = work(&token, &tell);
            tell(if loaded.is_ok() { LoadProgress::Ready } else { LoadProgress::Failed });
            // Nobody hears it if the load was dropped in this very moment: then the model stays, under its name.
            let _ = tell_outcome.send(loaded);
        };
        thread::start(&format!("load {name}"), Intent::Load, body).map_err(|error| {
            Error::new(ErrorKind::NotReady, format!("no thread to load it: {error}")).of_model(name)
        })?;
        Ok(Self { outcome, progress, cancel, name: name.clone() })
    }

    /// How far it has come.
    pub fn progress(&self) -> LoadProgress {
        *self.progress.borrow()
    }

    /// Blocks until the load is over: for threads that may wait.
    ///
    /// # Errors
    ///
    /// As awaiting it.
    ///
    /// # Panics
    ///
    /// On a thread of an asynchronous runtime, which must never wait.
    pub fn wait(mut self) -> Result<Handle<I, O>, Error> {
        let (_, nothing) = oneshot::channel();
        let outcome = std::mem::replace(&mut self.outcome, nothing);
        outcome.blocking_recv().unwrap_or_else(|_| Err(self.died()))
    }

    fn died(&self) -> Error {
        Error::new(ErrorKind::ModelCrashed, "the loading thread died").of_model(&self.name)
    }

    /// Completes at the next step forward, with how far it has come then. Needs no runtime.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the next call sees the step.
    pub async fn progress_changed(&mut self) -> LoadProgress {
        // An error means that the thread has ended: the last step stands.
        let _ = self.progress.changed().await;
        *self.progress.borrow_and_update()
    }
}

impl<I: Send + 'static, O: Send + 'static> Future for Loading<I, O> {
    type Output = Result<Handle<I, O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|told| match told {
            Ok(outcome) => outcome,
            Err(_) => Err(self.died()),
        })
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Loading<I, O> {
    fn drop(&mut self) {
        // Cancelling what is done is harmless.
        self.cancel.cancel();
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Loading<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").field("name", &self.name).field("progress", &self.progress()).finish()
    }
}
