//! [`ScriptedModel`]: a function as a model, under a script.

use unruffled_model::{
    Batch, Batching, DType, Dim, Footprint, Interrupt, LoadedModel, Model, ModelError, ModelInfo, Rerun, Row,
    RunContext, Serve, Signature, Tensor, TensorSpec, Tensors, admit_tensors,
};

use super::gate::Gate;
use super::script::Script;

/// A model that answers each row with a function, when and as its [`Script`] and [`Gate`] say.
///
/// A run comes to the gate, then panics or fails if it is told to, then answers row after row. It stops when nobody waits
/// for it any more, at the gate or between rows, unless it is made [`uninterruptible`](Self::uninterruptible).
pub struct ScriptedModel<I, O> {
    answer: Box<Answer<I, O>>,
    admit: Box<Admit<I>>,
    poison: Box<Poison<I>>,
    info: ModelInfo,
    gate: Gate,
    script: Script,
}

type Answer<I, O> = dyn Fn(&I, &RunContext<'_>) -> Result<O, ModelError> + Send + Sync;
type Poison<I> = dyn Fn(&I) -> Result<(), ModelError> + Send + Sync;
type Admit<I> = dyn Fn(&ModelInfo, &I) -> Result<Footprint, ModelError> + Send + Sync;

impl<I: Send + 'static, O: Send + 'static> ScriptedModel<I, O> {
    /// A model that answers each row with `answer`. It is [`Batching::Joint`], any two inputs may share a run, each is
    /// one row, and none is run twice.
    pub fn new(
        answer: impl Fn(&I, &RunContext<'_>) -> Result<O, ModelError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Box::new(answer),
            admit: Box::new(|_, _| Ok(Footprint::single(size_of::<I>()))),
            poison: Box::new(|_| Ok(())),
            info: ModelInfo::new("scripted", "rust")
                .with_batching(Batching::Joint)
                .with_interrupt(Interrupt::Cooperative)
                .with_rerun(Rerun::Never),
            gate: Gate::opened(),
            script: Script::default(),
        }
    }

    /// Has every run come to `gate`.
    #[must_use]
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.gate = gate.clone();
        self
    }

    /// Says how the model gains from batches.
    #[must_use]
    pub fn batching(mut self, batching: Batching) -> Self {
        self.info.batching = batching;
        self
    }

    /// Has runs go to their end, also when they are cancelled.
    #[must_use]
    pub fn uninterruptible(mut self) -> Self {
        self.info.interrupt = Interrupt::Never;
        self
    }

    /// Has rows run again when a neighbour made their batch fail.
    #[must_use]
    pub fn rerunnable(mut self) -> Self {
        self.info.rerun = Rerun::Safe;
        self
    }

    /// Weighs and checks inputs with `admit`.
    #[must_use]
    pub fn admitting(
        mut self,
        admit: impl Fn(&I) -> Result<Footprint, ModelError> + Send + Sync + 'static,
    ) -> Self {
        self.admit = Box::new(move |_, input| admit(input));
        self
    }

    /// Has a run fail as a whole, before any row is answered, if `check` fails for the input of one of its rows; or panic if
    /// that panics.
    #[must_use]
    pub fn poisoned_by(
        mut self,
        check: impl Fn(&I) -> Result<(), ModelError> + Send + Sync + 'static,
    ) -> Self {
        self.poison = Box::new(check);
        self
    }

    /// Changes what is told of the model.
    #[must_use]
    pub fn with_info(mut self, change: impl FnOnce(&mut ModelInfo)) -> Self {
        change(&mut self.info);
        self
    }

    /// The handle by which the test says what shall happen and sees what did.
    pub fn script(&self) -> Script {
        self.script.clone()
    }

    fn stops(&self) -> bool {
        self.info.interrupt != Interrupt::Never
    }

    fn run_rows(&self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        if !self.gate.pass(ctx, self.stops()) {
            return Err(ModelError::cancelled());
        }
        self.script.act()?;
        for input in batch.rows().iter().filter_map(Row::input) {
            (self.poison)(input)?;
        }
        for row in batch.rows_mut() {
            if self.stops() && ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            if let Some(input) = row.input() {
                let answer = (self.answer)(input, ctx);
                row.finish(answer);
            }
        }
        Ok(())
    }
}

/// A model of tensors, whose inputs are checked against `signature`; see [`ScriptedModel::new`].
pub fn tensors(
    signature: Signature,
    answer: impl Fn(&Tensors, &RunContext<'_>) -> Result<Tensors, ModelError> + Send + Sync + 'static,
) -> ScriptedModel<Tensors, Tensors> {
    let mut model = ScriptedModel::new(answer);
    model.admit = Box::new(admit_tensors);
    model.info.signature = signature;
    model
}

/// A model of tensors: `x`, `f32 [batch, 2]`, to `y`, which is twice as much.
pub fn doubling() -> ScriptedModel<Tensors, Tensors> {
    let spec = |name: &str| TensorSpec::new(name, DType::F32, [Dim::Symbolic("batch".into()), Dim::Fixed(2)]);
    let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] };
    tensors(signature, |inputs, _| {
        let x = inputs.get("x").ok_or_else(|| ModelError::failed("no x"))?;
        let doubled: Vec<f32> = x.elements::<f32>()?.iter().map(|x| 2.0 * x).collect();
        Ok(Tensors::new().with("y", Tensor::new(x.shape(), doubled)?))
    })
}

impl<I: Send + 'static, O: Send + 'static> LoadedModel for ScriptedModel<I, O> {
    type Input = I;
    type Output = O;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &I) -> Result<Footprint, ModelError> {
        (self.admit)(&self.info, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, I, O>) -> Result<(), ModelError> {
        let _alive = self.script.build()?;
        serve(&mut Instance { model: self });
        Ok(())
    }
}

struct Instance<'a, I, O> {
    model: &'a ScriptedModel<I, O>,
}

impl<I: Send + 'static, O: Send + 'static> Model for Instance<'_, I, O> {
    type Input = I;
    type Output = O;

    fn run(&mut self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        let requests = ctx.requests().iter().map(|request| request.id().clone()).collect();
        let script = &self.model.script;
        let ended = Ended { script, run: script.begin(requests, batch.len()), ctx };
        let outcome = self.model.run_rows(batch, ctx);
        drop(ended);
        outcome
    }
}

/// Notes the end of a run, a panic included.
struct Ended<'a> {
    script: &'a Script,
    run: usize,
    ctx: &'a RunContext<'a>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.script.end(self.run, self.ctx.is_cancelled());
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use unruffled_model::{
        Batch, CancelToken, LoadedModel, ModelError, ModelErrorKind, RequestContext, RequestId, RunContext,
        Tensor, Tensors,
    };

    use super::{ScriptedModel, doubling};
    use crate::scripted::Gate;

    fn run(
        model: &ScriptedModel<u32, u32>,
        cancel: &CancelToken,
        inputs: &[u32],
    ) -> Result<Vec<u32>, ModelError> {
        let requests: Vec<_> =
            inputs.iter().map(|&i| RequestContext::new(RequestId::Number(i.into()))).collect();
        let (mut batch, mut outcome) = (Batch::new(inputs.to_vec()), Ok(()));
        model.with_instance(&mut |instance| {
            outcome = instance.run(&mut batch, &RunContext::new(cancel, None, &requests));
        })?;
        outcome?;
        batch.into_rows().into_iter().map(|row| row.into_answer().unwrap()).collect()
    }

    fn successor() -> ScriptedModel<u32, u32> {
        ScriptedModel::new(|x, _| Ok(x + 1))
    }

    #[test]
    fn does_what_the_script_says() {
        let model = successor();
        let (script, cancel) = (model.script(), CancelToken::new());
        script.fail_instances(1);
        script.fail_next(ModelError::crashed("as told"));
        assert!(run(&model, &cancel, &[1]).is_err(), "no instance");
        assert_eq!(run(&model, &cancel, &[1, 2]).unwrap_err().to_string(), "as told");
        script.panic_next(1);
        assert!(catch_unwind(AssertUnwindSafe(|| run(&model, &cancel, &[1]))).is_err());
        assert_eq!(run(&model, &cancel, &[1, 2, 3]).unwrap(), [2, 3, 4]);
        assert_eq!(script.batch_sizes(), [2, 1, 3]);
        assert!(script.batches().iter().all(|batch| batch.ended && !batch.cancelled));
        assert_eq!((script.instances(), script.instances_built()), (0, 3));
    }

    #[test]
    fn a_run_at_the_gate_stops_when_cancelled_if_it_stops_at_all() {
        let (gate, cancel) = (Gate::closed(), CancelToken::new());
        let stops = successor().gated(&gate);
        let goes_on = successor().gated(&gate).uninterruptible();
        thread::scope(|scope| {
            let stopped = scope.spawn(|| run(&stops, &cancel, &[1]));
            assert_eq!(gate.entered(), [RequestId::Number(1)]);
            let finished = scope.spawn(|| run(&goes_on, &cancel, &[2]));
            assert_eq!(gate.entered(), [RequestId::Number(2)]);
            cancel.cancel();
            let error = stopped.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ModelErrorKind::Cancelled);
            assert_eq!(gate.waiting(), 1, "the other one goes on");
            gate.release(1);
            assert_eq!(finished.join().unwrap().unwrap(), [3]);
        });
        assert!(stops.script().batches()[0].cancelled);
        assert_eq!(gate.try_entered(), None);
    }

    #[test]
    fn doubling_checks_its_inputs() {
        let model = doubling();
        assert!(model.info().signature.is_batchable());
        let x = Tensor::new(&[1, 3], vec![1.0_f32; 3]).unwrap();
        let error = model.admit(&Tensors::new().with("x", x)).unwrap_err();
        assert_eq!(error.to_string(), "`x`: expected shape [batch, 2], got [1, 3]");
    }
}
