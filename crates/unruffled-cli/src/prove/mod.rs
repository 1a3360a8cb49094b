//! `unruffled prove`: each promise, tried on this machine with real threads and real models.

mod report;

mod target;

mod plan;

mod kinds;
mod models;
mod processes;
mod weights;

mod served;
mod watched;

mod cancel;
mod disconnect;
mod drain;
mod evict;
mod expiry;
mod fallback;
mod heartbeat;
mod jobs;
mod leak;
mod neighbours;
mod orphans;
mod overload;
mod partial;
mod pipeline;
mod poison;
mod preempt;
mod race;
mod reload;
mod segv;
mod sequence;
mod slots;
mod stream;
mod supersede;

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::json;
use unruffled::Runtimes;

use crate::args::Prove;
use crate::exit::{Exit, Failure};
use crate::terminal::{self, BAD, FAINT, GOOD, HINT, NAME, milliseconds};
use plan::{Outcome, Plan};
use report::{Report, Verdict};
use target::Target;

/// What stands for all of them.
const ALL: &str = "all";

/// A promise, and what shows whether it is kept.
struct Proof {
    name: &'static str,
    /// What is done, in a sentence.
    what: &'static str,
    /// What must come out.
    pass_line: &'static str,
    run: fn(&Plan<'_>) -> Outcome,
}

const PROOFS: &[Proof] = &[
    cancel::PROOF,
    slots::PROOF,
    poison::PROOF,
    neighbours::PROOF,
    partial::PROOF,
    stream::PROOF,
    expiry::PROOF,
    supersede::PROOF,
    preempt::PROOF,
    fallback::PROOF,
    race::PROOF,
    heartbeat::PROOF,
    segv::PROOF,
    orphans::PROOF,
    sequence::PROOF,
    pipeline::PROOF,
    leak::PROOF,
    evict::PROOF,
    reload::PROOF,
    jobs::PROOF,
    overload::PROOF,
    disconnect::PROOF,
    drain::PROOF,
];

pub(crate) fn run(args: &Prove, runtimes: &Runtimes) -> Result<(), Failure> {
    if !args.victim.is_empty() {
        let lived = jobs::victim(&args.victim);
        return lived.map_err(|broken| Failure::new(Exit::Failed, broken.into_text()));
    }
    if args.names.is_empty() {
        let page = if args.json { format!("{:#}\n", list_json()) } else { list() };
        terminal::print(&page);
        return Ok(());
    }
    let proofs = chosen(&args.names)?;
    models::calibrate();
    let target = args.url.as_ref().zip(args.model.as_ref()).map(|(url, model)| Target {
        url: url.clone(),
        model: model.clone(),
        request: args.request.clone(),
    });
    let mut plan = Plan::new(runtimes, args.quick, args.seed, target);
    if !args.json {
        terminal::print(&head(args));
    }
    let begin = Instant::now();
    let mut reports = Vec::new();
    for proof in proofs {
        let report = prove(proof, &mut plan);
        if !args.json {
            terminal::print(&format!("\n{}", report.page()));
        }
        reports.push(report);
    }
    let all_that = |verdict| reports.iter().filter(move |report| report.verdict() == verdict);
    let failed: Vec<_> = all_that(Verdict::Failed).map(|report| report.name).collect();
    if args.json {
        let document = json!({
            "passed": failed.is_empty(),
            "seed": args.seed,
            "quick": args.quick,
            "cores": plan::cores(),
            "proofs": reports.iter().map(Report::json).collect::<Vec<_>>(),
        });
        terminal::print(&format!("{document:#}\n"));
    } else if reports.len() > 1 {
        let style = if failed.is_empty() { GOOD } else { BAD };
        let (passed, all) = (all_that(Verdict::Passed).count(), reports.len());
        let left_out = match all_that(Verdict::LeftOut).count() {
            0 => String::new(),
            count => format!(", {count} left out"),
        };
        let took = milliseconds(begin.elapsed());
        terminal::print(&format!(
            "\n{style}{passed} of {all} passed{left_out}{style:#}  {FAINT}in {took}{FAINT:#}\n"
        ));
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => {
            let failure = Failure::new(Exit::Unproven, format!("not kept here: {}", failed.join(", ")));
            Err(failure.hint("the same on a quiet machine: others that use its cores are in the times"))
        }
    }
}

fn prove(proof: &'static Proof, plan: &mut Plan<'_>) -> Report {
    plan.begin(proof.name);
    let begin = Instant::now();
    let findings = (proof.run)(plan).unwrap_or_else(|broken| Report::failed(broken.into_text()));
    plan.end();
    let Proof { name, what, pass_line, .. } = *proof;
    Report { name, what, pass_line, findings, took: begin.elapsed() }
}

/// The proofs of these names, each once, in the order in which they are listed.
fn chosen(names: &[String]) -> Result<Vec<&'static Proof>, Failure> {
    let known = || PROOFS.iter().map(|proof| proof.name);
    if let Some(unknown) = names.iter().find(|name| *name != ALL && !known().any(|known| known == *name)) {
        let known: Vec<_> = known().collect();
        let message = format!("there is no proof \"{unknown}\"; there are {} and {ALL}", known.join(", "));
        return Err(Failure::new(Exit::Usage, message).hint("unruffled prove, which says what each does"));
    }
    let wanted = |proof: &&Proof| names.iter().any(|name| name == ALL || name == proof.name);
    Ok(PROOFS.iter().filter(wanted).collect())
}

fn head(args: &Prove) -> String {
    let cores = match plan::cores() {
        1 => "one core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let length = if args.quick { ", quick" } else { "" };
    format!("{FAINT}{cores}, seed {}{length}{FAINT:#}\n", args.seed)
}

fn list() -> String {
    let width = PROOFS.iter().map(|proof| proof.name.len()).max().unwrap_or(0);
    let mut page = String::new();
    for Proof { name, what, .. } in PROOFS {
        writeln!(page, "{NAME}{name:width$}{NAME:#}  {what}").expect("a String takes everything");
    }
    writeln!(page, "\n{HINT}try{HINT:#}: unruffled prove {ALL}  {FAINT}runs them all{FAINT:#}")
        .expect("a String takes everything");
    page
}

fn list_json() -> serde_json::Value {
    let proofs = PROOFS
        .iter()
        .map(|proof| json!({ "name": proof.name, "what": proof.what, "pass_line": proof.pass_line }));
    json!({ "proofs": proofs.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::{ALL, PROOFS, chosen};

    #[test]
    fn names_are_short_words_and_differ() {
        let mut names: Vec<_> = PROOFS.iter().map(|proof| proof.name).collect();
        names.push(ALL);
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase())), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROOFS.len() + 1);
    }

    #[test]
    fn each_is_chosen_once() {
        let count = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            chosen(&names).unwrap().len()
        };
        assert_eq!((count(&["slots"]), count(&["slots", "cancel", "slots"])), (1, 2));
        assert_eq!(count(&["slots", "all"]), PROOFS.len());
    }
}
