//! A worker's process, the group that it is in, and the guardian that ends the group with us.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Waits for the end of its input, which this process holds open and never writes to. However this process ends, the guardian
/// then ends its group, in which the worker and all that it starts are.
const GUARD: &str = "trap '' HUP INT TERM; read -r _; kill -s KILL 0";
/// The same for systems without a shell.
const GUARD_IN_PYTHON: &str = "import os, signal; os.read(0, 1); os.killpg(0, signal.SIGKILL)";

/// What a process is made of.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A worker's process. Dropping it kills it with all that it has started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// It was waited for: its number may be another's by now.
    is_ended: bool,
    status: Option<ExitStatus>,
    guardian: Guardian,
}

/// A process that has just begun, and this side of what connects it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) socket: UnixStream,
    pub(crate) errors: PipeReader,
}

impl Process {
    /// Starts a process in a group of its own, with a socket as its standard input and one pipe for all that it prints.
    pub(crate) fn start(spec: &Spec) -> io::Result<Started> {
        let guardian = Guardian::start(spec)?;
        let (socket, theirs) = UnixStream::pair()?;
        let (errors, their_errors) = io::pipe()?;
        let child = Command::new(&spec.program)
            .args(&spec.arguments)
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(OwnedFd::from(theirs))
            .stdout(their_errors.try_clone()?)
            .stderr(their_errors)
            .process_group(guardian.group.as_raw_nonzero().get())
            .spawn()?;
        let pid = pid_of(&child);
        Ok(Started {
            process: Process { child, pid, is_ended: false, status: None, guardian },
            socket,
            errors,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process, not those that it has started, to stop what it does.
    pub(crate) fn interrupt(&self) {
        // Until it is waited for, the process keeps its number, dead or alive.
        if !self.is_ended {
            let _ = kill_process(self.pid, Signal::INT);
        }
    }

    /// Kills the whole group and waits for the end of the process. One that was dying already keeps the status that it had.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        if !self.is_ended {
            self.guardian.end_group();
            self.is_ended = true;
            // Where somebody else takes note of ended processes there is no status to be had.
            self.status = self.child.wait().ok();
        }
        self.status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The first process of a group, which is waited for last: until then the group's number is not given to another.
#[derive(Debug)]
struct Guardian {
    child: Child,
    group: Pid,
    /// Open for as long as the group is to live.
    _life: PipeWriter,
}

impl Guardian {
    fn start(spec: &Spec) -> io::Result<Self> {
        let (life_end, life) = io::pipe()?;
        let again = life_end.try_clone()?;
        let begin = |program: &OsStr, arguments: &[&str], input: PipeReader| {
            Command::new(program)
                .args(arguments)
                .arg("unruffled-guardian")
                .stdin(OwnedFd::from(input))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
        };
        let child = begin("/bin/sh".as_ref(), &["-c", GUARD], life_end)
            .or_else(|_| begin(&spec.program, &["-I", "-S", "-c", GUARD_IN_PYTHON], again))?;
        let group = pid_of(&child);
        Ok(Self { child, group, _life: life })
    }

    fn end_group(&self) {
        // Fails only when all of them are gone.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.end_group();
        // It was killed, so that this does not last; what it has to say is of no use.
        let _ = self.child.wait();
    }
}

fn pid_of(child: &Child) -> Pid {
    let raw = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    raw.expect("the system gives positive numbers to processes")
}

/// How a process has ended, as people say it.
pub(crate) fn describe(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "has ended".into() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(9)) => "was killed by SIGKILL, which the system sends when memory runs out".into(),
        (None, Some(signal)) => format!("died of {}", signal_name(signal)),
        (None, None) => format!("ended with {status}"),
    }
}

fn signal_name(number: i32) -> String {
    let known = [
        (Signal::ILL, "SIGILL"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::SEGV, "SIGSEGV, a bad access to memory"),
        (Signal::TERM, "SIGTERM"),
        (Signal::INT, "SIGINT"),
        (Signal::HUP, "SIGHUP"),
        (Signal::XCPU, "SIGXCPU"),
    ];
    let named = known.iter().find(|(signal, _)| signal.as_raw() == number);
    named.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}
