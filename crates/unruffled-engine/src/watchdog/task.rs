//! What tells the watch who is running: wrapped tasks, and sections.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::active::Entered;
use super::stall::Site;
use super::watch::Watch;

pin_project! {
    /// A future that the watch knows by name while it is polled. Needs what the future inside needs, and nothing else.
    ///
    /// # Cancel safety
    ///
    /// As that of the future inside: dropping one drops the other.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Watched<F> {
        #[pin]
        future: F,
        site: Arc<Site>,
        watch: Arc<Watch>,
    }
}

impl<F> Watched<F> {
    pub(super) fn new(watch: &Arc<Watch>, site: Site, future: F) -> Self {
        Self { future, site: Arc::new(site), watch: Arc::clone(watch) }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _running = Running::new(this.watch, Arc::clone(this.site));
        this.future.poll(cx)
    }
}

impl<F> fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("site", &self.site).finish_non_exhaustive()
    }
}

/// A named stretch of synchronous code: from its making until it is dropped, on one thread.
///
/// It cannot be sent to another thread, so that a task which holds one across an `await` cannot be spawned on several. On
/// a loop with one thread nothing stops that, and what other tasks do meanwhile would be put down to the section.
#[must_use = "a section ends when it is dropped"]
pub struct Section<'a> {
    running: Running<'a>,
    on_this_thread: PhantomData<Rc<()>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(watch: &'a Watch, site: Site) -> Self {
        Self { running: Running::new(watch, Arc::new(site)), on_this_thread: PhantomData }
    }
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("watch", &self.running.watch.name).finish_non_exhaustive()
    }
}

/// Ends what was entered, also when a poll panics.
struct Running<'a> {
    watch: &'a Watch,
    entered: Option<Entered>,
}

impl<'a> Running<'a> {
    fn new(watch: &'a Watch, site: Arc<Site>) -> Self {
        Self { watch, entered: watch.enter(site, Instant::now()) }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(entered) = &self.entered {
            self.watch.exit(entered, Instant::now());
        }
    }
}
