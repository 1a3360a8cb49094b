//! The runner: takes jobs out of their queue, has models run them, and says what became of them.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use futures_core::Stream as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use unruffled_model::Name;

use super::clock::Clock;
use super::model::{JobCall, JobReporter, JobRun};
use super::models::Models;
use super::options::JobsOptions;
use super::payload::Payload;
use super::queue::{Claim, ClaimCall, ClaimKey, Claimed, JobQueue, Release, Want};
use super::retry::{Settled, settle};
use super::status::JobOutcome;
use crate::error::{Error, ErrorKind};
use crate::sync::panic_text;

/// How long a store that fails is left alone.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Between two calls for which nothing has happened.
const PAUSE: Duration = Duration::from_millis(1);

/// How many pieces of work of callers wait for the runner's thread; whoever has more waits to hand them over.
pub(super) const CHORES: usize = 64;

/// From so many bytes on, values are put into bytes and read out of them on the runner's thread.
pub(super) const MUCH: usize = 64 << 10;

/// What is too much work for a caller's thread, done on the runner's.
pub(super) type Chore = Box<dyn FnOnce() + Send>;

/// How far the end of a runner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It takes jobs.
    Open,
    /// It takes no more; those that run go on.
    Draining,
    /// Those that run are stopped, and go back.
    Closing,
    /// It has nothing, and is gone.
    Ended,
}

/// What the runner's thread and its callers share.
pub(super) struct Shared {
    pub(super) queue: Arc<dyn JobQueue>,
    pub(super) models: Models,
    pub(super) clock: Clock,
    pub(super) options: JobsOptions,
    pub(super) phase: watch::Sender<Phase>,
    /// Counts models that were given to serve.
    pub(super) served: watch::Sender<u64>,
    pub(super) chores: mpsc::Sender<Chore>,
    pub(super) random: Mutex<fastrand::Rng>,
}

impl Shared {
    /// Goes on to a later phase of the end; nothing leads back.
    pub(super) fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = *now < phase;
            *now = phase.max(*now);
            later
        });
    }

    /// Has a piece of work done on the runner's thread; `None` if that is gone.
    pub(super) async fn elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, answer) = oneshot::channel();
        let chore = Box::new(move || {
            // Whoever asked may have gone.
            let _ = done.send(work());
        });
        self.chores.send(chore).await.ok()?;
        answer.await.ok()
    }
}

/// Has jobs run until its end. Polled by a thread that does little else.
pub(super) async fn run(shared: Arc<Shared>, chores: mpsc::Receiver<Chore>) {
    let mut runner = Runner {
        name: format!("runner-{:016x}", shared.random.lock().u64(..)).into(),
        signals: Signals {
            phases: shared.phase.subscribe(),
            served: shared.served.subscribe(),
            arrivals: shared.models.arrivals(),
        },
        work: Work { chores, running: FuturesUnordered::new(), held: HashMap::new(), freed: false },
        shared: Arc::clone(&shared),
    };
    // Also if it panics: whoever waits for a job must hear that nobody runs it.
    let _ended = Ended(shared);
    runner.run().await;
}

struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.advance(Phase::Ended);
        // They may hold the engine, which holds this.
        self.0.models.clear();
    }
}

struct Runner {
    shared: Arc<Shared>,
    name: Name,
    signals: Signals,
    work: Work,
}

/// What makes a runner look again, besides its queue.
struct Signals {
    phases: watch::Receiver<Phase>,
    served: watch::Receiver<u64>,
    arrivals: Option<watch::Receiver<()>>,
}

/// What goes on in a runner.
struct Work {
    chores: mpsc::Receiver<Chore>,
    running: FuturesUnordered<Pin<Box<dyn Future<Output = ClaimKey> + Send>>>,
    held: HashMap<ClaimKey, Held>,
    /// Whether one has ended since the queue was last told what there is room for.
    freed: bool,
}

/// A job that runs here.
struct Held {
    model: Name,
    stop: Option<oneshot::Sender<Stop>>,
}

/// Why a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Somebody asked for the end of the job.
    Withdrawn,
    /// The runner ends.
    Closing,
}

impl Runner {
    async fn run(&mut self) {
        loop {
            let phase = *self.signals.phases.borrow_and_update();
            if phase >= Phase::Closing {
                self.work.held.values_mut().for_each(|held| held.stop(Stop::Closing));
            }
            if phase >= Phase::Draining && self.work.held.is_empty() {
                return;
            }
            // Before the call: what comes or ends while it is under way is news.
            let changed = self.shared.queue.changed();
            self.work.freed = false;
            let call = ClaimCall {
                runner: self.name.clone(),
                held: self.work.held.keys().copied().collect(),
                wants: if phase == Phase::Open { self.wants() } else { Vec::new() },
            };
            let now = self.shared.clock.now();
            let queue = Arc::clone(&self.shared.queue);
            let claimed = self.work.meanwhile(queue.claim(now, call)).await;
            let next = match claimed {
                Ok(claimed) => self.take(now, claimed),
                Err(error) => {
                    tracing::error!(%error, "jobs cannot be claimed; trying again");
                    now + AFTER_FAILURE
                }
            };
            self.rest(changed, next).await;
        }
    }

    /// What there is room for.
    fn wants(&self) -> Vec<Want> {
        let mut names: HashMap<Name, usize> = HashMap::new();
        for held in self.work.held.values() {
            *names.entry(held.model.clone()).or_default() += 1;
        }
        let in_flight = self.shared.options.in_flight;
        let room = |model: Name| {
            let jobs = in_flight.saturating_sub(names.get(&model).copied().unwrap_or(0));
            (jobs > 0).then_some(Want { model, jobs })
        };
        self.shared.models.names().into_iter().filter_map(room).collect()
    }

    /// Begins what was claimed, stops what is not wanted, and says when to call again.
    fn take(&mut self, now: SystemTime, claimed: Claimed) -> SystemTime {
        for key in claimed.withdrawn {
            if let Some(held) = self.work.held.get_mut(&key) {
                held.stop(Stop::Withdrawn);
            }
        }
        for claim in claimed.claims {
            let (stop, stopped) = oneshot::channel();
            self.work.held.insert(claim.key, Held { model: claim.terms.model.clone(), stop: Some(stop) });
            self.work.running.push(Box::pin(perform(Arc::clone(&self.shared), claim, stopped)));
        }
        let heartbeat = now + self.shared.queue.limits().hold() / 3;
        // A queue that says "now" has the runner call again, but not without a pause.
        claimed.next.map_or(heartbeat, |next| next.clamp(now + PAUSE, heartbeat))
    }

    /// Waits for something to do, or until `next`. Runs go on and chores are done meanwhile.
    async fn rest(&mut self, changed: impl Future<Output = ()>, next: SystemTime) {
        let clock = &self.shared.clock;
        let mut due = pin!(async {
            match clock.instant(next) {
                Some(at) => clock.timer().sleep_until(at).await,
                None => std::future::pending().await,
            }
        });
        let mut changed = pin!(changed);
        let mut stirred = pin!(self.signals.changed());
        let work = &mut self.work;
        std::future::poll_fn(|cx| {
            work.poll(cx);
            let woken = work.freed
                || stirred.as_mut().poll(cx).is_ready()
                || changed.as_mut().poll(cx).is_ready()
                || due.as_mut().poll(cx).is_ready();
            if woken { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Signals {
    async fn changed(&mut self) {
        let Self { phases, served, arrivals } = self;
        let mut phases = pin!(phases.changed());
        let mut served = pin!(served.changed());
        let mut arrivals = pin!(async {
            if let Some(arrivals) = arrivals
                && arrivals.changed().await.is_ok()
            {
                return;
            }
            // The engine is gone, and with it this runner soon.
            std::future::pending::<()>().await;
        });
        std::future::poll_fn(|cx| {
            let any = phases.as_mut().poll(cx).is_ready()
                || served.as_mut().poll(cx).is_ready()
                || arrivals.as_mut().poll(cx).is_ready();
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Work {
    /// Awaits the queue. Runs go on and chores are done meanwhile.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            self.poll(cx);
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Polls what runs, and does chores.
    fn poll(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(chore)) = self.chores.poll_recv(cx) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(chore)) {
                // Its caller hears of it by the channel that it had.
                tracing::error!(panic = panic_text(&*payload), "the form in bytes of a job panicked");
            }
        }
        while let Poll::Ready(Some(key)) = Pin::new(&mut self.running).poll_next(cx) {
            self.held.remove(&key);
            self.freed = true;
        }
    }
}

impl Held {
    fn stop(&mut self, why: Stop) {
        if let Some(stop) = self.stop.take() {
            // It may have come to its end just now.
            let _ = stop.send(why);
        }
    }
}

/// Runs one job, and says what became of it, as often as it takes to be heard.
async fn perform(shared: Arc<Shared>, claim: Claim, stopped: oneshot::Receiver<Stop>) -> ClaimKey {
    let (key, returned) = (claim.key, claim.returned);
    let ran = until_stopped(begin(&shared, claim), stopped).await;
    let settled = match ran {
        Ran::Ended(Ok(result)) => Settled::Ended(JobOutcome::Done(result)),
        Ran::Ended(Err(error)) => {
            let chance = shared.random.lock().f64();
            settle(&error, returned, shared.options.backoff, chance)
        }
        Ran::Stopped(Stop::Withdrawn) => Settled::Ended(JobOutcome::Cancelled),
        Ran::Stopped(Stop::Closing) => Settled::Back(Release::Return),
    };
    loop {
        let now = shared.clock.now();
        let told = match settled.clone() {
            Settled::Ended(outcome) => shared.queue.complete(now, key, outcome).await.map(drop),
            Settled::Back(release) => shared.queue.release(now, key, release).await,
        };
        let Err(error) = told else { return key };
        tracing::error!(job = %key.id, %error, "what became of a job cannot be stored; trying again");
        // A queue on disk finds out by itself, when it is opened again.
        if *shared.phase.borrow() >= Phase::Closing {
            return key;
        }
        let again = shared.clock.timer().now() + AFTER_FAILURE;
        shared.clock.timer().sleep_until(again).await;
    }
}

/// Begins the run of a job, through whatever model has its name now.
fn begin(shared: &Shared, claim: Claim) -> JobRun {
    let model = match shared.models.find(&claim.terms.model) {
        Ok(model) => model,
        Err(error) => return Box::pin(std::future::ready(Err(error))),
    };
    let deadline = claim.terms.deadline.and_then(|deadline| shared.clock.instant(deadline));
    let call = JobCall {
        id: claim.key.id,
        attempt: claim.attempt,
        input: claim.input,
        context: claim.terms.context(claim.key.id).with_deadline(deadline),
        reporter: JobReporter { queue: Arc::clone(&shared.queue), key: claim.key },
    };
    match catch_unwind(AssertUnwindSafe(|| model.run(call))) {
        Ok(run) => run,
        Err(payload) => Box::pin(std::future::ready(Err(crashed(&*payload)))),
    }
}

/// How a run came to its end.
enum Ran {
    Ended(Result<Payload, Error>),
    Stopped(Stop),
}

/// A run, until it is told to stop. It is dropped before this completes.
async fn until_stopped(run: JobRun, mut stopped: oneshot::Receiver<Stop>) -> Ran {
    let mut run = Some(run);
    std::future::poll_fn(move |cx| {
        // First: a result that comes together with the wish to stop is wanted by nobody.
        if let Poll::Ready(Ok(stop)) = Pin::new(&mut stopped).poll(cx) {
            crate::sync::discard(run.take());
            return Poll::Ready(Ran::Stopped(stop));
        }
        let Some(running) = &mut run else { return Poll::Pending };
        let ended = match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(polled) => ready!(polled),
            Err(payload) => Err(crashed(&*payload)),
        };
        crate::sync::discard(run.take());
        Poll::Ready(Ran::Ended(ended))
    })
    .await
}

fn crashed(payload: &(dyn std::any::Any + Send)) -> Error {
    Error::new(ErrorKind::ModelCrashed, format!("the run of the job panicked: {}", panic_text(payload)))
}
