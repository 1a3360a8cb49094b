//! The command line as it is typed, and the help that teaches it.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgMatches, Args as ClapArgs, CommandFactory as _, Parser, Subcommand};
use unruffled::JobState;

use crate::exit::CODES;
use crate::keys::KeysArgs;
use crate::settings::{Layers, LogFormat, Settings, duration, variable};

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
    Config(Config),
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

/// Serve models over HTTP, by the Open Inference Protocol V2
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
All models of the folder are loaded and kept in memory. One that is broken is
told and left out; the others are served. Clients of KServe, Triton and MLServer
work as they are, and so do the folders of models of the latter two.
Without a folder or a file the built-in model `digits` is served.
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
  unruffled serve --config unruffled.toml

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
  NAME/config.pbtxt    a model of a Triton repository, as it is; what of it
                       cannot be kept is refused with its line. The same of
                       MLServer's NAME/model-settings.json
and, where there is something to set, NAME/model.toml

Opened in a browser, the address shows what the server does, and lets you try
the models. /metrics is for Prometheus. `unruffled explain` tells what became of
a request.

Ctrl-C or SIGTERM ends the server: requests in flight have the grace to
finish. A second one ends it at once. SIGHUP reads keys, certificates and the
file of settings again.")]
pub(crate) struct Serve {
    /// A file of settings, in TOML: every option by its name, as in `body_bytes`. `unruffled config` looks into it
    #[arg(long, value_name = "FILE", env = "UNRUFFLED_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

impl Serve {
    /// What flags and variables have said, and which file they name. `matches` are those of the subcommand.
    pub(crate) fn layers(&self, args: &Args, matches: &ArgMatches) -> Layers {
        let mut settings = self.settings.clone();
        settings.log.clone_from(&args.log);
        settings.log_format = Some(args.log_format);
        settings.onnxruntime.clone_from(&args.runtimes.onnxruntime);
        settings.python.clone_from(&args.runtimes.python);
        let layers = Layers::new(&settings, matches, self.config.clone());
        // These two are read by whoever looks for runtimes, who tells where they come from.
        ["onnxruntime", "python"].into_iter().fold(layers, |layers, key| {
            let value = std::env::var_os(variable(key)).and_then(|value| value.into_string().ok());
            match value.filter(|value| !value.is_empty()) {
                Some(value) => layers.with_variable(key, value),
                None => layers,
            }
        })
    }
}

/// Look into the settings of `serve`, without starting it
#[derive(Debug, ClapArgs)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Flags count before variables, variables before the file, the file before what
is usual. A file holds every option of `serve` by its name: --body-bytes is
body_bytes there, and UNRUFFLED_BODY_BYTES in the environment.

Examples:
  unruffled config check unruffled.toml
  unruffled config show --config unruffled.toml --http 0.0.0.0:8000
  unruffled config schema > unruffled.schema.json"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Say what is wrong with a file, or what it sets
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Say what each setting would be, and who has said it; takes what `serve` takes
    #[command(after_help = "")]
    Show(Box<Serve>),
    /// Print the JSON Schema of the file, for editors
    Schema,
}

/// The command line, with the variables that stand for options.
pub(crate) fn command() -> clap::Command {
    let named = |argument: clap::Arg| {
        let key = argument.get_id().to_string();
        match key.as_str() {
            // Read elsewhere, or not an option.
            "config" | "onnxruntime" | "python" | "help" | "version" => argument,
            key => {
                let variable = variable(key);
                argument.env(variable).hide_env_values(true)
            }
        }
    };
    Args::command()
        .mut_arg("log", named)
        .mut_arg("log_format", named)
        .mut_subcommand("serve", |serve| serve.mut_args(named))
        .mut_subcommand("config", |config| config.mut_subcommand("show", |show| show.mut_args(named)))
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

fn milliseconds(text: &str) -> Result<Duration, String> {
    duration(text, 1e-3)
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
