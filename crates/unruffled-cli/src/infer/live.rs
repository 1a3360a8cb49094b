//! Answers that come piece by piece, shown as they come.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_core::Stream as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use unruffled::engine::Outputs;
use unruffled::{Answer, ModelFolder, Tensors};

use super::{Times, head_of, interrupted, steps, times};
use crate::args::Infer;
use crate::exit::Failure;
use crate::{page, terminal};

/// The output that says how far it is.
const PROGRESS: &str = "progress";

/// Shows the outputs of a request until the last.
pub(super) async fn show(
    outputs: Outputs<Tensors, Tensors>,
    folder: &ModelFolder,
    args: &Infer,
    load: Duration,
) -> Result<(), Failure> {
    let mut outputs = pin!(outputs);
    let (begin, bar) = (Instant::now(), Bar::new(args.json));
    if !args.json {
        terminal::print(&format!("{}\n", head_of(folder)));
    }
    loop {
        let next = std::future::poll_fn(|cx| outputs.as_mut().poll_next(cx));
        let output = tokio::select! {
            next = next => next,
            _ = tokio::signal::ctrl_c() => return Err(interrupted()),
        };
        let mut output = match output {
            Some(Ok(output)) => output,
            Some(Err(error)) => return Err(Failure::asking(error)),
            None => break,
        };
        // A script hears of it, too, unless nothing else is told.
        if let Some(progress) = output.get(PROGRESS).and_then(|progress| progress.elements::<i64>().ok()) {
            bar.tell(progress);
            if !args.json || output.len() == 1 {
                output.remove(PROGRESS);
            }
        }
        if output.is_empty() {
            continue;
        }
        let answer = Answer::read(&output, &folder.config, args.top.map(usize::from));
        let shown = match args.json {
            true => format!("{}\n", json!({ "outputs": answer.to_json() })),
            false => page::answer(&answer),
        };
        bar.aside(|| terminal::print(&shown));
    }
    bar.end();
    let total = begin.elapsed();
    let all_steps = outputs.provenance().map(|provenance| provenance.steps.as_slice()).unwrap_or_default();
    if args.json {
        let mut last = json!({ "total_ms": super::in_ms(total), "load_ms": super::in_ms(load) });
        last["steps"] = steps::json(all_steps);
        terminal::print(&format!("{}\n", json!({ "timings": last })));
    } else if args.timings {
        let engine = outputs.timings();
        let mut shown = times(&Times { load: Some(load), total, engine, server: None, steps: Vec::new() });
        write!(shown, "{}", steps::table(all_steps)).expect("a String takes everything");
        terminal::print(&shown);
    }
    Ok(())
}

/// How far it is, on a terminal; in a pipe, nothing.
struct Bar(ProgressBar);

impl Bar {
    fn new(quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("  [{bar:30}] {pos} of {len}, {elapsed}")
            .expect("the template is a constant")
            .progress_chars("=> ");
        Self(ProgressBar::new(0).with_style(style))
    }

    /// So many are done, of so many if that is known.
    fn tell(&self, progress: &[i64]) {
        if let [done, total] = *progress {
            if let Ok(total) = u64::try_from(total) {
                self.0.set_length(total);
            }
            self.0.set_position(u64::try_from(done).unwrap_or_default());
        }
    }

    /// Prints above the bar.
    fn aside(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
