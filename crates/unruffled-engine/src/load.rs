//! [`Loading`]: a model on its way into memory, with progress, on a thread of its own.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::{oneshot, watch};
use unruffled_model::{CancelToken, LoadContext, ModelError, Name, SharedModel};

use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::sync::panic_text;
use crate::thread::{self, Intent};

/// How far a load has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LoadProgress {
    /// The model is being read: this part of it, from 0 to 1.
    Reading(f32),
    /// Its first instances are being built, and warmed up.
    Starting,
    /// It can be asked.
    Ready,
    /// It could not be loaded: awaiting says why.
    Failed,
}

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

/// What goes on in memory once the model's own part is done: instances are started and it is made known.
pub(crate) type Publish<I, O> =
    Box<dyn FnOnce(SharedModel<I, O>, &CancelToken) -> Result<Handle<I, O>, Error> + Send>;

impl<I: Send + 'static, O: Send + 'static> Loading<I, O> {
    /// Starts the thread that runs `loader`, then `publish`.
    pub(crate) fn start(
        name: &Name,
        cancel: CancelToken,
        loader: impl FnOnce(&LoadContext<'_>) -> Result<SharedModel<I, O>, ModelError> + Send + 'static,
        publish: Publish<I, O>,
    ) -> Result<Self, Error> {
        let (tell_outcome, outcome) = oneshot::channel();
        let (tell_progress, progress) = watch::channel(LoadProgress::Reading(0.0));
        let (token, model) = (cancel.clone(), name.clone());
        let body = move || {
            let loaded = read(&token, &tell_progress, loader).and_then(|shared| {
                if token.is_cancelled() {
                    return Err(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
                }
                tell_progress.send_replace(LoadProgress::Starting);
                publish(shared, &token)
            });
            let loaded = loaded.map_err(|error| error.of_model(&model));
            let last = if loaded.is_ok() { LoadProgress::Ready } else { LoadProgress::Failed };
            tell_progress.send_replace(last);
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

fn read<I, O>(
    token: &CancelToken,
    progress: &watch::Sender<LoadProgress>,
    loader: impl FnOnce(&LoadContext<'_>) -> Result<SharedModel<I, O>, ModelError>,
) -> Result<SharedModel<I, O>, Error> {
    let tell = |done| {
        progress.send_replace(LoadProgress::Reading(done));
    };
    let context = LoadContext::new(token, &tell);
    match catch_unwind(AssertUnwindSafe(|| loader(&context))) {
        Ok(loaded) => loaded.map_err(Error::from_model),
        Err(payload) => {
            let text = panic_text(&*payload);
            Err(Error::new(ErrorKind::ModelCrashed, format!("panicked while loading: {text}")))
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Future for Loading<I, O> {
    type Output = Result<Handle<I, O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|told| match told {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(Error::new(ErrorKind::ModelCrashed, "the loading thread died").of_model(&self.name))
            }
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
