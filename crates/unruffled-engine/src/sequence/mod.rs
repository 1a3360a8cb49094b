//! [`Sequences`]: sessions that keep a model's state from call to call.

mod options;

mod answer;
mod table;

mod drive;

mod session;

mod call;

use std::fmt;
use std::sync::Arc;

use unruffled_model::{Carried, Carrier, Name};

use crate::error::Error;
use crate::handle::Handle;
pub use call::{SessionInfer, SessionRequest};
use drive::Sessions;
pub use options::SequenceOptions;
pub use session::{Session, Snapshot};
use table::Beginning;

impl<I: Carried<O>, O: Send + 'static> Handle<I, O> {
    /// Sessions of this model, which keep its state from call to call: for models of tensors that say what is to be kept
    /// ([`SequenceSpec`](unruffled_model::SequenceSpec)), and for [`Stateful`](unruffled_model::Stateful) ones.
    ///
    /// The state goes to the model with each call and comes back with the answer: calls of different sessions share runs as
    /// any requests do, and an instance that is replaced takes no session with it. Each call of this makes sessions of its
    /// own, with limits of their own: make one, and clone it.
    ///
    /// ```
    /// use unruffled_engine::{Engine, SequenceOptions};
    /// use unruffled_model::{ModelError, RunContext, Stateful};
    ///
    /// struct Sum;
    ///
    /// impl Stateful for Sum {
    ///     type Item = u64;
    ///     type Reply = u64;
    ///     type State = u64;
    ///
    ///     fn initial(&self) -> u64 {
    ///         0
    ///     }
    ///
    ///     fn run(&self, x: &u64, sum: &mut u64, _: &RunContext<'_>) -> Result<u64, ModelError> {
    ///         *sum += x;
    ///         Ok(*sum)
    ///     }
    /// }
    ///
    /// # async fn example() -> Result<(), unruffled_engine::Error> {
    /// let engine = Engine::new();
    /// let sums = engine.wrap_stateful(Sum).build()?.sequences(SequenceOptions::default())?;
    /// let (a, b) = (sums.begin()?, sums.begin()?);
    /// a.infer(1).await?;
    /// b.infer(10).await?;
    /// assert_eq!(*a.infer(2).await?, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the model keeps no state; `ShuttingDown` or `NotReady` if it takes nothing in any more.
    pub fn sequences(&self, options: SequenceOptions) -> Result<Sequences<I::Carrier>, Error> {
        let carrier =
            I::carrier(&self.info()).map_err(|error| Error::from_model(error).of_model(self.name()))?;
        Sequences::with_carrier(self, carrier, options)
    }
}

/// The sessions of one model: begun, found by name, restored. Cheap to clone; the clones have the same sessions.
///
/// They hold the model. When the last clone goes and nobody holds a session or waits for a call, all sessions end.
pub struct Sequences<C: Carrier>(Arc<Sessions<C>>);

impl<C: Carrier> Sequences<C> {
    /// Sessions whose state is put into inputs in a way of one's own.
    ///
    /// # Errors
    ///
    /// `ShuttingDown` or `NotReady` if the model takes nothing in any more.
    pub fn with_carrier(
        handle: &Handle<C::Input, C::Output>,
        carrier: C,
        options: SequenceOptions,
    ) -> Result<Self, Error> {
        Ok(Self(Sessions::start(handle.clone(), carrier, options)?))
    }

    /// Begins a session that only its holders know: it ends with the last clone of it.
    ///
    /// # Errors
    ///
    /// `Overloaded` if there are as many as there may be; `ShuttingDown` or `NotReady` if the model takes nothing in any
    /// more.
    pub fn begin(&self) -> Result<Session<C>, Error> {
        self.start(None, &Snapshot::new(C::State::default(), 0))
    }

    /// Begins a session that [`get`](Self::get) finds until it is ended or expires.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin), and `InvalidInput` if there is one of this name.
    pub fn begin_named(&self, id: impl Into<Name>) -> Result<Session<C>, Error> {
        self.start(Some(id.into()), &Snapshot::new(C::State::default(), 0))
    }

    /// The session of this name. To look for it is no call: it does not keep the session from expiring.
    ///
    /// # Errors
    ///
    /// `NotFound` if it never began, has ended or has expired; `ShuttingDown` or `NotReady` if the model takes nothing in any
    /// more.
    pub fn get(&self, id: &str) -> Result<Session<C>, Error> {
        let now = self.0.now();
        let found = self.0.with(|table| table.get(now, id));
        found.map(|found| Session::found(&self.0, found, false)).map_err(|error| self.of_model(error))
    }

    /// Begins a session where another has left off, as [`begin`](Self::begin) does: in this engine or in another.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin), and `InvalidInput` if the state does not fit the model.
    pub fn restore(&self, snapshot: &Snapshot<C::State>) -> Result<Session<C>, Error> {
        self.start(None, snapshot)
    }

    /// As [`restore`](Self::restore), for a session that [`get`](Self::get) finds.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore), and `InvalidInput` if there is one of this name.
    pub fn restore_named(
        &self,
        id: impl Into<Name>,
        snapshot: &Snapshot<C::State>,
    ) -> Result<Session<C>, Error> {
        self.start(Some(id.into()), snapshot)
    }

    /// The model.
    pub fn handle(&self) -> &Handle<C::Input, C::Output> {
        &self.0.handle
    }

    /// How many sessions there are, and what they hold.
    pub fn status(&self) -> SequenceStatus {
        let counts = self.0.with(|table| table.counts());
        SequenceStatus {
            sessions: counts.sessions,
            waiting: counts.waiting,
            running: counts.running,
            bytes: counts.bytes,
        }
    }

    fn start(&self, name: Option<Name>, from: &Snapshot<C::State>) -> Result<Session<C>, Error> {
        let carrier = &self.0.carrier;
        carrier.check(&from.state).map_err(|error| self.of_model(Error::from_model(error)))?;
        let is_private = name.is_none();
        let beginning = Beginning {
            state: Arc::clone(&from.state),
            bytes: carrier.state_bytes(&from.state),
            steps: from.steps,
        };
        let now = self.0.now();
        let found = self.0.with(|table| table.begin(now, name, beginning));
        found.map(|found| Session::found(&self.0, found, is_private)).map_err(|error| self.of_model(error))
    }

    fn of_model(&self, error: Error) -> Error {
        error.of_model(self.0.handle.name())
    }
}

impl<C: Carrier> Clone for Sequences<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Carrier> fmt::Debug for Sequences<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.0.handle.name();
        f.debug_struct("Sequences").field("model", model).field("status", &self.status()).finish()
    }
}

/// What sessions are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SequenceStatus {
    /// Sessions that there are.
    pub sessions: usize,
    /// Calls that wait for those before them.
    pub waiting: usize,
    /// Calls that the model has, queued or running.
    pub running: usize,
    /// Bytes of states and waiting calls.
    pub bytes: usize,
}

#[cfg(test)]
mod tests;
