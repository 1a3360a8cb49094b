//! [`Worker`]: a Python process with a model in it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unruffled_model::{Dim, ModelError, Name, RunContext, Signature, TensorSpec, Tensors};

use crate::batch::Gathered;
use crate::channel::{Channel, Fault, Signal, Wake};
use crate::exchange::{Exchange, INLINE_MAX, Placed};
use crate::frame::Kind;
use crate::launcher::Launcher;
use crate::message::{Hello, Load, Loaded, Outputs, RawSignature, RowContext, Run, RunError, Unloadable};
use crate::process::{self, Process, Started};
use crate::settings::Settings;
use crate::shared::SharedFile;
use crate::sources;
use crate::transcript::Transcript;

/// How often it is asked whether a load is still wanted: nobody rings for that.
const TICK: Duration = Duration::from_millis(20);
/// How much of what a dead worker wrote last goes into an error, in lines.
const LAST_LINES: usize = 20;

/// A Python process, connected, with or without its model.
#[derive(Debug)]
pub(crate) struct Worker {
    settings: Arc<Settings>,
    channel: Channel,
    transcript: Transcript,
    process: Process,
    shared: SharedFile,
    wake: Arc<Wake>,
    run: u64,
    description: Option<Description>,
    /// After how many changes of its files the model was loaded.
    pub(crate) generation: u64,
}

/// What a worker says of its model once it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Description {
    pub(crate) signature: Signature,
    /// What the model wants back: outputs that are inputs of the next call, under the same name.
    pub(crate) state: Vec<Name>,
    /// Whether rows of several requests may be run at once.
    pub(crate) is_joint: bool,
    /// The most memory that the process has had so far, in bytes.
    pub(crate) resident: u64,
}

impl Worker {
    /// Starts the interpreter and waits until it is up.
    pub(crate) fn start(
        settings: &Arc<Settings>,
        launcher: &Launcher,
        unwanted: &dyn Fn() -> bool,
    ) -> Result<Self, ModelError> {
        let interpreter = settings.interpreter.display();
        let failed = |what: &str, error: std::io::Error| {
            ModelError::failed(format!("{what}: {error}")).caused_by(error)
        };
        let Started { process, socket, errors } = launcher.start(&settings.spec).map_err(|error| {
            let remedy = "set `python` to an interpreter, or to the folder of a virtual environment";
            failed(&format!("cannot start the Python interpreter {interpreter} ({remedy})"), error)
        })?;
        let transcript = Transcript::begin(errors, Arc::clone(&settings.name), process.id())
            .map_err(|error| failed("cannot read what the worker writes", error))?;
        let no_memory = |error| failed("cannot share memory with the worker", error);
        let mut worker = Self {
            settings: Arc::clone(settings),
            channel: Channel::new(socket).map_err(no_memory)?,
            transcript,
            process,
            shared: SharedFile::new().map_err(no_memory)?,
            wake: Arc::new(Wake::new().map_err(no_memory)?),
            run: 0,
            description: None,
            generation: 0,
        };
        let until = Instant::now() + settings.python.load_timeout;
        let sent = worker.channel.send_raw(&sources::packed(), None, Some(until));
        sent.map_err(|fault| worker.broken(fault))?;
        worker.await_frame(unwanted)?;
        let hello: Hello = worker.message(Kind::Hello)?;
        tracing::debug!(
            model = &*worker.settings.name,
            pid = worker.process.id(),
            python = hello.python,
            numpy = hello.numpy,
            interpreter = hello.executable,
            "worker is up"
        );
        Ok(worker)
    }

    /// Whether the model is in it.
    pub(crate) fn is_loaded(&self) -> bool {
        self.description.is_some()
    }

    /// Loads the model, unless that is done.
    pub(crate) fn load(&mut self, unwanted: &dyn Fn() -> bool) -> Result<Description, ModelError> {
        if let Some(description) = &self.description {
            return Ok(description.clone());
        }
        let settings = Arc::clone(&self.settings);
        let python = &settings.python;
        let Some(path) = settings.path.to_str() else {
            let path = settings.path.display();
            return Err(ModelError::unsupported(format!("the path {path} is not UTF-8")));
        };
        let load = Load {
            path,
            kind: settings.kind.name(),
            signature: python.signature.as_ref().map(RawSignature::of),
            trusted_types: &python.trusted_types,
            threads: settings.threads,
            nice: python.nice,
            memory_max: python.memory_max,
            shared_max: python.shared_memory_max,
            inline_max: INLINE_MAX,
            log_level: log_level(),
        };
        let header = serde_json::to_vec(&load).expect("it has no maps with odd keys");
        self.channel
            .send_file(self.shared.as_fd())
            .and_then(|()| self.channel.send(Kind::Load, &header, &[], &self.wake))
            .map_err(|fault| self.broken(fault))?;
        self.await_frame(unwanted)?;
        if self.channel.frame().is_some_and(|frame| frame.kind == Kind::Unloadable) {
            let unloadable: Unloadable = self.message(Kind::Unloadable)?;
            return Err(self.unloadable(unloadable));
        }
        let loaded: Loaded = self.message(Kind::Loaded)?;
        let description = self.described(loaded)?;
        Ok(self.description.insert(description).clone())
    }

    fn described(&mut self, loaded: Loaded) -> Result<Description, ModelError> {
        let nonsense = |message: String| ModelError::failed(format!("the worker {message}"));
        let mut signature = loaded.signature.checked().map_err(nonsense)?;
        let body = self.channel.frame().map_or(&[][..], |frame| frame.body);
        let exchange = Exchange::new(&self.shared, self.settings.python.shared_memory_max);
        let mut state = Vec::new();
        for (name, initial) in exchange.take(&loaded.state, body).map_err(nonsense)?.tensors {
            let mut spec = TensorSpec::new(name, initial.dtype(), vec![Dim::Any; initial.shape().len()]);
            signature.outputs.push(spec.clone());
            spec.default = Some(initial);
            state.push(spec.name.clone());
            signature.inputs.push(spec);
        }
        let libraries = loaded.libraries.iter().map(|(name, version)| format!("{name} {version}"));
        tracing::debug!(
            model = &*self.settings.name,
            pid = self.id(),
            libraries = libraries.collect::<Vec<_>>().join(", "),
            resident = loaded.resident,
            "model is loaded"
        );
        Ok(Description { signature, state, is_joint: loaded.joint, resident: loaded.resident })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it is alive, between runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.channel.is_quiet()
    }

    /// Runs once. Outputs of a stream go to `emit`; the last one, or the only one, is returned.
    ///
    /// # Errors
    ///
    /// `Crashed`: the process is gone, and this worker with it. After any other error it is as good as before.
    pub(crate) fn run(
        &mut self,
        inputs: &[Gathered<'_>],
        rows: Vec<RowContext<'_>>,
        ctx: &RunContext<'_>,
        emit: &mut dyn FnMut(Tensors) -> Result<(), ModelError>,
    ) -> Result<Option<Tensors>, ModelError> {
        self.run += 1;
        self.wake.hush();
        let wake = Arc::clone(&self.wake);
        let _hook = ctx.on_cancel(move || wake.ring());
        let exchange = Exchange::new(&self.shared, self.settings.python.shared_memory_max);
        let Placed { entries, body, mut end } = exchange.put(inputs)?;
        let header = serde_json::to_vec(&Run { run: self.run, rows, inputs: entries });
        let header = header.expect("it has no maps with odd keys");
        self.channel.send(Kind::Run, &header, &body, &self.wake).map_err(|fault| self.broken(fault))?;
        let mut stopping: Option<Stopping> = None;
        loop {
            let wake = stopping.is_none().then_some(&*self.wake);
            let until = stopping.as_ref().map(|stopping| stopping.until);
            match self.channel.wait(wake, until).map_err(|fault| self.broken(fault))? {
                Signal::Woken => stopping = Some(self.stop(ModelError::cancelled())),
                Signal::TimedOut => return Err(self.killed()),
                Signal::Frame => match self.answer(&mut end).map_err(|fault| self.broken(fault))? {
                    Answer::Item(outputs) => {
                        self.channel
                            .send(Kind::More, b"{}", &[], &self.wake)
                            .map_err(|fault| self.broken(fault))?;
                        if stopping.is_none()
                            && let Err(error) = emit(outputs)
                        {
                            stopping = Some(self.stop(error));
                        }
                    }
                    Answer::Over(result) => {
                        let settled = self.shared.settle(end);
                        settled.map_err(|error| self.broken(Fault::Io(error)))?;
                        return stopping.map_or(result, |stopping| Err(stopping.reason));
                    }
                },
            }
        }
    }

    /// Asks the run to stop.
    fn stop(&self, reason: ModelError) -> Stopping {
        // Without this the signal is not heeded, and the process is killed when the grace is over.
        if let Err(error) = self.shared.stop(self.run) {
            tracing::warn!(model = &*self.settings.name, %error, "cannot ask the worker to stop");
        }
        self.process.interrupt();
        Stopping { reason, until: Instant::now() + self.settings.python.cancel_grace }
    }

    /// Reads the frame that has come during a run.
    fn answer(&mut self, end: &mut u64) -> Result<Answer, Fault> {
        let Some(frame) = self.channel.frame() else {
            return Err(Fault::Nonsense("sent nothing".into()));
        };
        let (kind, header) = (frame.kind, frame.header);
        if kind == Kind::Error {
            let error: RunError = parsed(header)?;
            self.check_run(error.run)?;
            self.renew(error.kept)?;
            return Ok(Answer::Over(Err(error.into_model_error())));
        }
        if !matches!(kind, Kind::Done | Kind::Item) {
            return Err(Fault::Nonsense(format!("sent a frame of kind {kind:?} during a run")));
        }
        let outputs: Outputs = parsed(header)?;
        self.check_run(outputs.run)?;
        let exchange = Exchange::new(&self.shared, self.settings.python.shared_memory_max);
        let taken = outputs.outputs.map(|entries| exchange.take(&entries, frame.body)).transpose();
        let taken = taken.map_err(Fault::Nonsense)?;
        *end = taken.as_ref().map_or(*end, |taken| taken.end.max(*end));
        match (kind, taken.map(|taken| taken.tensors)) {
            (Kind::Item, Some(tensors)) => Ok(Answer::Item(tensors)),
            (Kind::Item, None) => Err(Fault::Nonsense("sent an output that is none".into())),
            (_, tensors) => {
                self.renew(outputs.kept)?;
                Ok(Answer::Over(Ok(tensors)))
            }
        }
    }

    fn check_run(&self, run: u64) -> Result<(), Fault> {
        match run == self.run {
            true => Ok(()),
            false => Err(Fault::Nonsense(format!("answered run {run} instead of {}", self.run))),
        }
    }

    /// Leaves the shared memory to a model that holds on to it, and goes on with another.
    fn renew(&mut self, is_kept: bool) -> Result<(), Fault> {
        if is_kept {
            self.shared = SharedFile::new()?;
            self.channel.send_file(self.shared.as_fd())?;
        }
        Ok(())
    }

    /// Waits for a frame while the worker comes up.
    fn await_frame(&mut self, unwanted: &dyn Fn() -> bool) -> Result<(), ModelError> {
        let timeout = self.settings.python.load_timeout;
        let end = Instant::now() + timeout;
        loop {
            let until = end.min(Instant::now() + TICK);
            match self.channel.wait(None, Some(until)).map_err(|fault| self.broken(fault))? {
                Signal::Frame => return Ok(()),
                _ if unwanted() => return Err(ModelError::cancelled()),
                _ if Instant::now() >= end => {
                    self.process.kill();
                    return Err(self.told(&format!("was not ready within {timeout:?}: raise `load_timeout`")));
                }
                _ => {}
            }
        }
    }

    /// What the frame that has come says, if it is of this kind.
    fn message<T: serde::de::DeserializeOwned>(&mut self, kind: Kind) -> Result<T, ModelError> {
        let read = match self.channel.frame() {
            Some(frame) if frame.kind == kind => parsed(frame.header),
            frame => Err(Fault::Nonsense(format!(
                "sent a frame of kind {:?} where {kind:?} belongs",
                frame.map(|frame| frame.kind)
            ))),
        };
        read.map_err(|fault| self.broken(fault))
    }

    fn unloadable(&self, unloadable: Unloadable) -> ModelError {
        let (path, interpreter) = (self.settings.path.display(), self.settings.interpreter.display());
        let remedy = unloadable.missing.map(|module| {
            let package = if module == "sklearn" { "scikit-learn" } else { module.as_str() };
            format!("\n`{interpreter} -m pip install {package}` installs it, if that is the package's name")
        });
        ModelError::failed(format!("{path} {}{}", unloadable.message, remedy.unwrap_or_default()))
    }

    /// The worker is of no use any more: why.
    fn broken(&mut self, fault: Fault) -> ModelError {
        let status = self.process.kill();
        let what = match fault {
            Fault::Ended => match status.and_then(|status| status.code()) {
                Some(sources::STATUS_NO_NUMPY) => {
                    return self.lacks("numpy, which every worker needs", "numpy");
                }
                Some(sources::STATUS_TOO_OLD) => {
                    let interpreter = self.settings.interpreter.display();
                    return ModelError::failed(format!("{interpreter} is older than Python 3.10"));
                }
                _ => process::describe(status),
            },
            Fault::Nonsense(what) => what,
            Fault::Io(error) => format!("cannot be talked to: {error}"),
        };
        self.told(&what)
    }

    fn lacks(&self, what: &str, package: &str) -> ModelError {
        let interpreter = self.settings.interpreter.display();
        ModelError::failed(format!("{interpreter} lacks {what}: `{interpreter} -m pip install {package}`"))
    }

    /// Ends a run that did not stop.
    fn killed(&mut self) -> ModelError {
        self.process.kill();
        let (pid, grace) = (self.id(), self.settings.python.cancel_grace);
        ModelError::crashed(format!(
            "the python process {pid} was killed: its run did not stop within {grace:?} of being asked to"
        ))
    }

    /// What has become of the process, and what it wrote last.
    fn told(&self, what: &str) -> ModelError {
        let (pid, said) = (self.id(), self.transcript.end(LAST_LINES));
        let said = if said.is_empty() { said } else { format!("; it wrote last:\n{said}") };
        ModelError::crashed(format!("the python process {pid} {what}{said}"))
    }
}

/// A run that was asked to stop.
struct Stopping {
    reason: ModelError,
    /// When it is killed.
    until: Instant,
}

/// What comes during a run.
enum Answer {
    Item(Tensors),
    Over(Result<Option<Tensors>, ModelError>),
}

fn parsed<T: serde::de::DeserializeOwned>(header: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(header)
        .map_err(|error| Fault::Nonsense(format!("sent a header that says nothing: {error}")))
}

/// From which level on Python's records are of use, as its `logging` counts.
fn log_level() -> u32 {
    use tracing::Level;
    if tracing::enabled!(target: "python", Level::TRACE) {
        1
    } else if tracing::enabled!(target: "python", Level::DEBUG) {
        10
    } else if tracing::enabled!(target: "python", Level::INFO) {
        20
    } else {
        30
    }
}
