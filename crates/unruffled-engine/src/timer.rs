//! One thread that wakes exactly when something is due, and sleeps otherwise.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::sync::{panic_text, wake};
use crate::thread::{self, Intent};

/// How long an alarm that panicked is left alone.
const AFTER_PANIC: Duration = Duration::from_millis(1);

/// Something that wants to be called when a time has come.
pub(crate) trait Alarm: Send + Sync {
    /// Does what is due, and says when it next wants to be called.
    fn fire(&self, now: Instant) -> Option<Instant>;
}

/// Calls alarms on time, on a thread of its own that ends with the last handle.
#[derive(Clone)]
pub(crate) struct Timer(Arc<Stopper>);

/// Ends the thread when the last handle is dropped.
struct Stopper(Arc<Shared>);

#[derive(Default)]
struct Shared {
    alarms: Mutex<Alarms>,
    changed: Condvar,
    /// The time, where it is a test that makes it pass.
    #[cfg(test)]
    manual: Option<Mutex<Instant>>,
}

#[derive(Default)]
struct Alarms {
    next_id: u64,
    known: HashMap<u64, Entry>,
    due: BTreeSet<(Instant, u64)>,
    stopped: bool,
}

struct Entry {
    alarm: Weak<dyn Alarm>,
    due: Option<Instant>,
}

impl Alarms {
    /// Has the alarm called at `at`, or earlier if it was to be called earlier. Says whether that is now the very next.
    fn bring_forward(&mut self, id: u64, at: Instant) -> bool {
        let Some(entry) = self.known.get_mut(&id) else {
            return false;
        };
        if entry.due.is_some_and(|due| due <= at) {
            return false;
        }
        if let Some(due) = entry.due.replace(at) {
            self.due.remove(&(due, id));
        }
        self.due.insert((at, id));
        self.due.first() == Some(&(at, id))
    }

    fn forget(&mut self, id: u64) {
        if let Some(due) = self.known.remove(&id).and_then(|entry| entry.due) {
            self.due.remove(&(due, id));
        }
    }
}

impl Timer {
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let running = Arc::clone(&shared);
        thread::start("unruffled-timer", Intent::Timer, move || running.run())?;
        Ok(Self(Arc::new(Stopper(shared))))
    }

    /// A timer whose time passes when a test says so.
    #[cfg(test)]
    pub(crate) fn manual(begin: Instant) -> Self {
        let shared = Shared { manual: Some(Mutex::new(begin)), ..Shared::default() };
        Self(Arc::new(Stopper(Arc::new(shared))))
    }

    /// Has time pass until an alarm is due, but not beyond `target`, and fires it. False: none was due, and it is `target`.
    #[cfg(test)]
    pub(crate) fn advance(&self, target: Instant) -> bool {
        let shared = &self.0.0;
        let manual = shared.manual.as_ref().expect("a manual timer");
        let mut alarms = shared.alarms.lock();
        let due = alarms.due.first().map(|(at, _)| *at).filter(|at| *at <= target);
        let now = {
            let mut now = manual.lock();
            *now = due.unwrap_or(target).max(*now);
            *now
        };
        if due.is_some() {
            Shared::fire_first(&mut alarms, now);
        }
        due.is_some()
    }

    /// Has time pass, and fires what is due by then, each alarm at its own time.
    #[cfg(test)]
    pub(crate) fn advance_to(&self, target: Instant) {
        while self.advance(target) {}
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(manual) = &self.0.0.manual {
            return *manual.lock();
        }
        Instant::now()
    }

    /// Makes an alarm known. It is called only after [`AlarmHandle::wake_by`].
    pub(crate) fn register(&self, alarm: Weak<dyn Alarm>) -> AlarmHandle {
        let mut alarms = self.0.0.alarms.lock();
        let id = alarms.next_id;
        alarms.next_id += 1;
        alarms.known.insert(id, Entry { alarm, due: None });
        AlarmHandle { timer: self.clone(), id }
    }

    /// Completes at `at`, on any executor.
    pub(crate) fn sleep_until(&self, at: Instant) -> Sleep {
        let state = Arc::new(SleepState::default());
        let weak: Weak<dyn Alarm> = Arc::downgrade(&state) as Weak<dyn Alarm>;
        let handle = self.register(weak);
        handle.wake_by(at);
        Sleep { state, _handle: handle }
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.alarms.lock().stopped = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        let mut alarms = self.alarms.lock();
        while !alarms.stopped {
            let Some(&(at, _)) = alarms.due.first() else {
                self.changed.wait(&mut alarms);
                continue;
            };
            let now = Instant::now();
            if at > now {
                self.changed.wait_until(&mut alarms, at);
                continue;
            }
            Self::fire_first(&mut alarms, now);
        }
    }

    /// Fires the alarm that is due first.
    fn fire_first(alarms: &mut MutexGuard<'_, Alarms>, now: Instant) {
        let Some((_, id)) = alarms.due.pop_first() else { return };
        let entry = alarms.known.get_mut(&id).expect("what is due is known");
        entry.due = None;
        let alarm = entry.alarm.upgrade();
        // Called without the lock: an alarm may itself ask to be called, or end another.
        let next = MutexGuard::unlocked(alarms, || {
            let fired = catch_unwind(AssertUnwindSafe(|| {
                let next = alarm.as_ref().and_then(|alarm| alarm.fire(now));
                // The last owner may have gone meanwhile: its destructor needs the lock too.
                drop(alarm);
                next
            }));
            fired.unwrap_or_else(|payload| {
                // The end of a caller's input, say: nobody else's deadline may suffer for it.
                tracing::error!(
                    panic = panic_text(&*payload),
                    "what was due has panicked; it is called again"
                );
                Some(now + AFTER_PANIC)
            })
        });
        if let Some(next) = next {
            alarms.bring_forward(id, next);
        }
    }
}

/// One registered alarm; forgotten when dropped.
pub(crate) struct AlarmHandle {
    timer: Timer,
    id: u64,
}

impl AlarmHandle {
    /// Has the alarm called at `at`, unless it is to be called earlier anyhow.
    pub(crate) fn wake_by(&self, at: Instant) {
        let shared = &self.timer.0.0;
        if shared.alarms.lock().bring_forward(self.id, at) {
            shared.changed.notify_one();
        }
    }
}

impl Drop for AlarmHandle {
    fn drop(&mut self) {
        self.timer.0.0.alarms.lock().forget(self.id);
    }
}

/// A future that completes at a point in time. Cancel safe: dropping it forgets the wake-up.
pub(crate) struct Sleep {
    state: Arc<SleepState>,
    _handle: AlarmHandle,
}

#[derive(Default)]
struct SleepState(Mutex<(bool, Option<Waker>)>);

impl Alarm for SleepState {
    fn fire(&self, _: Instant) -> Option<Instant> {
        let waker = {
            let mut state = self.0.lock();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            wake(waker);
        }
        None
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.0.lock();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Arc, Weak};
    use std::time::{Duration, Instant};

    use super::{Alarm, Timer};

    struct Tell(mpsc::Sender<Instant>, Instant);

    impl Alarm for Tell {
        fn fire(&self, now: Instant) -> Option<Instant> {
            self.0.send(self.1).unwrap();
            assert!(now >= self.1, "an alarm fired early");
            None
        }
    }

    #[test]
    fn alarms_fire_in_the_order_they_are_due() {
        let timer = Timer::start().unwrap();
        let (tell, told) = mpsc::channel();
        let begin = Instant::now();
        let alarms: Vec<_> = [30, 10, 20]
            .map(|ms| {
                let at = begin + Duration::from_millis(ms);
                let alarm = Arc::new(Tell(tell.clone(), at));
                let handle = timer.register(Arc::downgrade(&alarm) as Weak<dyn Alarm>);
                handle.wake_by(at + Duration::from_secs(60));
                handle.wake_by(at);
                (alarm, handle)
            })
            .into_iter()
            .collect();
        let order: Vec<_> = told.iter().take(3).map(|at| (at - begin).as_millis()).collect();
        assert_eq!(order, [10, 20, 30]);
        drop(alarms);
    }

    #[test]
    fn a_forgotten_alarm_stays_silent() {
        let timer = Timer::start().unwrap();
        let (tell, told) = mpsc::channel();
        let at = Instant::now() + Duration::from_millis(5);
        let (first, second) =
            (Arc::new(Tell(tell.clone(), at)), Arc::new(Tell(tell, at + Duration::from_millis(5))));
        let forgotten = timer.register(Arc::downgrade(&first) as Weak<dyn Alarm>);
        forgotten.wake_by(at);
        let kept = timer.register(Arc::downgrade(&second) as Weak<dyn Alarm>);
        kept.wake_by(second.1);
        drop(forgotten);
        assert_eq!(told.recv().unwrap(), second.1);
    }

    #[test]
    fn sleeping_ends_on_time() {
        let timer = Timer::start().unwrap();
        let at = Instant::now() + Duration::from_millis(5);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(timer.sleep_until(at));
        assert!(Instant::now() >= at);
    }
}
