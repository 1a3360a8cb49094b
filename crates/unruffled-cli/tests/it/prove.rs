//! `unruffled prove`: what is listed, what is refused, and the proofs that no busy machine can upset.

use serde_json::Value;

use crate::program::run;

const NAMES: [&str; 23] = [
    "cancel",
    "slots",
    "poison",
    "neighbours",
    "partial",
    "stream",
    "expiry",
    "supersede",
    "preempt",
    "fallback",
    "race",
    "heartbeat",
    "segv",
    "orphans",
    "sequence",
    "pipeline",
    "leak",
    "evict",
    "reload",
    "jobs",
    "overload",
    "disconnect",
    "drain",
];

#[test]
fn without_a_name_the_proofs_are_listed() {
    let page = run(&["prove"]).ok();
    let listed: Vec<_> = page.lines().filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(listed[..NAMES.len()].iter().map(|name| name.trim()).collect::<Vec<_>>(), NAMES, "{page}");
    assert!(page.contains("unruffled prove all"), "{page}");

    let list = run(&["prove", "--json"]).json();
    let proofs = list["proofs"].as_array().unwrap();
    assert_eq!(proofs.iter().map(|proof| proof["name"].as_str().unwrap()).collect::<Vec<_>>(), NAMES);
    assert!(proofs.iter().all(|proof| proof["pass_line"].is_string() && proof["what"].is_string()));
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    let said = run(&["prove", "slots", "slot"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
    assert!(said.err.contains("there is no proof \"slot\""), "{}", said.err);
    assert!(NAMES.iter().all(|name| said.err.contains(name)) && said.err.contains("all"), "{}", said.err);
}

#[test]
fn what_no_clock_decides_holds_on_any_machine() {
    let names = ["slots", "poison", "neighbours", "partial", "supersede"];
    let document = run(&[&["prove"], &names[..], &["--quick", "--seed", "7", "--json"]].concat()).json();
    assert_eq!((&document["passed"], &document["seed"]), (&Value::from(true), &Value::from(7)));
    let proofs = document["proofs"].as_array().unwrap();
    assert_eq!(proofs.iter().map(|proof| proof["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    for proof in proofs {
        assert_eq!((&proof["passed"], &proof["missed"]), (&Value::from(true), &serde_json::json!([])));
        assert!(proof["pass_line"].as_str().is_some_and(|line| !line.is_empty()));
    }
    let figure = |at: usize, key: &str| proofs[at]["figures"][key].as_u64().unwrap();
    assert_eq!((figure(0, "requests"), figure(0, "runs_at_once_max")), (150, 2));
    assert_eq!((figure(1, "failing_answers"), figure(1, "failing_errors")), (6 * 31, 6));
    assert!(figure(1, "panicking_extra_runs_max") <= 10);
    assert!(figure(2, "cancelled") >= 4_000 && figure(2, "digits_cancelled") >= 1_000);
    assert_eq!((figure(2, "lost"), figure(2, "hung")), (0, 0));
    assert_eq!((figure(3, "results"), figure(3, "errors")), (3 * 93, 3 * 7));
    assert_eq!((figure(4, "newest_answered"), figure(4, "runs_at_once_max")), (3, 1));
}

#[test]
fn a_person_reads_figures_and_a_verdict() {
    let said = run(&["prove", "partial", "--quick"]);
    assert_eq!(said.err, "", "what the models do on purpose is not reported");
    let page = said.ok();
    for part in ["partial  ", "results       279", "promised      93 results", "PASS"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}
