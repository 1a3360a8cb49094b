//! A backend alone: `Model::run` in a loop, on a thread of its own.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use benches::{histogram, quantile, record};
use crossbeam_channel::{Receiver, Sender, bounded};
use unruffled_model::{Batch, CancelToken, Model, ModelError, RunContext, TensorModel, Tensors};

use crate::way::{Round, Way};

/// An instance that waits for rounds.
pub(crate) struct Direct {
    rounds: Sender<Duration>,
    answers: Receiver<Result<Round, ModelError>>,
}

impl Direct {
    /// Builds an instance.
    pub(crate) fn start(model: TensorModel, inputs: Tensors, rows: usize) -> Result<Self> {
        let (rounds, asked) = bounded::<Duration>(1);
        let (answer, answers) = bounded(1);
        let body = move || {
            let outcome = model.with_instance(&mut |instance| {
                for length in &asked {
                    // Nobody listens any more if the program ends.
                    let _ = answer.send(round(instance, &inputs, rows, length));
                }
            });
            if let Err(error) = outcome {
                let _ = answer.send(Err(error));
            }
        };
        thread::Builder::new().name("direct".into()).spawn(body)?;
        Ok(Self { rounds, answers })
    }
}

impl Way for Direct {
    fn round(&mut self, length: Duration) -> Result<Round> {
        self.rounds.send(length).context("the instance has gone")?;
        Ok(self.answers.recv().context("the instance has gone")??)
    }
}

fn round(
    instance: &mut dyn Model<Input = Tensors, Output = Tensors>,
    inputs: &Tensors,
    rows: usize,
    length: Duration,
) -> Result<Round, ModelError> {
    let (cancel, mut times, begin) = (CancelToken::new(), histogram(), Instant::now());
    while times.is_empty() || begin.elapsed() < length {
        let called = Instant::now();
        let mut batch = Batch::new([inputs.clone()]);
        instance.run(&mut batch, &RunContext::new(&cancel, None, &[]))?;
        for row in batch.into_rows() {
            drop(row.into_answer().unwrap_or_else(|| Err(ModelError::failed("no answer")))?);
        }
        record(&mut times, called.elapsed());
    }
    let rows_per_second = (rows as u64 * times.len()) as f64 / begin.elapsed().as_secs_f64();
    Ok(Round { rows_per_second, p50: quantile(&times, 0.5) })
}
