//! The steps of a test run, in order: cheap before dear, so that a mistake shows early.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::summary::Summary;
use super::{first_command, package, setup};
use crate::cargo::cargo;
use crate::{command, models, terminal, tidy};

/// Histories that the simulation runs through here; a plain `cargo test` runs a few.
const HISTORIES: &str = "20000";

pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) pace: Pace,
    /// Run before it when it is asked for by name.
    pub(crate) needs: &'static [&'static str],
    pub(crate) run: fn(&mut Context) -> Result<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Part of `--quick` too.
    Quick,
    Slow,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// With the reason and the remedy.
    Skipped(String),
}

/// What steps share: where to build, and the tests counted so far.
pub(crate) struct Context {
    pub(crate) target: PathBuf,
    pub(crate) total: Summary,
    /// The runners' own closing lines.
    pub(crate) closing: Vec<String>,
}

#[rustfmt::skip]
pub(crate) const STEPS: &[Step] = &[
    Step { name: "setup", about: "install what is missing, also into .venv", pace: Pace::Quick, needs: &[], run: set_up },
    Step { name: "models", about: "gather the sample models, make test data", pace: Pace::Quick, needs: &["setup"], run: gather },
    Step { name: "fmt", about: "the code is formatted", pace: Pace::Quick, needs: &[], run: fmt },
    Step { name: "tidy", about: "the tree keeps its invariants", pace: Pace::Quick, needs: &[], run: check_tidy },
    Step { name: "pages", about: "the pages of desktop apps, and the package for them", pace: Pace::Quick, needs: &["setup"], run: pages },
    // From here on all crates are built, of which one takes in pages and models.
    Step { name: "clippy", about: "no lint speaks", pace: Pace::Quick, needs: &["models", "pages"], run: clippy },
    Step { name: "docs", about: "documentation builds, its examples run", pace: Pace::Slow, needs: &["models", "pages"], run: docs },
    Step { name: "unit", about: "unit and integration tests", pace: Pace::Quick, needs: &["models", "pages"], run: unit },
    Step { name: "package", about: "the demo as a Debian package, installed and started", pace: Pace::Slow, needs: &["unit"], run: install },
    Step { name: "simulation", about: "twenty thousand seeded histories of the engine", pace: Pace::Slow, needs: &[], run: simulation },
    Step { name: "loom", about: "every interleaving of our own primitives", pace: Pace::Slow, needs: &[], run: loom },
    Step { name: "fuzz", about: "what the fuzzer is to find, with the inputs that are kept", pace: Pace::Slow, needs: &[], run: fuzz },
    Step { name: "deny", about: "licences, sources and known flaws of dependencies", pace: Pace::Slow, needs: &[], run: deny },
    Step { name: "first-command", about: "what a new user does first, word for word", pace: Pace::Slow, needs: &["setup"], run: first },
];

fn set_up(_: &mut Context) -> Result<Outcome> {
    setup::run()?;
    Ok(Outcome::Done)
}

fn gather(_: &mut Context) -> Result<Outcome> {
    models::run_all()?;
    Ok(Outcome::Done)
}

fn fmt(_: &mut Context) -> Result<Outcome> {
    command::run(&mut cargo(&["fmt", "--all", "--check"])).context("remedy: cargo fmt --all")?;
    Ok(Outcome::Done)
}

fn check_tidy(_: &mut Context) -> Result<Outcome> {
    tidy::run()?;
    Ok(Outcome::Done)
}

fn pages(context: &mut Context) -> Result<Outcome> {
    super::pages::run(|tests| Ok(context.test(tests)?.count()))?;
    Ok(Outcome::Done)
}

fn clippy(_: &mut Context) -> Result<Outcome> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    command::run(&mut cargo(&arguments))?;
    Ok(Outcome::Done)
}

fn docs(context: &mut Context) -> Result<Outcome> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    context.test(&mut cargo(&["test", "--doc", "--workspace", "--locked", "--no-fail-fast"]))?;
    Ok(Outcome::Done)
}

fn unit(context: &mut Context) -> Result<Outcome> {
    let mut tests = if has_subcommand("nextest") {
        cargo(&["nextest", "run", "--workspace", "--all-targets", "--locked", "--no-fail-fast"])
    } else {
        terminal::note("cargo-nextest is not installed: using cargo test");
        cargo(&["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"])
    };
    let summary = context.test(&mut tests)?;
    ensure!(summary.count() > 0, "no test ran");
    Ok(Outcome::Done)
}

fn install(context: &mut Context) -> Result<Outcome> {
    if !command::exists("dpkg", "--version") {
        return Ok(Outcome::Skipped("no dpkg here; it is for Debian and its like".into()));
    }
    let program = package::install(&context.target)?;
    // Built a moment ago, with everybody's features.
    let mut tests = cargo(&["test", "--workspace", "--locked", "--test", "it", "--no-fail-fast"]);
    tests.args(["--", "panels::"]).env("UNRUFFLED_DEMO", program);
    ensure!(context.test(&mut tests)?.count() > 0, "no test of the demo has `panels` in its path");
    Ok(Outcome::Done)
}

fn simulation(context: &mut Context) -> Result<Outcome> {
    let mut tests =
        cargo(&["test", "--release", "--locked", "-p", "unruffled-engine", "--lib", "simulation"]);
    tests.args(["--", "--nocapture"]).env("UNRUFFLED_SIM_HISTORIES", HISTORIES);
    let summary = context.test(&mut tests)?;
    ensure!(summary.count() > 0, "no test of unruffled-engine has `simulation` in its path");
    Ok(Outcome::Done)
}

fn loom(context: &mut Context) -> Result<Outcome> {
    let mut tests = cargo(&[
        "test",
        "--release",
        "--locked",
        "-p",
        "unruffled-model",
        "-p",
        "unruffled-engine",
        "--lib",
        "loom",
    ]);
    // Other flags mean other builds: kept apart, they do not push each other out.
    tests.env("RUSTFLAGS", "--cfg unruffled_loom").env("CARGO_TARGET_DIR", context.target.join("loom"));
    let summary = context.test(&mut tests)?;
    ensure!(summary.count() > 0, "no test has `loom` in its path");
    Ok(Outcome::Done)
}

/// Without the fuzzer, which is no part of a test run: its targets compile, and hold what they ask of the inputs that are kept.
fn fuzz(context: &mut Context) -> Result<Outcome> {
    const CRATE: &str = "--manifest-path=fuzz/Cargo.toml";
    command::run(&mut cargo(&["fmt", CRATE, "--check"]))
        .context("remedy: cargo fmt --manifest-path fuzz/Cargo.toml")?;
    let alone = |task: &'static str| {
        let mut alone = cargo(&[task, CRATE, "--no-default-features", "--all-targets", "--locked"]);
        // It is a workspace of its own, and builds the same dependencies.
        alone.env("CARGO_TARGET_DIR", &context.target);
        alone
    };
    command::run(alone("clippy").args(["--", "-D", "warnings"]))?;
    let mut tests = alone("test");
    let summary = context.test(&mut tests)?;
    ensure!(summary.count() > 0, "no input was replayed");
    Ok(Outcome::Done)
}

fn deny(_: &mut Context) -> Result<Outcome> {
    if !has_subcommand("deny") {
        let remedy = "cargo-deny is not installed; remedy: cargo install --locked cargo-deny";
        return Ok(Outcome::Skipped(remedy.to_owned()));
    }
    command::run(&mut cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]))?;
    advisories()
}

/// The list of known flaws has to be fetched; where it cannot be, that is said and the other checks stand.
fn advisories() -> Result<Outcome> {
    let mut said = String::new();
    let mut check = cargo(&["deny", "--locked", "check", "advisories"]);
    let status = command::tee(&mut check, |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    if status.success() {
        return Ok(Outcome::Done);
    }
    if said.contains("failed to fetch") || said.contains("failed to clone") {
        return Ok(Outcome::Skipped(
            "advisories: their list could not be fetched; the other checks passed".into(),
        ));
    }
    bail!("a dependency has a known flaw; remedy: cargo update, or an exception with its reason in deny.toml")
}

fn first(_: &mut Context) -> Result<Outcome> {
    first_command::run()?;
    Ok(Outcome::Done)
}

impl Context {
    pub(crate) fn new(target: &Path) -> Self {
        Context { target: target.to_path_buf(), total: Summary::default(), closing: Vec::new() }
    }

    /// Runs a test runner, its output shown, and counts what it says at its end.
    fn test(&mut self, runner: &mut Command) -> Result<Summary> {
        if terminal::is_interactive() {
            runner.env("CARGO_TERM_COLOR", "always");
        }
        let before = self.total;
        let status = command::tee(runner, |line| self.count(line))?;
        command::succeeded(runner, status)?;
        Ok(self.total - before)
    }

    fn count(&mut self, line: &str) {
        let Some(found) = Summary::read(line) else { return };
        self.total += found;
        if found.count() > 0 {
            self.closing.push(line.trim().to_owned());
        }
    }
}

fn has_subcommand(name: &str) -> bool {
    command::capture(&mut cargo(&[name, "--version"])).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_stand_before_what_needs_them() {
        for (at, step) in STEPS.iter().enumerate() {
            for need in step.needs {
                let place = STEPS.iter().position(|other| other.name == *need);
                assert!(place.is_some_and(|place| place < at), "{} needs {need}", step.name);
            }
        }
    }

    #[test]
    fn closing_lines_are_counted_and_kept() {
        let mut context = Context::new(Path::new("unused"));
        for line in [
            "running 3 tests",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored",
            "test result: ok. 0 passed; 0 failed; 0 ignored",
        ] {
            context.count(line);
        }
        assert_eq!(context.total, Summary { passed: 2, failed: 1 });
        assert_eq!(context.closing, ["test result: FAILED. 2 passed; 1 failed; 0 ignored"]);
    }
}
