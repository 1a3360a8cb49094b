//! [`Unruffled`]: the engine of an app, and what its windows do with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tauri::{Manager, Runtime};
use unruffled::{Engine, Jobs};

use crate::error::Error;
use crate::lateness::Loops;
use crate::opening::Opening;
use crate::pages::Pages;
use crate::sessions::Sessions;
use crate::shelf::Shelf;
use crate::streams::Streams;

/// What the plugin keeps for an app; reached by [`UnruffledExt::unruffled`].
pub struct Unruffled {
    pub(crate) engine: Engine,
    pub(crate) shelf: Shelf,
    pub(crate) pages: Pages,
    pub(crate) streams: Streams,
    pub(crate) sessions: Sessions,
    jobs: Opening,
    pub(crate) loops: Mutex<Option<Loops>>,
    has_warned: AtomicBool,
}

impl Unruffled {
    pub(crate) fn new(engine: Engine, shelf: Shelf, jobs: Opening, loops: Loops) -> Self {
        Self {
            engine,
            shelf,
            pages: Pages::default(),
            streams: Streams::default(),
            sessions: Sessions::default(),
            jobs,
            loops: Mutex::new(Some(loops)),
            has_warned: AtomicBool::new(false),
        }
    }

    /// The engine that runs the models: ask it from Rust as the windows do from their pages.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The jobs of the app, once their queue is open. Those of [`Engine::jobs`] are the same after that, and not before where
    /// they are [durable](crate::Builder::durable_jobs).
    ///
    /// # Errors
    ///
    /// What keeps durable jobs from being kept: their folder cannot be read or written, or another process has it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn jobs(&self) -> Result<Jobs, Error> {
        self.jobs.clone().await
    }

    /// How many calls of pages are under way.
    pub fn calls(&self) -> usize {
        self.pages.running()
    }

    /// A page sends bytes as numbers in JSON.
    pub(crate) fn warn_slow(&self) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "tensors come as numbers in JSON, which is slow and parsed on the main thread; the remedy is to allow \
                 `ipc: http://ipc.localhost` as `connect-src` in the app's content security policy"
            );
        }
    }

    /// The app ends: nothing goes on for anybody.
    pub(crate) fn end(&self, grace: Duration) {
        self.pages.leave_all();
        drop(self.loops.lock().take());
        let engine = self.engine.clone();
        // A model that cannot be stopped must not keep the app.
        tauri::async_runtime::block_on(async move {
            if tokio::time::timeout(grace, engine.shutdown(Duration::ZERO)).await.is_err() {
                tracing::warn!("a model was still running when the app ended");
            }
        });
    }
}

/// The plugin, from whatever knows the app.
pub trait UnruffledExt<R: Runtime> {
    /// What the plugin keeps.
    ///
    /// # Panics
    ///
    /// If the plugin was not added to the app.
    fn unruffled(&self) -> &Unruffled;
}

impl<R: Runtime, M: Manager<R>> UnruffledExt<R> for M {
    fn unruffled(&self) -> &Unruffled {
        self.state::<Unruffled>().inner()
    }
}
