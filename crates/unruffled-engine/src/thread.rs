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
    /// As adaptive, until they run bulk work, whose threads are [idle](Self::Idle) from then on: for programs with a window. Whoever
    /// looks at it waits for the others.
    BulkIdle,
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
        enter(&entered, intent);
        body();
    })?;
    Ok(())
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
            && let Err(error) = idle()
        {
            tracing::debug!(thread = name, ?error, "thread keeps the default scheduling");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (name, intent);
}

/// Has the current thread run only when no other wants its core.
#[cfg(target_os = "linux")]
fn idle() -> Result<(), thread_priority::Error> {
    use thread_priority::unix::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    };

    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let own = thread_priority::unix::thread_native_id();
    set_thread_priority_and_policy(own, thread_priority::ThreadPriority::Min, policy)
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
