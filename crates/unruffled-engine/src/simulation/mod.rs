//! Seeded simulation of queue, batch and instance: random histories on virtual time, judged by separate checkers.
//!
//! `UNRUFFLED_SIM_HISTORIES=10000` says how many histories to run, `UNRUFFLED_SIM_SEED=17` replays one and prints it.

mod check;
mod trace;
mod world;

use check::Checker;
use world::World;

/// Histories when nobody says how many.
const HISTORIES: u64 = 1_000;

#[test]
fn simulation() {
    if let Some(seed) = from_environment("UNRUFFLED_SIM_SEED") {
        let trace = World::new(seed).run();
        println!("seed {seed}:\n{trace}");
        if let Err(violation) = judge(&trace) {
            panic!("seed {seed}: {violation}");
        }
        return;
    }
    let histories = from_environment("UNRUFFLED_SIM_HISTORIES").unwrap_or(HISTORIES);
    let mut seen = trace::Census::default();
    for seed in 0..histories {
        let trace = World::new(seed).run();
        if let Err(violation) = judge(&trace) {
            panic!(
                "seed {seed}: {violation}\nreplay: UNRUFFLED_SIM_SEED={seed} cargo test -p unruffled-engine --lib simulation"
            );
        }
        seen.count(&trace);
    }
    println!("{histories} histories: {seen}");
    // A simulation that never meets the hard cases proves nothing about them.
    if histories >= HISTORIES {
        seen.assert_varied();
    }
}

fn judge(trace: &trace::Trace) -> Result<(), String> {
    let checkers: [(&str, Checker); 6] = [
        ("one answer per request", check::one_answer),
        ("bounds kept", check::bounds),
        ("order within a class", check::order),
        ("each row back to its own caller", check::own_row),
        ("deadlines and cancellation reach the run", check::cancellation),
        ("every permit home", check::all_home),
    ];
    for (name, checker) in checkers {
        checker(trace).map_err(|violation| format!("{name}: {violation}"))?;
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "how a test run is told what to replay")]
fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}
