//! [`Recipe`]: how a version of a model comes into memory, once or again and again, and what is known of it before.

use std::fmt;
use std::sync::Arc;

use unruffled_model::{LoadContext, ModelError, ModelInfo, Name, SharedModel};

/// What a loader gives.
pub(super) type Loaded<I, O> = Result<SharedModel<I, O>, ModelError>;

type Once<I, O> = Box<dyn FnOnce(&LoadContext<'_>) -> Loaded<I, O> + Send>;
type Again<I, O> = Arc<dyn Fn(&LoadContext<'_>) -> Loaded<I, O> + Send + Sync>;

/// How a version of a model comes into memory, and what is known of it before.
///
/// ```
/// use std::sync::Arc;
///
/// use unruffled_engine::{Engine, PoolOptions, Recipe};
/// use unruffled_model::{FnModel, SharedModel};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), unruffled_engine::Error> {
/// let engine = Engine::new();
/// let recipe = Recipe::new(|_| Ok(Arc::new(FnModel::new(|x: u32| 2 * x)) as SharedModel<u32, u32>));
/// // Nothing is loaded as yet: the first request has it loaded, and waits for it.
/// let double = engine.register("double", PoolOptions::default(), recipe.bytes(1 << 20))?;
/// assert_eq!(*double.infer(21).await?, 42);
/// # Ok(())
/// # }
/// ```
#[must_use = "a recipe is to be registered or loaded"]
pub struct Recipe<I, O> {
    pub(super) loader: Loader<I, O>,
    pub(super) version: Option<Name>,
    pub(super) bytes: usize,
    pub(super) extra: usize,
    pub(super) weigh: fn(&I) -> usize,
    pub(super) info: Option<ModelInfo>,
}

/// The work of a load.
pub(super) enum Loader<I, O> {
    Once(Option<Once<I, O>>),
    Again(Again<I, O>),
}

impl<I, O> Recipe<I, O> {
    /// A model that can be loaded again: where memory is short, it may be put out while nobody uses it. `loader` runs on a
    /// thread of its own, and says how far it is.
    pub fn new(loader: impl Fn(&LoadContext<'_>) -> Loaded<I, O> + Send + Sync + 'static) -> Self {
        Self::of(Loader::Again(Arc::new(loader)))
    }

    /// A model that can be loaded once, and stays in memory until it is unloaded.
    pub fn once(loader: impl FnOnce(&LoadContext<'_>) -> Loaded<I, O> + Send + 'static) -> Self {
        Self::of(Loader::Once(Some(Box::new(loader))))
    }

    fn of(loader: Loader<I, O>) -> Self {
        Self { loader, version: None, bytes: 0, extra: 0, weigh: |_| size_of::<I>(), info: None }
    }

    /// What the version is called; otherwise it is numbered, from 1.
    pub fn version(mut self, version: impl Into<Name>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// How much memory it is thought to take, which is kept free for its first load. From then on counts what was measured.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How much more it takes while it is being loaded: a file that is read as a whole, say. Kept free for each load.
    pub fn extra(mut self, bytes: usize) -> Self {
        self.extra = bytes;
        self
    }

    /// How many bytes an input has that waits for the load; otherwise only the size of its type counts.
    pub fn weigh(mut self, weigh: fn(&I) -> usize) -> Self {
        self.weigh = weigh;
        self
    }

    /// What is known of the model before it is loaded.
    pub fn info(mut self, info: ModelInfo) -> Self {
        self.info = Some(info);
        self
    }
}

impl<I, O> Loader<I, O> {
    /// Whether it can be called again and again.
    pub(super) fn repeats(&self) -> bool {
        matches!(self, Loader::Again(_))
    }

    /// The work of the next load, if there is one.
    pub(super) fn take(&mut self) -> Option<Once<I, O>>
    where
        I: 'static,
        O: 'static,
    {
        match self {
            Loader::Once(loader) => loader.take(),
            Loader::Again(loader) => {
                let loader = Arc::clone(loader);
                Some(Box::new(move |ctx: &LoadContext<'_>| loader(ctx)))
            }
        }
    }
}

impl<I, O> fmt::Debug for Recipe<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("version", &self.version)
            .field("bytes", &self.bytes)
            .field("repeats", &self.loader.repeats())
            .finish_non_exhaustive()
    }
}
