//! [`Stateful`]: a Rust model with a state of a type of its own.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::carrier::{Carried, Carrier};
use crate::closure::{FnModel, RowFn};
use crate::context::RunContext;
use crate::error::ModelError;
use crate::loaded::ModelInfo;

/// A model that answers an item by what it remembers of those before.
///
/// ```
/// use unruffled_model::{ModelError, RunContext, Stateful};
///
/// /// The mean of all numbers so far.
/// struct Mean;
///
/// impl Stateful for Mean {
///     type Item = f64;
///     type Reply = f64;
///     type State = (f64, u64);
///
///     fn initial(&self) -> (f64, u64) {
///         (0.0, 0)
///     }
///
///     fn run(&self, x: &f64, (sum, count): &mut (f64, u64), _: &RunContext<'_>) -> Result<f64, ModelError> {
///         (*sum, *count) = (*sum + x, *count + 1);
///         Ok(*sum / *count as f64)
///     }
/// }
/// ```
pub trait Stateful: Send + Sync + 'static {
    /// What a call brings.
    type Item: Send + 'static;
    /// What it gets.
    type Reply: Send + 'static;
    /// What is remembered. It is cloned for each call, on the instance's thread: what is large belongs behind an `Arc`.
    type State: Clone + Send + Sync + 'static;

    /// What is remembered before the first call.
    fn initial(&self) -> Self::State;

    /// Answers an item, and changes what is remembered. If it fails or panics, that stays as it was.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    fn run(
        &self,
        item: &Self::Item,
        state: &mut Self::State,
        ctx: &RunContext<'_>,
    ) -> Result<Self::Reply, ModelError>;

    /// The bytes that an item holds; the size of its type unless said otherwise.
    fn item_bytes(_: &Self::Item) -> usize {
        size_of::<Self::Item>()
    }

    /// The bytes that a state holds; the size of its type unless said otherwise.
    fn state_bytes(_: &Self::State) -> usize {
        size_of::<Self::State>()
    }
}

/// An item for a [`Stateful`] model, and the state that it comes to; `None` before the first call.
pub struct StatefulInput<M: Stateful> {
    item: M::Item,
    state: Arc<Option<M::State>>,
}

impl<M: Stateful> StatefulInput<M> {
    /// An item that comes to the initial state: a call outside any session.
    pub fn new(item: M::Item) -> Self {
        Self { item, state: Arc::new(None) }
    }
}

impl<M: Stateful> fmt::Debug for StatefulInput<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatefulInput").field("begins", &self.state.is_none()).finish_non_exhaustive()
    }
}

/// A reply of a [`Stateful`] model, and the state that it leaves.
pub struct StatefulOutput<M: Stateful> {
    /// The reply.
    pub reply: M::Reply,
    state: M::State,
}

impl<M: Stateful> fmt::Debug for StatefulOutput<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatefulOutput").finish_non_exhaustive()
    }
}

impl FnModel<(), (), ()> {
    /// A model that remembers: its sessions keep their states, and it is told them with each call.
    pub fn stateful<M: Stateful>(
        model: M,
    ) -> FnModel<StatefulInput<M>, StatefulOutput<M>, impl RowFn<StatefulInput<M>, StatefulOutput<M>>> {
        let function = move |input: &StatefulInput<M>, ctx: &RunContext<'_>| {
            let mut state = Option::clone(&input.state).unwrap_or_else(|| model.initial());
            let reply = model.run(&input.item, &mut state, ctx)?;
            Ok(StatefulOutput { reply, state })
        };
        let bytes = |input: &StatefulInput<M>| {
            let state = Option::as_ref(&input.state).map_or(0, M::state_bytes);
            M::item_bytes(&input.item).saturating_add(state)
        };
        FnModel::interruptible(function).with_bytes(bytes)
    }
}

/// The [`Carrier`] of a [`Stateful`] model's state.
pub struct StatefulCarrier<M>(PhantomData<fn() -> M>);

impl<M> fmt::Debug for StatefulCarrier<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatefulCarrier")
    }
}

impl<M: Stateful> Carried<StatefulOutput<M>> for StatefulInput<M> {
    type Carrier = StatefulCarrier<M>;

    fn carrier(_: &ModelInfo) -> Result<StatefulCarrier<M>, ModelError> {
        Ok(StatefulCarrier(PhantomData))
    }
}

impl<M: Stateful> Carrier for StatefulCarrier<M> {
    type Item = M::Item;
    type Reply = M::Reply;
    type State = Option<M::State>;
    type Input = StatefulInput<M>;
    type Output = StatefulOutput<M>;
    type Draft = ();

    fn attach(
        &self,
        item: M::Item,
        state: &Arc<Option<M::State>>,
    ) -> Result<(StatefulInput<M>, ()), ModelError> {
        Ok((StatefulInput { item, state: Arc::clone(state) }, ()))
    }

    fn detach(&self, output: StatefulOutput<M>, (): ()) -> Result<(M::Reply, Option<M::State>), ModelError> {
        Ok((output.reply, Some(output.state)))
    }

    fn item_bytes(&self, item: &M::Item) -> usize {
        M::item_bytes(item)
    }

    fn state_bytes(&self, state: &Option<M::State>) -> usize {
        state.as_ref().map_or(0, M::state_bytes)
    }
}
