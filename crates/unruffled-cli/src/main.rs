//! The command line of Unruffled: the only place that reads the environment, starts logging and chooses exit codes.

mod terminal;

mod exit;

mod doors;
mod keys;

mod args;
mod logging;
mod otlp;

mod allocator;
mod find;
mod page;
mod remote;
mod runtimes;
mod shelf;
mod signals;

mod greeting;
mod notes;

mod explain;
mod infer;
mod inspect;
mod jobs;
mod prove;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;
use unruffled::Backends;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtimes = runtimes::runtimes(&args.runtimes);
    let backends = Backends::new(&runtimes);
    let outcome = logging::start(args.log(), args.log_format).and_then(|log| match &args.command {
        Command::Serve(serve) => serve::run(serve, &backends, log),
        Command::Infer(infer) => infer::run(infer, &backends),
        Command::Inspect(inspect) if inspect.runtimes => inspect::runtimes(inspect, &runtimes, &backends),
        Command::Inspect(inspect) => inspect::run(inspect, &backends),
        Command::Explain(explain) => explain::run(explain),
        Command::Jobs(jobs) => jobs::run(jobs),
        Command::Keys(keys) => keys::run(keys),
        Command::Prove(prove) => prove::run(prove, &runtimes),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}
