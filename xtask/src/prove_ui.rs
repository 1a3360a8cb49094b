//! `cargo xtask prove-ui`: the demo, optimised, in its window under load.

use anyhow::{Context, Result};

use crate::cargo::cargo;
use crate::command;

pub(crate) fn run() -> Result<()> {
    let common = ["--release", "--locked", "-p", "unruffled-demo"];
    let build = [&["build"], &common[..], &["--bins", "--examples"]].concat();
    let remedy = "remedy: cargo xtask test setup models pages";
    command::run(&mut cargo(&build)).context(remedy)?;
    let prove = [&["run", "--quiet"], &common[..], &["--example", "ui"]].concat();
    command::run(&mut cargo(&prove)).context("a line was missed, or the window did not open")
}
