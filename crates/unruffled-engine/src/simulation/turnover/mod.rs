//! Models that come and go: versions, a budget of memory, loads on demand, on virtual time; judged as it happens.
//!
//! Models are asked, in versions that they have or have not, before and after their loads; they are reloaded, shared out,
//! promoted and removed; streams hold them; loads wait, fail and are given up. Memory is counted where models are made and
//! dropped, by nobody else.

mod judge;

mod loads;
mod world;

use std::cell::Cell;

use unruffled_model::{Batch, Footprint, LoadedModel, Model, ModelError, ModelInfo, RunContext, Serve};

use judge::Census;
use world::World;

const HISTORIES: u64 = 1_000;

#[test]
fn turnover() {
    if let Some(seed) = super::from_environment("UNRUFFLED_SIM_SEED") {
        if let Err(violation) = World::new(seed).run() {
            panic!("seed {seed}: {violation}");
        }
        return;
    }
    let histories = super::from_environment("UNRUFFLED_SIM_HISTORIES").unwrap_or(HISTORIES);
    let first = super::from_environment("UNRUFFLED_SIM_FIRST").unwrap_or(0);
    let mut seen = Census::default();
    for seed in first..first + histories {
        match World::new(seed).run() {
            Ok(census) => seen.add(&census),
            Err(violation) => panic!(
                "seed {seed}: {violation}\nreplay: UNRUFFLED_SIM_SEED={seed} cargo test -p unruffled-engine --lib turnover"
            ),
        }
    }
    println!("{histories} histories from seed {first}: {seen:?}");
    if histories >= HISTORIES {
        seen.assert_varied();
    }
}

thread_local! {
    /// What all models in memory take.
    static RESIDENT: Cell<usize> = const { Cell::new(0) };
}

/// What the process is said to take.
fn resident() -> Option<usize> {
    Some(RESIDENT.get())
}

/// A model in memory: what it answers, and what it takes for as long as it is there.
struct Weights {
    /// Which of all versions that were ever loaded it is.
    number: u64,
    bytes: usize,
    info: ModelInfo,
}

impl Weights {
    fn new(number: u64, bytes: usize) -> Self {
        RESIDENT.set(RESIDENT.get() + bytes);
        Self { number, bytes, info: ModelInfo::new("played", "played").with_threads(0) }
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        RESIDENT.set(RESIDENT.get() - self.bytes);
    }
}

impl LoadedModel for Weights {
    type Input = u64;
    type Output = (u64, u64);

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, _: &u64) -> Result<Footprint, ModelError> {
        Ok(Footprint::single(8))
    }

    fn with_instance(&self, serve: &mut Serve<'_, u64, (u64, u64)>) -> Result<(), ModelError> {
        serve(&mut Instance(self.number));
        Ok(())
    }
}

/// Answers with its number and what it was asked.
struct Instance(u64);

impl Model for Instance {
    type Input = u64;
    type Output = (u64, u64);

    fn run(&mut self, batch: &mut Batch<u64, (u64, u64)>, _: &RunContext<'_>) -> Result<(), ModelError> {
        for row in batch.rows_mut() {
            let answer = row.input().map(|input| (self.0, *input));
            row.finish(answer.ok_or_else(|| ModelError::failed("no input")));
        }
        Ok(())
    }
}
