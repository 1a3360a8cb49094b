//! The models of a history: nobody builds them, the world plays their instances.

use fastrand::Rng;
use unruffled_model::{
    Batch, Batching, Footprint, Interrupt, LoadedModel, ModelError, ModelInfo, Rerun, RunContext, Serve,
    Stateless,
};

use super::sessions::blended_answer;
use super::trace::{Facts, Id, Micros, ModelFacts, RunFacts};
use crate::pool::Failure;

/// What a simulated model computes, so that each answer tells whose it is.
pub(super) fn answer_to(id: Id) -> u64 {
    id * 7 + 3
}

/// A request's input: who it is and what it is like.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) id: Id,
    /// What its request is called.
    pub(super) name: String,
    pub(super) facts: Facts,
    /// What its session has come to; 0 outside of any.
    pub(super) state: u64,
    /// Whether it panics where others fail.
    pub(super) panics: bool,
}

/// A model that is never built.
pub(super) struct Played {
    info: ModelInfo,
    /// Runs wherever it is asked for.
    stateless: bool,
}

impl Played {
    pub(super) fn new(facts: &ModelFacts, stateless: bool) -> Self {
        let info = ModelInfo::new("played", "simulation")
            .with_batching(facts.batching)
            .with_interrupt(if facts.stops { Interrupt::Cooperative } else { Interrupt::Never })
            .with_rerun(if facts.reruns { Rerun::Safe } else { Rerun::Never })
            .with_threads(facts.threads);
        Self { info, stateless }
    }
}

impl LoadedModel for Played {
    type Input = Input;
    type Output = u64;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Input) -> Result<Footprint, ModelError> {
        match input.facts.footprint.rows {
            0 => Err(ModelError::invalid_input("no rows")),
            _ => Ok(input.facts.footprint),
        }
    }

    fn with_instance(&self, _: &mut Serve<'_, Input, u64>) -> Result<(), ModelError> {
        Err(ModelError::unsupported("the simulation has no threads"))
    }

    fn stateless(&self) -> Option<&dyn Stateless<Input, u64>> {
        self.stateless.then_some(self)
    }
}

impl Stateless<Input, u64> for Played {
    fn run(&self, batch: &mut Batch<Input, u64>, _: &RunContext<'_>) -> Result<(), ModelError> {
        for row in batch.rows_mut() {
            let Some(input) = row.take_input() else { continue };
            if input.facts.poison {
                return Err(ModelError::failed("no luck"));
            }
            row.finish(answer(&input));
        }
        Ok(())
    }
}

/// How long a run of these rows takes.
pub(super) fn duration(rng: &mut Rng, model: &ModelFacts, rows: usize) -> Micros {
    let (fixed, each) = (rng.u64(100..400), 100);
    match rng.u32(..200) {
        // Stuck, until somebody stops it, or far beyond anybody's patience.
        0 => 2_500_000,
        1 => fixed * 20,
        _ => fixed + each * if model.batching == Batching::Joint { rows as u64 / 2 } else { rows as u64 },
    }
}

/// Plays the end of a run: rows are answered, or not.
pub(super) fn play(
    rng: &mut Rng,
    facts: &ModelFacts,
    batch: &mut Batch<Input, u64>,
    ctx: &RunContext<'_>,
    run: &mut RunFacts,
) -> Option<Failure> {
    run.told_to_stop = ctx.is_cancelled();
    let seen = batch.rows().iter().zip(ctx.requests());
    let mixed = |(row, context): (&unruffled_model::Row<Input, u64>, &unruffled_model::RequestContext)| {
        let own = row.input()?;
        let named = context.id().to_string() == own.name;
        let carried = context.baggage().all(|baggage| baggage == ("id", &*own.name));
        let due = context.priority() == own.facts.class
            && context.deadline().is_some() == own.facts.deadline.is_some();
        (!(named && carried && due)).then_some(own.id)
    };
    run.mixed = seen.filter_map(mixed).collect();
    let failure = play_rows(rng, facts, batch, run);
    run.failed = failure.is_some();
    run.panicked = matches!(failure, Some(Failure::Panic(_)));
    for row in batch.rows() {
        match row.input() {
            _ if row.is_finished() => {}
            Some(input) => run.left.push(input.id),
            None => run.culprit = true,
        }
    }
    failure
}

fn play_rows(
    rng: &mut Rng,
    facts: &ModelFacts,
    batch: &mut Batch<Input, u64>,
    run: &RunFacts,
) -> Option<Failure> {
    let stopped = run.told_to_stop && facts.stops;
    if facts.batching == Batching::Joint {
        if stopped {
            return Some(Failure::Error(ModelError::cancelled()));
        }
        let poison = batch.rows().iter().filter_map(|row| row.input()).find(|input| input.facts.poison);
        if let Some(poison) = poison {
            return Some(failure(poison.panics));
        }
        if facts.moody && rng.u32(..10) == 0 {
            return Some(failure(rng.bool()));
        }
    }
    let stop_at = if stopped { rng.usize(..=batch.len()) } else { usize::MAX };
    for (at, row) in batch.rows_mut().iter_mut().enumerate() {
        if at == stop_at {
            return Some(Failure::Error(ModelError::cancelled()));
        }
        if !facts.reruns && facts.batching != Batching::Joint {
            let Some(input) = row.take_input() else { continue };
            if input.facts.poison {
                return Some(failure(input.panics));
            }
            row.finish(answer(&input));
        } else {
            let Some(input) = row.input() else { continue };
            if input.facts.poison {
                return Some(failure(input.panics));
            }
            let answer = answer(input);
            row.finish(answer);
        }
    }
    None
}

fn answer(input: &Input) -> Result<u64, ModelError> {
    if input.facts.poor {
        Err(ModelError::failed("a poor row"))
    } else {
        Ok(blended_answer(input.id, input.state))
    }
}

fn failure(panics: bool) -> Failure {
    match panics {
        true => Failure::Panic("boom".into()),
        false => Failure::Error(ModelError::failed("no luck")),
    }
}
