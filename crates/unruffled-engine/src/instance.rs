//! Instance threads: each builds one copy of a model, runs it, and replaces it when it breaks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use unruffled_model::{Batch, Model, ModelError, ModelErrorKind, RequestContext, RequestId, RunContext};

use crate::error::{Error, ErrorKind};
use crate::pool::{Failure, Pool, Work};
use crate::sync::panic_text;
use crate::thread::{self, Intent, ThreadPriority};

/// The pause before a broken instance is replaced a second time in a row; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Starts the threads of all instances.
pub(crate) fn start<I: Send + 'static, O: Send + 'static>(pool: &Arc<Pool<I, O>>) -> Result<(), Error> {
    // All of them from the start: the first must not fail before it is known that others are on their way.
    pool.instances_begun(pool.options().instances);
    for slot in 0..pool.options().instances_max {
        // Counted before it runs, so that nobody finds the pool empty in between.
        let presence = Presence::new(pool);
        thread::start(&thread_name(pool, slot), intent(pool), move || {
            live(&presence.0, slot);
        })
        .map_err(|error| {
            let message = format!("no thread for instance {slot}: {error}");
            Error::new(ErrorKind::NotReady, message).of_model(pool.name())
        })?;
    }
    Ok(())
}

fn thread_name<I: Send + 'static, O: Send + 'static>(pool: &Pool<I, O>, slot: usize) -> String {
    format!("{}/{slot}", pool.name())
}

/// What an instance's thread is for, before its model has shown its cost.
fn intent<I: Send + 'static, O: Send + 'static>(pool: &Pool<I, O>) -> Intent {
    match pool.thread_priority() {
        ThreadPriority::Low => Intent::Model,
        ThreadPriority::Idle => Intent::IdleModel,
        ThreadPriority::Normal | ThreadPriority::Adaptive | ThreadPriority::BulkIdle => Intent::CheapModel,
    }
}

/// A thread's place in the pool's count, given back however the thread ends.
struct Presence<I: Send + 'static, O: Send + 'static>(Arc<Pool<I, O>>);

impl<I: Send + 'static, O: Send + 'static> Presence<I, O> {
    fn new(pool: &Arc<Pool<I, O>>) -> Self {
        pool.thread_began();
        Self(Arc::clone(pool))
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Presence<I, O> {
    fn drop(&mut self) {
        self.0.thread_ended();
    }
}

/// Why an instance came to its end.
enum End {
    /// It never came up.
    NotBuilt,
    /// It broke.
    Broken,
    /// It broke when its run was cancelled, which is how some models are stopped.
    Stopped,
    /// It is not wanted any more; another may be, later.
    Spare,
    /// There is nothing left to do.
    NoMoreWork,
}

/// Builds, serves and replaces instances until there is no more work.
fn live<I: Send + 'static, O: Send + 'static>(pool: &Pool<I, O>, slot: usize) {
    let mut setbacks = 0;
    // Whatever has happened since the thread was asked for: an instance is built only for somebody.
    while pool.pause(slot, pause(setbacks)) {
        let (mut end, mut cold) = (End::NotBuilt, None);
        let built = catch_unwind(AssertUnwindSafe(|| {
            pool.model().with_instance(&mut |model| {
                // A backend may serve on a thread that it made.
                thread::enter(&thread_name(pool, slot), intent(pool));
                if let Err(error) = warm_up(pool, model) {
                    cold = Some(error);
                    return;
                }
                end = End::Broken;
                end = serve(pool, slot, model, &mut setbacks);
            })
        }));
        // Nothing is left to tell unless a caller's own code has panicked: the end of an input, say.
        pool.abandon(slot);
        match end {
            End::NoMoreWork => return,
            End::Spare => {
                setbacks = 0;
                continue;
            }
            End::Broken => tracing::warn!(model = &**pool.name(), instance = slot, "instance is replaced"),
            End::Stopped => {
                tracing::debug!(
                    model = &**pool.name(),
                    instance = slot,
                    "instance was stopped, and is replaced"
                );
                // No sign that anything is wrong with the model: callers may give up as often as they like.
                setbacks = 0;
                continue;
            }
            End::NotBuilt => {
                let error = match (built, cold) {
                    (_, Some(error)) => error,
                    (Ok(Err(error)), _) => Error::from_model(error),
                    (Ok(Ok(())), _) => Error::from_model(ModelError::failed("the backend lent no instance")),
                    (Err(payload), _) => {
                        let text = panic_text(&*payload);
                        Error::new(ErrorKind::ModelCrashed, format!("panicked: {text}"))
                    }
                };
                tracing::error!(model = &**pool.name(), instance = slot, %error, "instance could not be built");
                pool.instance_failed(slot, &error);
            }
        }
        setbacks += 1;
    }
}

/// The first replacement comes at once; a model that breaks again and again is given time.
fn pause(setbacks: u32) -> Duration {
    match setbacks {
        0 | 1 => Duration::ZERO,
        _ => FIRST_PAUSE.saturating_mul(1 << (setbacks - 2).min(16)).min(LONGEST_PAUSE),
    }
}

/// Runs one batch after another on one instance.
fn serve<I: Send + 'static, O: Send + 'static>(
    pool: &Pool<I, O>,
    slot: usize,
    model: &mut dyn Model<Input = I, Output = O>,
    setbacks: &mut u32,
) -> End {
    let priority = pool.thread_priority();
    let given = !matches!(priority, ThreadPriority::Adaptive | ThreadPriority::BulkIdle);
    let mut courtesy = Courtesy { given, ..Courtesy::default() };
    let mut yields_to_all = false;
    let mut up = Some(Up::new(pool, slot));
    while let Some(mut work) = pool.next(slot) {
        if priority == ThreadPriority::BulkIdle && !yields_to_all && work.is_bulk() {
            thread::enter(&thread_name(pool, slot), Intent::IdleModel);
            (yields_to_all, courtesy.given) = (true, true);
        }
        let begin = courtesy.wants_cpu_time().then(thread::cpu_time).flatten();
        let failure = run(model, &mut work);
        let on_core = begin.and_then(|begin| Some((thread::cpu_time()?.saturating_sub(begin), work.rows())));
        let broken = match &failure {
            Some(Failure::Panic(_)) => true,
            Some(Failure::Error(error)) => error.kind() == ModelErrorKind::Crashed,
            None => false,
        };
        if broken {
            // Before anybody hears of it, so that readiness is true by then.
            up = None;
        } else {
            *setbacks = 0;
        }
        // Whoever gives up later had no part in it, and no model is stopped by a panic.
        let is_stopped = broken && matches!(failure, Some(Failure::Error(_))) && work.is_cancelled();
        let row = pool.complete(slot, work, failure.as_ref(), pool.now());
        if courtesy.is_due(row, on_core) {
            thread::enter(&thread_name(pool, slot), Intent::Model);
        }
        if broken {
            return if is_stopped { End::Stopped } else { End::Broken };
        }
    }
    drop(up);
    if pool.left(slot) { End::Spare } else { End::NoMoreWork }
}

/// Runs the model's sample as often as is asked for, before anything depends on the instance: what is allocated, compiled or
/// read at the first run is so before the first request. Not counted, nor learned from.
fn warm_up<I: Send + 'static, O: Send + 'static>(
    pool: &Pool<I, O>,
    model: &mut dyn Model<Input = I, Output = O>,
) -> Result<(), Error> {
    let cold = |error: Error| {
        let message =
            format!("its warm-up failed: {}; give it another sample, or do without", error.message());
        Error::new(error.kind(), message)
    };
    for _ in 0..pool.options().warm_up {
        let Some(sample) = pool.model().sample() else { return Ok(()) };
        let requests = [RequestContext::new(RequestId::Text("warm-up".into()))];
        let mut batch = Batch::new([sample]);
        // As much as the runs that it makes ready for.
        let threads = pool.model().info().threads.max(1);
        let ctx = RunContext::new(pool.warming(), None, &requests).with_threads(threads);
        let failure = guarded(|| model.run(&mut batch, &ctx));
        let answer = batch.into_rows().pop().and_then(|row| row.into_parts().answer);
        match (failure, answer) {
            (Some(Failure::Panic(text)), _) => {
                return Err(cold(Error::new(ErrorKind::ModelCrashed, format!("panicked: {text}"))));
            }
            (Some(Failure::Error(error)), _) | (None, Some(Err(error))) => {
                return Err(cold(Error::from_model(error)));
            }
            (None, None) => {
                return Err(cold(Error::new(ErrorKind::ModelFailed, "gave no answer for the sample")));
            }
            (None, Some(Ok(_))) => {}
        }
    }
    Ok(())
}

/// An instance's place among those that are whole, given back however it ends.
struct Up<'a, I: Send + 'static, O: Send + 'static>(&'a Pool<I, O>, usize);

impl<'a, I: Send + 'static, O: Send + 'static> Up<'a, I, O> {
    fn new(pool: &'a Pool<I, O>, slot: usize) -> Self {
        pool.instance_up();
        Self(pool, slot)
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Up<'_, I, O> {
    fn drop(&mut self) {
        self.0.instance_down(self.1);
    }
}

/// Decides when a thread is to give way to others: once its rows have shown that they are not cheap.
///
/// A model of microseconds keeps nobody waiting, and on a busy machine a lower priority would cost it half of its
/// throughput, each hand-over being a race for a core. A run that took long may have been kept off its core, so that its
/// time on the core is what counts; that is asked only after one that took long.
#[derive(Default)]
struct Courtesy {
    given: bool,
    suspected: bool,
    costly_runs: u32,
    spent: Duration,
}

impl Courtesy {
    const CHEAP_ROW: Duration = Duration::from_micros(10);
    const RUNS: u32 = 8;
    const SPENT: Duration = Duration::from_millis(15);

    /// Whether the next run's time on the core is to be measured.
    fn wants_cpu_time(&self) -> bool {
        self.suspected && !self.given
    }

    /// Whether this run settles it, by how long its rows took each, and how long the whole was on the core.
    fn is_due(&mut self, row: Duration, on_core: Option<(Duration, u32)>) -> bool {
        self.suspected = row > Self::CHEAP_ROW;
        match on_core {
            _ if self.given => return false,
            Some((spent, rows)) if spent / rows.max(1) > Self::CHEAP_ROW => {
                self.costly_runs += 1;
                self.spent += spent;
            }
            _ => (self.costly_runs, self.spent) = (0, Duration::ZERO),
        }
        self.given = self.costly_runs >= Self::RUNS || self.spent >= Self::SPENT;
        self.given
    }
}

fn run<I, O>(model: &mut dyn Model<Input = I, Output = O>, work: &mut Work<I, O>) -> Option<Failure> {
    guarded(|| {
        let span = work.span().clone();
        let _entered = span.enter();
        let (batch, ctx) = work.parts();
        model.run(batch, &ctx)
    })
}

/// What the panic of a run leaves behind is answered or thrown away, never used again.
fn guarded(run: impl FnOnce() -> Result<(), ModelError>) -> Option<Failure> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Failure::Error(error)),
        Err(payload) => Some(Failure::Panic(panic_text(&*payload).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Courtesy;

    /// Feeds runs of one row, as (time taken, time on the core) in microseconds.
    #[track_caller]
    fn check(runs_us: &[(u64, u64)], settled_by: Option<usize>) {
        let mut courtesy = Courtesy::default();
        let settled = runs_us.iter().position(|&(taken, on_core)| {
            let on_core = courtesy.wants_cpu_time().then(|| (Duration::from_micros(on_core), 1));
            courtesy.is_due(Duration::from_micros(taken), on_core)
        });
        assert_eq!(settled, settled_by);
    }

    #[test]
    fn a_thread_gives_way_once_its_rows_are_known_to_be_costly() {
        check(&[(20_000, 20_000); 3], Some(1));
        check(&[(20, 20); 20], Some(8));
        check(&[(1, 1); 1000], None);
        // Kept off its core again and again, a cheap model is still cheap.
        check(&[(9_000, 1); 1000], None);
    }
}
