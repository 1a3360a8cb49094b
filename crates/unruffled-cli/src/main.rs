//! The command line of Unruffled: the only place that reads the environment, starts logging and chooses exit codes.

mod terminal;

mod exit;

mod settings;

mod doors;
mod keys;

mod args;
mod logging;
mod otlp;
mod reload;

mod allocator;
mod find;
mod page;
mod remote;
mod runtimes;
mod shelf;
mod signals;

mod greeting;
mod notes;

mod config;
mod explain;
mod infer;
mod inspect;
mod jobs;
mod prove;
mod serve;

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches as _};
use unruffled::Backends;

use args::{Args, Command};
use exit::Failure;

fn main() -> ExitCode {
    let matches = args::command().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(&args, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}

fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    let (_, matches) = matches.subcommand().expect("without a subcommand there is help");
    match &args.command {
        Command::Serve(serve) => return serve::run(serve.layers(args, matches)),
        Command::Config(config) => return config::run(config, args, matches),
        _ => {}
    }
    logging::start(args.log(), args.log_format)?;
    let runtimes = runtimes::runtimes(&args.runtimes);
    let backends = Backends::new(&runtimes);
    match &args.command {
        Command::Serve(_) | Command::Config(_) => unreachable!("they were run above"),
        Command::Infer(infer) => infer::run(infer, &backends),
        Command::Inspect(inspect) if inspect.runtimes => inspect::runtimes(inspect, &runtimes, &backends),
        Command::Inspect(inspect) => inspect::run(inspect, &backends),
        Command::Explain(explain) => explain::run(explain),
        Command::Jobs(jobs) => jobs::run(jobs),
        Command::Keys(keys) => keys::run(keys),
        Command::Prove(prove) => prove::run(prove, &runtimes),
    }
}
