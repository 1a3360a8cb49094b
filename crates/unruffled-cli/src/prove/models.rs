//! What the proofs run: models in plain Rust that really work or really wait, and instruments that they carry.

use std::marker::PhantomData;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use unruffled::model::{
    Batch, Batching, Footprint, Interrupt, LoadedModel, Model, ModelError, ModelInfo, Rerun, RunContext,
    Serve,
};

/// Steps of arithmetic that take a microsecond here, on a core of one's own.
static STEPS_PER_MICROSECOND: LazyLock<f64> = LazyLock::new(|| {
    const STEPS: u64 = 50_000;
    let fastest = (0..100).map(|_| {
        let begin = Instant::now();
        steps(STEPS);
        begin.elapsed()
    });
    let fastest = fastest.min().expect("a hundred tries");
    STEPS as f64 / (fastest.as_secs_f64() * 1e6)
});

fn steps(count: u64) {
    let mut state = 1_u64;
    for _ in 0..count {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// Finds out what this machine can do, so that no figure holds the search.
pub(super) fn calibrate() {
    LazyLock::force(&STEPS_PER_MICROSECOND);
}

/// Keeps a core busy with work that takes so long on a core of its own: two of them on one core take twice as long.
pub(super) fn work(cost: Duration) {
    steps((cost.as_secs_f64() * 1e6 * *STEPS_PER_MICROSECOND) as u64);
}

/// As [`work`], looking after each piece of `every` whether anybody still waits for it.
pub(super) fn work_watching(cost: Duration, every: Duration, ctx: &RunContext<'_>) -> Result<(), ModelError> {
    let mut left = cost;
    while !left.is_zero() {
        if ctx.is_cancelled() {
            return Err(ModelError::cancelled());
        }
        let piece = left.min(every);
        work(piece);
        left -= piece;
    }
    Ok(())
}

/// Waits for so long without a core, as a model does that runs on another device, and cannot be woken.
pub(super) fn wait(time: Duration) {
    wait_until(Instant::now() + time);
}

/// Waits until this instant, as precisely as the machine wakes a thread.
pub(super) fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

/// Waits for so long, unless somebody says through the hook that nobody waits any more.
pub(super) fn wait_hooked(time: Duration, ctx: &RunContext<'_>) -> Result<(), ModelError> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let _hook = ctx.on_cancel(move || {
        // Its place is free: it is told once.
        let _ = tell.try_send(());
    });
    match told.recv_timeout(time) {
        Ok(()) => Err(ModelError::cancelled()),
        Err(_) => Ok(()),
    }
}

/// A number that shows that an answer belongs to its question.
pub(super) fn mixed(number: u64) -> u64 {
    (number ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

/// Counts how many runs go on at once.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
}

/// A run that is counted, until dropped.
pub(super) struct Counted<'a>(&'a Gauge);

impl Gauge {
    pub(super) fn enter(&self) -> Counted<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
        Counted(self)
    }

    /// How many there were at once, at most.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// How many there were in all.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A model whose rows go through it together, as those of a neural network do: it answers them all or fails as a whole.
pub(super) struct Joint<I, O, F> {
    function: F,
    info: ModelInfo,
    weigh: fn(&I) -> Result<Footprint, ModelError>,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F> Joint<I, O, F>
where
    I: Send + 'static,
    O: Send + 'static,
    F: Fn(&[&I], &RunContext<'_>) -> Result<Vec<O>, ModelError> + Send + Sync + 'static,
{
    /// A model that watches its run, may be run again, and answers as many rows as it is given.
    pub(super) fn new(function: F) -> Self {
        let info = ModelInfo::new("joint", "rust")
            .with_batching(Batching::Joint)
            .with_interrupt(Interrupt::Cooperative)
            .with_rerun(Rerun::Safe);
        Self { function, info, weigh: |_| Ok(Footprint::single(size_of::<I>())), types: PhantomData }
    }

    /// Checks and weighs a request in this way.
    pub(super) fn weighed(mut self, weigh: fn(&I) -> Result<Footprint, ModelError>) -> Self {
        self.weigh = weigh;
        self
    }
}

impl<I, O, F> LoadedModel for Joint<I, O, F>
where
    I: Send + 'static,
    O: Send + 'static,
    F: Fn(&[&I], &RunContext<'_>) -> Result<Vec<O>, ModelError> + Send + Sync + 'static,
{
    type Input = I;
    type Output = O;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &I) -> Result<Footprint, ModelError> {
        (self.weigh)(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, I, O>) -> Result<(), ModelError> {
        serve(&mut JointInstance { function: &self.function, types: PhantomData });
        Ok(())
    }
}

struct JointInstance<'a, I, O, F> {
    function: &'a F,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F> Model for JointInstance<'_, I, O, F>
where
    F: Fn(&[&I], &RunContext<'_>) -> Result<Vec<O>, ModelError>,
{
    type Input = I;
    type Output = O;

    fn run(&mut self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        let inputs: Vec<&I> = batch.rows().iter().filter_map(|row| row.input()).collect();
        let outputs = (self.function)(&inputs, ctx)?;
        for (row, output) in batch.rows_mut().iter_mut().zip(outputs) {
            row.finish(Ok(output));
        }
        Ok(())
    }
}
