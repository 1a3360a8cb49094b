//! `cargo xtask test`: set up what is missing, then every check and test, each timed. The last line sums up all test
//! runners: `N passed, N failed`.

mod summary;

mod setup;

mod package;
mod pages;

mod first_command;

mod steps;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{cargo, terminal};
use steps::{Context, Outcome, Pace, STEPS, Step};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which steps; all of them if none is named. What they need runs first.
    steps: Vec<String>,
    /// Only the steps that take seconds once all is built.
    #[arg(long)]
    quick: bool,
    /// Go on after a step fails.
    #[arg(long)]
    keep_going: bool,
    /// Print the steps and run none.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen = choose(&options.steps, options.quick)?;
    if options.list {
        for step in chosen {
            let pace = if step.pace == Pace::Quick { "quick" } else { "" };
            println!("{:14} {:6} {}", step.name, pace, step.about);
        }
        return Ok(());
    }
    let mut context = Context::new(&cargo::target_folder()?);
    let mut rows = Vec::new();
    let mut has_failed = false;
    for step in chosen {
        let row = match has_failed && !options.keep_going {
            true => Row { name: step.name, time: None, end: End::NotRun },
            false => run_step(step, &mut context),
        };
        has_failed |= matches!(row.end, End::Failed);
        rows.push(row);
    }
    print_rows(&rows);
    for line in &context.closing {
        println!("{line}");
    }
    let failed: Vec<&str> =
        rows.iter().filter(|row| matches!(row.end, End::Failed)).map(|row| row.name).collect();
    if !failed.is_empty() {
        // Before the sum, which stays the last line.
        terminal::failure(&format!(
            "failed: {}; alone: cargo xtask test {}",
            failed.join(", "),
            failed.join(" ")
        ));
    }
    println!("{}", context.total);
    if failed.is_empty() {
        return Ok(());
    }
    std::process::exit(1);
}

/// The steps asked for, with what they need, in their own order.
fn choose(names: &[String], quick: bool) -> Result<Vec<&'static Step>> {
    let mut wanted: Vec<&str> = Vec::new();
    let mut open: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        let Some(step) = STEPS.iter().find(|step| step.name == name) else {
            let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            bail!("there is no step `{name}`; there are {}", known.join(", "));
        };
        wanted.push(step.name);
        open.extend(step.needs);
    }
    let is_chosen = |step: &&Step| match names.is_empty() {
        true => !quick || step.pace == Pace::Quick,
        false => wanted.contains(&step.name),
    };
    Ok(STEPS.iter().filter(is_chosen).collect())
}

struct Row {
    name: &'static str,
    time: Option<Duration>,
    end: End,
}

enum End {
    Passed,
    Failed,
    Skipped(String),
    NotRun,
}

fn run_step(step: &Step, context: &mut Context) -> Row {
    terminal::heading(&format!("== {}: {}", step.name, step.about));
    let began = Instant::now();
    let end = match (step.run)(context) {
        Ok(Outcome::Done) => End::Passed,
        Ok(Outcome::Skipped(why)) => {
            terminal::note(&format!("skipped: {why}"));
            End::Skipped(why)
        }
        Err(error) => {
            terminal::failure(&format!("{error:#}"));
            End::Failed
        }
    };
    println!();
    Row { name: step.name, time: Some(began.elapsed()), end }
}

fn print_rows(rows: &[Row]) {
    for row in rows {
        let time = row.time.map(terminal::seconds).unwrap_or_default();
        let (style, end) = match &row.end {
            End::Passed => (terminal::GOOD, "passed".to_owned()),
            End::Failed => (terminal::BAD, "failed".to_owned()),
            End::Skipped(why) => (terminal::NOTE, format!("skipped: {why}")),
            End::NotRun => (terminal::NOTE, "not run".to_owned()),
        };
        anstream::println!("{:14} {time:>12}  {style}{end}{style:#}", row.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_choice(names: &[&str], quick: bool, expected: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let chosen: Vec<&str> = choose(&names, quick).unwrap().iter().map(|step| step.name).collect();
        assert_eq!(chosen, expected);
    }

    #[test]
    fn steps_bring_what_they_need() {
        check_choice(&["unit", "fmt"], false, &["setup", "models", "fmt", "pages", "unit"]);
        check_choice(&["loom"], false, &["loom"]);
        check_choice(&[], true, &["setup", "models", "fmt", "tidy", "pages", "clippy", "unit"]);
        assert_eq!(choose(&[], false).unwrap().len(), STEPS.len());
    }

    #[test]
    fn an_unknown_step_is_answered_with_the_known() {
        let Err(error) = choose(&["units".to_owned()], false) else { panic!("there is no such step") };
        assert!(error.to_string().contains("unit, package"), "{error}");
    }
}
