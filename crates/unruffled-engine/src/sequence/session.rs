//! [`Session`]: calls in order, each from the state that the one before has left.

use std::fmt;
use std::sync::Arc;

use unruffled_model::{Carrier, Name};

use super::drive::Sessions;
use super::table::{Found, Gone, Key};
use crate::error::{Error, ErrorKind};

/// A session of a model: calls that run one after the other, each from the state that the one before it has left. Cheap to
/// clone; the clones are the same session.
///
/// A call that fails, is cancelled, dropped or late leaves the state as it was before it, and the next goes on from there.
///
/// One that was begun without a name ends with its last clone, once the calls that were sent are over. One with a name stays
/// until it is [ended](Self::end), expires, or its model goes.
pub struct Session<C: Carrier>(Arc<Seat<C>>);

/// A session's place, as those know it who hold it.
pub(super) struct Seat<C: Carrier> {
    pub(super) sessions: Arc<Sessions<C>>,
    pub(super) key: Key,
    name: Name,
    pub(super) gone: Gone,
    /// Nobody can find it again.
    is_private: bool,
}

impl<C: Carrier> Drop for Seat<C> {
    fn drop(&mut self) {
        if self.is_private {
            let now = self.sessions.now();
            self.sessions.with(|table| table.end(now, self.key));
        }
    }
}

impl<C: Carrier> Session<C> {
    pub(super) fn found(sessions: &Arc<Sessions<C>>, found: Found, is_private: bool) -> Self {
        let Found { key, name, gone } = found;
        Self(Arc::new(Seat { sessions: Arc::clone(sessions), key, name, gone, is_private }))
    }

    pub(super) fn seat(&self) -> &Seat<C> {
        &self.0
    }

    /// What it is called; a number, if it was begun without a name.
    pub fn id(&self) -> &Name {
        &self.0.name
    }

    /// The state that the last successful call has left, and how many there were. A call that goes on is not in it.
    ///
    /// # Errors
    ///
    /// `NotFound` if the session has ended or expired, `ShuttingDown` or `NotReady` if its model has.
    pub fn snapshot(&self) -> Result<Snapshot<C::State>, Error> {
        let kept = self.0.sessions.with(|table| table.kept(self.0.key));
        kept.map(|(state, steps)| Snapshot { state, steps }).ok_or_else(|| self.why_gone())
    }

    /// Ends the session: no more calls are taken in, and its name is free; those that were sent are still answered, and then
    /// its state goes.
    /// Whoever does not want to wait for them drops their futures.
    pub fn end(&self) {
        let now = self.0.sessions.now();
        self.0.sessions.with(|table| table.end(now, self.0.key));
    }

    pub(super) fn why_gone(&self) -> Error {
        let known = self.0.gone.get().cloned();
        let error = known.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "the session has ended"));
        error.of_model(self.0.sessions.handle.name())
    }
}

impl<C: Carrier> Clone for Session<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Carrier> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("model", self.0.sessions.handle.name())
            .field("id", self.id())
            .field("ended", &self.0.gone.get().is_some())
            .finish_non_exhaustive()
    }
}

/// What a session had come to: its state, and how many calls had changed it. Cheap to clone, and good for any engine that
/// has the same model.
pub struct Snapshot<S> {
    pub(super) state: Arc<S>,
    pub(super) steps: u64,
}

impl<S> Snapshot<S> {
    /// A snapshot that was kept elsewhere: on a disk, say.
    pub fn new(state: S, steps: u64) -> Self {
        Self { state: Arc::new(state), steps }
    }

    /// The state: by the names of inputs for tensors, `None` before the first call of a [`Stateful`] model.
    ///
    /// [`Stateful`]: unruffled_model::Stateful
    pub fn state(&self) -> &S {
        &self.state
    }

    /// How many calls have changed it.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

impl<S> Clone for Snapshot<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), steps: self.steps }
    }
}

impl<S> fmt::Debug for Snapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("steps", &self.steps).finish_non_exhaustive()
    }
}
