//! Seeded simulation of the whole scheduler: random histories on virtual time, judged by separate checkers.
//!
//! Several models share cores; requests arrive alone and in bursts, with deadlines, keys and callers; they are dropped,
//! cancelled and stopped; some want an instance for themselves; runs fail, panic, hang and are poisoned; instances die and come
//! back, are added and let go; models drain and close.
//!
//! `UNRUFFLED_SIM_HISTORIES=20000` says how many histories to run, `UNRUFFLED_SIM_FIRST=500` with which seed to begin,
//! `UNRUFFLED_SIM_SEED=17` replays one and prints it.

mod trace;

mod callers;
mod played;
mod sessions;

mod pipelines;

mod tenants;

mod world;

mod check;

mod by_hand;
mod cached;
mod chains;
mod turnover;

use world::World;

/// Histories when nobody says how many.
const HISTORIES: u64 = 1_000;

#[test]
fn simulation() {
    if let Some(seed) = from_environment("UNRUFFLED_SIM_SEED") {
        let trace = World::new(seed).run();
        println!("seed {seed}:\n{trace}");
        if let Err(violation) = check::judge(&trace) {
            panic!("seed {seed}: {violation}");
        }
        return;
    }
    let histories = from_environment("UNRUFFLED_SIM_HISTORIES").unwrap_or(HISTORIES);
    let first = from_environment("UNRUFFLED_SIM_FIRST").unwrap_or(0);
    let mut seen = trace::Census::default();
    for seed in first..first + histories {
        let trace = World::new(seed).run();
        if let Err(violation) = check::judge(&trace) {
            panic!(
                "seed {seed}: {violation}\nreplay: UNRUFFLED_SIM_SEED={seed} cargo test -p unruffled-engine --lib simulation"
            );
        }
        seen.count(&trace);
    }
    println!("{histories} histories from seed {first}: {seen}");
    // A simulation that never meets the hard cases proves nothing about them.
    if histories >= HISTORIES {
        seen.assert_varied();
    }
}

#[allow(clippy::disallowed_methods, reason = "how a test run is told what to replay")]
fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}
