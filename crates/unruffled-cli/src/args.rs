//! The command line as it is typed, and the help that teaches it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use unruffled::JobState;

use crate::doors::Doors;
use crate::exit::CODES;
use crate::keys::KeysArgs;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Cyan.on_default().bold())
    .usage(AnsiColor::Cyan.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Yellow.on_default());

/// Runs machine-learning models without making anybody wait who need not.
#[derive(Debug, Parser)]
#[command(name = "unruffled", version, styles = STYLES, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = format!("\
Begin with:
  unruffled infer           recognise a digit, with a model that is built in
  unruffled serve           the same behind HTTP
  unruffled infer --help    pictures, sounds, files and numbers as inputs
  unruffled prove           what is promised, and whether it is kept here

Exit codes:
{CODES}"))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log on standard error: error, warn, info, debug, trace, off, or a filter such as
    /// `warn,unruffled_engine=debug`; without it, warn, and off for `prove`, whose models break on purpose
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logging")]
    pub(crate) log: Option<String>,

    /// How to write it
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", help_heading = "Logging")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) runtimes: RuntimeArgs,
}

/// What runs models outside of this program.
#[derive(Debug, ClapArgs)]
pub(crate) struct RuntimeArgs {
    /// The library of ONNX Runtime, or its folder, or `none`; without it, $UNRUFFLED_ORT_LIB, or what is found:
    /// `unruffled inspect --runtimes` tells
    #[arg(long, global = true, value_name = "LIB", help_heading = "Runtimes")]
    pub(crate) onnxruntime: Option<PathBuf>,

    /// The Python of models that name none, a virtual environment or an interpreter; without it, $UNRUFFLED_PYTHON, the
    /// active environment, `.venv`, or `python3`
    #[arg(long, global = true, value_name = "PYTHON", help_heading = "Runtimes")]
    pub(crate) python: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<Serve>),
    Infer(Infer),
    Inspect(Inspect),
    Explain(Explain),
    Jobs(Jobs),
    Keys(KeysArgs),
    Prove(Prove),
}

impl Args {
    /// What to log.
    pub(crate) fn log(&self) -> &str {
        match (&self.log, &self.command) {
            (Some(log), _) => log,
            (None, Command::Prove(_)) => "off",
            (None, _) => "warn",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Serve models over HTTP, by the Open Inference Protocol V2
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
All models of the folder are loaded and kept in memory. One that is broken is
told and left out; the others are served. Clients of KServe and Triton work as
they are. Without a folder or a file the built-in model `digits` is served.
Where model.toml says `reload = true` under [run], a model whose files have
changed is loaded anew beside the old one, and then takes its place.

Examples:
  unruffled serve                      the built-in model, to try it out
  unruffled serve --models models      every model of a folder
  unruffled serve classifier.onnx      a single file
  unruffled serve --models models --http 0.0.0.0:8000 --queue 256
  unruffled serve --models models --memory 2GiB
  unruffled serve --models models --http 0.0.0.0:8443 --keys keys.toml \
                  --tls-cert cert.pem --tls-key key.pem

With --memory, models are loaded when they are first asked for. One that finds
no room waits until models that nobody uses have made some; those were asked
for the longest time ago. They are loaded again when somebody asks. What a
model takes is measured; requests for what never fits are refused.

A folder of models holds
  NAME/model.onnx      a model, called by the name of its folder
  NAME/1/model.onnx    numbered versions: the highest answers, the others are
                       loaded for those who ask for them
  NAME.onnx            a single file, called by its own name
  NAME/model.py        a model written in Python
  NAME/model.skops     a saved scikit-learn estimator; model.joblib and
                       model.pkl if model.toml says that they are trusted
  NAME/model.toml      a step that needs no other file, if it says which
  NAME/pipeline.toml   models of the folder, chained and branched
and, where there is something to set, NAME/model.toml

Opened in a browser, the address shows what the server does, and lets you try
the models. /metrics is for Prometheus. `unruffled explain` tells what became of
a request.

Ctrl-C or SIGTERM ends the server: requests in flight have the grace to
finish. A second one ends it at once. SIGHUP reads keys and certificates again.")]
pub(crate) struct Serve {
    /// A model's file or folder
    #[arg(value_name = "FILE|FOLDER")]
    pub(crate) file: Option<PathBuf>,

    /// The folder of models
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,

    /// The address to listen on; port 0 takes a free one, and says which
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000", value_parser = address)]
    pub(crate) http: SocketAddr,

    /// A second address, for clients of gRPC that expect one; both addresses speak both, and `none` leaves it out. Without
    /// it, port 8001 beside that of --http, if it is free; nothing if that is 0
    #[arg(long, value_name = "ADDRESS|none", value_parser = second_address)]
    pub(crate) grpc: Option<SecondAddress>,

    /// How many requests may wait for each model, instead of what model.toml says; more are refused at once
    #[arg(long, value_name = "N")]
    pub(crate) queue: Option<std::num::NonZeroUsize>,

    /// How much memory the models may take together: 2GiB, 500MB, or a number of bytes; without it, all are kept
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) memory: Option<usize>,

    /// Tell health and metrics on this address too, on a thread of their own, until the last request is answered
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) health: Option<SocketAddr>,

    /// A folder for what outlives the server: jobs that were accepted are run, and their results kept, also after a crash
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Let clients on this machine pass tensors in POSIX shared memory; whoever may ask then has the server use it
    #[arg(long)]
    pub(crate) shared_memory: bool,

    /// How long requests in flight have to finish when the server ends: 30s, 500ms, or a number of seconds
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    pub(crate) grace: Duration,

    #[command(flatten)]
    pub(crate) traces: Traces,

    #[command(flatten)]
    pub(crate) doors: Doors,
}

/// Where spans go.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Traces")]
pub(crate) struct Traces {
    /// The collector that takes spans of requests, by OTLP over HTTP: http://127.0.0.1:4318; without it,
    /// $OTEL_EXPORTER_OTLP_ENDPOINT, or no spans
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,

    /// Which part of the traces that begin here is told, from 0 to 1; of others, their callers decide
    #[arg(long, value_name = "PART", default_value_t = 1.0, value_parser = part)]
    pub(crate) otlp_sample: f64,
}

/// A part of a whole.
fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "expected a part from 0 to 1, such as 0.1".into())
}

/// Where else to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecondAddress {
    None,
    At(SocketAddr),
}

/// Ask a model once, here or on a server, and show its answer
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
What an input can be:
  1,2,3            numbers; the shape follows from what the model takes
  [[1,2],[3,4]]    numbers in this shape; the batch may be left out
  @array.npy       an array as NumPy saves it, or as JSON: @array.json
  @request.json    a whole request of the Open Inference Protocol
  @picture.png     a picture: PNG, JPEG, BMP, WebP
  @sound.wav       a sound
  @anything        a file of any kind
Pictures, sounds and other files need a model whose model.toml says how to
read them: `unruffled inspect MODEL` tells. A pipeline decodes files itself, and
what it gives as it comes is shown as it comes. NAME= can be left out where only
one input must be given. An input given several times becomes several rows.

Examples:
  unruffled infer                                a digit that is built in
  unruffled infer digits -i image=@seven.png     a picture
  unruffled infer magika -i @Cargo.toml --top 5  the five best guesses
  unruffled infer net.onnx -i x=1,2,3 -i on=1    a file, and two inputs
  unruffled infer ocr -i @page.png --timings     lines of text, and what took how long
  unruffled infer digits -i @seven.png --url http://127.0.0.1:8000

Exit codes: `unruffled --help` lists them.")]
pub(crate) struct Infer {
    /// A model of the folder, a model's folder or its file; without it, the built-in `digits`
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// An input; give this once for each
    #[arg(short, long = "input", value_name = "NAME=VALUE|@FILE", allow_hyphen_values = true)]
    pub(crate) inputs: Vec<String>,

    /// The folder of models; without it, `models` if there is one
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,

    /// Ask this server instead of loading the model here; its key, if it asks for one, in $UNRUFFLED_KEY
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Print one JSON document; one a line, where an answer comes piece by piece
    #[arg(long)]
    pub(crate) json: bool,

    /// Give up after this time: 250 (milliseconds), 250ms or 2s
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub(crate) timeout: Option<Duration>,

    /// How many of the best classes to show; without it, as many as model.toml says
    #[arg(long, value_name = "K")]
    pub(crate) top: Option<std::num::NonZeroUsize>,

    /// Say where the time went, step by step for a pipeline
    #[arg(long)]
    pub(crate) timings: bool,
}

/// Say what a model takes and gives and what runs it, or list a folder
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  unruffled inspect                    the models of `models`, and the built-in
  unruffled inspect digits             a model by its name
  unruffled inspect models             a folder of models
  unruffled inspect net.onnx --json    a file, for a script
  unruffled inspect --runtimes         what can run models here, and which
                                       model will be run by what, and why")]
pub(crate) struct Inspect {
    /// Say what can run models on this machine, where it was found, and what each model will be run by
    #[arg(long)]
    pub(crate) runtimes: bool,

    /// A model by name, a model's folder or file, or a folder of models
    #[arg(value_name = "MODEL|DIR")]
    pub(crate) model: Option<String>,

    /// The folder of models; without it, `models` if there is one
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say what became of a request to a server, and why it took as long as it did
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A server remembers the last 1,024 requests of each model that have ended. ID is
what the client gave as `id`; one that was sent without has a number, which
needs --model: the server's page, or /v1/overview, lists the last ones.

Examples:
  unruffled explain order-17                    when it came, waited, ran, ended
  unruffled explain order-17 --json             the same for a script
  unruffled explain 42 --model digits           one that was sent without an id
  unruffled explain order-17 --url http://host:8000")]
pub(crate) struct Explain {
    /// The name of the request, or its number
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// The model that it was for
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// The server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub(crate) url: String,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Look into a store of jobs on disk, and put right what went wrong
#[derive(Debug, ClapArgs)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A store is the folder that a program gave to `DurableJobs`. One process has it
at a time: while a program runs its jobs, ask that program. What a process that
died was running is queued again when the store is opened, here too.

JOB is the name of a job, or its last letters if no other job ends so.

Examples:
  unruffled jobs list jobs                      all jobs, and how many of each
  unruffled jobs list jobs --state failed       the dead letters, and why
  unruffled jobs show jobs 4q7z                 all that is known of one
  unruffled jobs requeue jobs --all             try every dead letter again
  unruffled jobs cancel jobs 4q7z               what waits will not be run
  unruffled jobs export jobs 4q7z > y.json      its result; tensors as JSON
  unruffled jobs export jobs 4q7z --input       what went in"
)]
pub(crate) struct Jobs {
    #[command(subcommand)]
    pub(crate) action: JobsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsAction {
    /// Say which jobs there are, and how they are doing
    List {
        #[command(flatten)]
        store: Store,

        /// In this state only
        #[arg(long, value_name = "STATE", value_parser = state)]
        state: Option<JobState>,

        /// Of this model only
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,

        /// So many at most
        #[arg(long, value_name = "N")]
        max: Option<usize>,
    },
    /// Say all that is known of a job
    Show {
        #[command(flatten)]
        store: Store,

        /// Its name, or its last letters
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Take jobs out that wait
    Cancel {
        #[command(flatten)]
        store: Store,

        /// Their names, or their last letters
        #[arg(value_name = "JOB", required = true)]
        jobs: Vec<String>,
    },
    /// Queue dead letters again, with all their attempts
    Requeue {
        #[command(flatten)]
        store: Store,

        /// Their names, or their last letters
        #[arg(value_name = "JOB", required_unless_present = "all")]
        jobs: Vec<String>,

        /// All that have failed
        #[arg(long, conflicts_with = "jobs")]
        all: bool,
    },
    /// Keep nothing more of jobs that have ended
    Drop {
        #[command(flatten)]
        store: Store,

        /// Their names, or their last letters
        #[arg(value_name = "JOB", required = true)]
        jobs: Vec<String>,
    },
    /// Write the result of a job: tensors as JSON of the Open Inference Protocol, all else as it is
    Export {
        /// The folder of the store
        #[arg(value_name = "STORE")]
        folder: PathBuf,

        /// Its name, or its last letters
        #[arg(value_name = "JOB")]
        job: String,

        /// What went in, instead of what came out
        #[arg(long)]
        input: bool,

        /// The file to write; without it, standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which store, and how to tell.
#[derive(Debug, ClapArgs)]
pub(crate) struct Store {
    /// The folder of the store
    #[arg(value_name = "STORE")]
    pub(crate) folder: PathBuf,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Try on this machine what is promised, and say whether it is kept
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Each proof runs models of its own on the real engine, with real threads, and
prints its figures, what was promised, and PASS or FAIL. Without a name the
proofs are listed. Times hold whatever else the machine does meanwhile: for
figures to keep, run them when it is quiet.

Examples:
  unruffled prove                      what there is to prove
  unruffled prove cancel               is a running model really stopped?
  unruffled prove preempt heartbeat    two of them
  unruffled prove all                  all of them, in a few minutes
  unruffled prove all --quick          the same in short
  unruffled prove neighbours --seed 7 --json

It ends with exit code 7 if a promise is not kept.")]
pub(crate) struct Prove {
    /// Which proofs to run; `all` runs all of them
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Try less often: for a first look, not for figures
    #[arg(long)]
    pub(crate) quick: bool,

    /// Where random numbers begin: the same seed gives the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Try this server of the Open Inference Protocol V2 instead of one of our own, where a proof is about a server
    #[arg(long, value_name = "URL", requires = "model")]
    pub(crate) url: Option<String>,

    /// The model of that server to ask
    #[arg(long, value_name = "MODEL", requires = "url")]
    pub(crate) model: Option<String>,

    /// The request to send it, a file of JSON, instead of one of zeros
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) request: Option<PathBuf>,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// Be the process that the proof of jobs kills: in this folder, from this job on, so many
    #[arg(long, hide = true, num_args = 3, value_names = ["DIR", "FROM", "JOBS"])]
    pub(crate) victim: Vec<String>,
}

/// The state of a job.
fn state(text: &str) -> Result<JobState, String> {
    JobState::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
        let known: Vec<_> = JobState::ALL.iter().map(|state| state.name()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

fn second_address(text: &str) -> Result<SecondAddress, String> {
    if text == "none" { Ok(SecondAddress::None) } else { address(text).map(SecondAddress::At) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.replace("localhost", "127.0.0.1");
    numeric
        .parse()
        .map_err(|_| "expected an address and a port, such as 127.0.0.1:8000 or 0.0.0.0:8000".into())
}

/// An amount of memory with its unit, or in bytes.
fn bytes(text: &str) -> Result<usize, String> {
    let units = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1_u64 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
        ("", 1),
    ];
    let parsed = units.iter().find_map(|(unit, bytes)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        let all = number * *bytes as f64;
        (all >= 1.0 && all < usize::MAX as f64).then_some(all as usize)
    });
    parsed.ok_or_else(|| "expected an amount such as 2GiB, 500MB or 1073741824".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    duration(text, 1.0)
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    duration(text, 1e-3)
}

/// A time with its unit, or in units of so many seconds.
fn duration(text: &str, plain: f64) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("", plain)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed.ok_or_else(|| "expected a time such as 250ms, 30s or 2m".into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory as _;

    use super::{Args, bytes, milliseconds, seconds};

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn amounts_may_have_units() {
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("1.5 MB"), Ok(1_500_000));
        assert_eq!(bytes("1073741824"), Ok(1 << 30));
        assert!(bytes("much").is_err() && bytes("-1MB").is_err() && bytes("0").is_err());
    }

    #[test]
    fn times_may_have_units() {
        assert_eq!(milliseconds("250"), Ok(Duration::from_millis(250)));
        assert_eq!(milliseconds("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("30"), Ok(Duration::from_secs(30)));
        assert_eq!(seconds("0.5 m"), Ok(Duration::from_secs(30)));
        assert!(seconds("soon").is_err() && seconds("-1s").is_err());
    }
}
