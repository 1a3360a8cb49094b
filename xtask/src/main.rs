//! `cargo xtask`: the checks, the sample models and the whole test run, each one command.

mod terminal;

mod workspace;

mod command;

mod cargo;

mod tidy;

mod models;

mod node;

mod prove_ui;

mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about = "Development tasks of Unruffled", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check the invariants of the source tree: layers, module order, links, words.
    Tidy,
    /// Gather the real models that samples and tests use into `models/`.
    Models(models::Options),
    /// Prove that the demo's window stays smooth while every core infers, and that the usual ways would be caught.
    ProveUi,
    /// Set up what is missing, then run every check and test.
    Test(test::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Tidy => tidy::run(),
        Task::Models(options) => models::run(&options),
        Task::ProveUi => prove_ui::run(),
        Task::Test(options) => test::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
