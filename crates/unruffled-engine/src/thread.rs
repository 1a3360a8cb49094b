//! Threads: each has a name and says what it is for, and that decides its priority.

use std::io;
use std::time::Duration;

/// How instance threads stand beside the application's own, where the system has priorities of threads (Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadPriority {
    /// As the application's.
    Normal,
    /// They give way once their runs have shown that they are not cheap.
    Adaptive,
    /// They give way from the start.
    Low,
    /// They run only when nobody else on the machine wants the core, and leave it at once: a window or a heartbeat beside them is as
    /// much on time as if they were not there. Beside other work that never pauses they get next to nothing.
    Idle,
}

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Runs a model whose cost is not known yet, or so small that it keeps nobody waiting.
    CheapModel,
    /// Runs a model that keeps a core busy: gives way to the application's threads, which draw windows and answer health
    /// checks.
    Model,
    /// Runs a model on what nobody else wants.
    IdleModel,
    /// Loads a model: gives way to running models too.
    Load,
    /// Feeds models with jobs: nobody waits for that at a screen.
    Jobs,
    /// Fires deadlines: short work that must be on time.
    Timer,
}

impl Intent {
    /// The nice value on Linux, where it counts per thread; elsewhere threads keep the default priority. It can only be
    /// raised again by a privileged user, so that a thread begins with the lower one.
    #[cfg(target_os = "linux")]
    const fn nice(self) -> i32 {
        match self {
            Intent::CheapModel | Intent::IdleModel | Intent::Timer => 0,
            Intent::Model | Intent::Jobs => 5,
            Intent::Load => 10,
        }
    }
}

/// Starts a thread that nobody joins: its end is told by what it owns.
pub(crate) fn start(name: &str, intent: Intent, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let entered = name.to_owned();
    #[allow(clippy::disallowed_methods, reason = "the one place where threads are made")]
    std::thread::Builder::new().name(name.replace('\0', "")).spawn(move || {
        let entered = move || {
            enter(&entered, intent);
            body();
        };
        match intent {
            Intent::Load => unnoticed(entered),
            _ => entered(),
        }
    })?;
    Ok(())
}

/// How long a load keeps to what nobody else wants. A nice value alone does not keep a load from holding a core for milliseconds
/// while a request waits for it; but on a machine that never pauses, what keeps to the rest gets next to nothing.
#[cfg(target_os = "linux")]
const UNNOTICED: Duration = Duration::from_millis(50);

/// Runs only when no other wants the core, for so long; then, if that was not enough, by its nice value, which `body` sets: it
/// cannot be set back.
#[cfg(target_os = "linux")]
fn unnoticed(body: impl FnOnce()) {
    use std::sync::mpsc::{RecvTimeoutError, channel};

    let own = thread_priority::unix::thread_native_id();
    if let Err(error) = schedule(own, Policy::Idle) {
        tracing::debug!(?error, "a load keeps the default scheduling");
        return body();
    }
    let (ended, watched) = channel::<()>();
    std::thread::scope(|scope| {
        // Ends before the thread that it watches, whatever comes of that.
        let watch = move || {
            if watched.recv_timeout(UNNOTICED) == Err(RecvTimeoutError::Timeout) {
                raise(own);
            }
        };
        #[allow(clippy::disallowed_methods, reason = "it is joined here")]
        let started = std::thread::Builder::new().name("load watch".into()).spawn_scoped(scope, watch);
        if started.is_err() {
            raise(own);
        }
        // Dropped also if the load panics.
        let _ended = ended;
        body();
    });
}

#[cfg(not(target_os = "linux"))]
fn unnoticed(body: impl FnOnce()) {
    body();
}

/// Gives the current thread, which a backend may have made, its name and priority.
pub(crate) fn enter(name: &str, intent: Intent) {
    #[cfg(target_os = "linux")]
    {
        // The kernel keeps 15 bytes: the end says which instance it is.
        let start = name.len().saturating_sub(15);
        let tail: Vec<u8> = name.bytes().skip(start).filter(|&byte| byte != 0).collect();
        let named = std::ffi::CString::new(tail).map(|tail| rustix::thread::set_name(&tail));
        let niced = match intent.nice() {
            // What the process has is what it stays with.
            0 => Ok(()),
            nice => rustix::process::setpriority_process(None, nice),
        };
        if let (Ok(Err(error)), _) | (_, Err(error)) = (named, niced) {
            tracing::debug!(thread = name, %error, "thread keeps the default name or priority");
        }
        if intent == Intent::IdleModel
            && let Err(error) = schedule(thread_priority::unix::thread_native_id(), Policy::Idle)
        {
            tracing::debug!(thread = name, ?error, "thread keeps the default scheduling");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (name, intent);
}

#[cfg(target_os = "linux")]
use thread_priority::unix::{NormalThreadSchedulePolicy as Policy, ThreadId};

/// Has a thread scheduled by this policy.
#[cfg(target_os = "linux")]
fn schedule(thread: ThreadId, policy: Policy) -> Result<(), thread_priority::Error> {
    use thread_priority::unix::{ThreadSchedulePolicy, set_thread_priority_and_policy};

    let policy = ThreadSchedulePolicy::Normal(policy);
    set_thread_priority_and_policy(thread, thread_priority::ThreadPriority::Min, policy)
}

/// Has a thread that kept to what nobody wants scheduled like others again.
#[cfg(target_os = "linux")]
fn raise(thread: ThreadId) {
    if let Err(error) = schedule(thread, Policy::Other) {
        tracing::debug!(?error, "a load keeps to what nobody else wants");
    }
}

/// The time that the current thread has spent on a core so far; `None` where priorities are left alone.
pub(crate) fn cpu_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}
