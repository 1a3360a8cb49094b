//! [`Pipeline`]: the steps as they are written, before anything is checked.

use unruffled_model::{Name, Tensor, TensorSpec, Tensors};

use crate::handle::Handle;

/// How many bytes one call may hold unless said otherwise.
const BYTES: usize = 256 << 20;

/// How many items of a loop are with their model at a time unless said otherwise: one full batch.
pub(super) const IN_FLIGHT: usize = 32;

/// Models chained and branched by name, to be made a model by [`Engine::wrap_pipeline`](crate::Engine::wrap_pipeline).
///
/// A value is named by where it comes from: `input.NAME` is an input of the pipeline, `STEP.NAME` an output of a step. The
/// order in which steps are written does not matter: each starts as soon as its inputs are there, so that branches run side by
/// side. What the pipeline takes and gives follows from its steps.
///
/// ```
/// use unruffled_engine::{Engine, Handle, Pipeline, PipelineStep};
/// use unruffled_model::{Tensor, Tensors};
///
/// # async fn example(detect: Handle<Tensors, Tensors>, crop: Handle<Tensors, Tensors>, read: Handle<Tensors, Tensors>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new();
/// let pipeline = Pipeline::new()
///     .step(PipelineStep::new("detect", &detect).input("picture", "input.picture"))
///     .step(PipelineStep::new("crop", &crop).input("picture", "input.picture").input("boxes", "detect.boxes"))
///     // Once for each row of `crops`, as many requests, so that they share runs.
///     .step(PipelineStep::new("read", &read).input("x", "crop.crops").each(["x"]))
///     .output("boxes", "detect.boxes")
///     .output("text", "read.text");
/// let ocr = engine.wrap_pipeline(&pipeline)?.name("ocr").register()?;
/// let page = Tensors::new().with("picture", Tensor::filled(&[600, 800, 3], 0_u8)?);
/// let answer = ocr.infer(page).await?;
/// for step in &answer.provenance.as_ref().unwrap().steps {
///     println!("{}: {} requests, {:?}", step.name, step.requests, step.total);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "`Engine::wrap_pipeline` makes it a model"]
pub struct Pipeline {
    pub(super) inputs: Vec<TensorSpec>,
    pub(super) steps: Vec<PipelineStep>,
    pub(super) outputs: Vec<(Name, Name)>,
    pub(super) emitted: Vec<Name>,
    pub(super) bytes: usize,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipeline {
    /// No steps yet; 256 MiB for each call.
    pub fn new() -> Self {
        Self { inputs: Vec::new(), steps: Vec::new(), outputs: Vec::new(), emitted: Vec::new(), bytes: BYTES }
    }

    /// Says more of an input than the steps that take it do, such as a default. An input that nobody says anything of is what
    /// these steps take.
    pub fn input(mut self, input: TensorSpec) -> Self {
        self.inputs.push(input);
        self
    }

    /// Adds a step.
    pub fn step(mut self, step: PipelineStep) -> Self {
        self.steps.push(step);
        self
    }

    /// Gives a value as an output of this name.
    ///
    /// `STEP.progress`, of a loop, is how many of its items are done and how many there are, as `i64 [2]`; -1 while that is
    /// not known.
    pub fn output(mut self, name: impl Into<Name>, from: impl Into<Name>) -> Self {
        self.outputs.push((name.into(), from.into()));
        self
    }

    /// Gives these outputs, of one loop, as its items come, to callers who take several outputs
    /// ([`Request::outputs`](crate::Request::outputs)); what is left comes as the last. Callers who take one answer get all
    /// at once.
    pub fn emit<N: Into<Name>>(mut self, outputs: impl IntoIterator<Item = N>) -> Self {
        self.emitted.extend(outputs.into_iter().map(Into::into));
        self
    }

    /// How many bytes of inputs and results one call may hold at a time. A call that needs more ends with `InvalidInput`.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

/// One step of a [`Pipeline`]: a model, what it is given, and how often.
#[derive(Clone, Debug)]
#[must_use = "a step is part of a pipeline once `Pipeline::step` has it"]
pub struct PipelineStep {
    pub(super) name: Name,
    pub(super) model: StepModel,
    pub(super) inputs: Vec<(Name, Feed)>,
    pub(super) repeat: Repeat,
    /// Of a loop, if anything is said about it.
    pub(super) rows: Option<usize>,
    pub(super) in_flight: Option<usize>,
    /// Of a scan: outputs, and the inputs that they are the next time.
    pub(super) carry: Vec<(Name, Name)>,
}

/// How often a step asks its model.
#[derive(Clone, Debug, Default)]
pub(super) enum Repeat {
    /// Once, for one answer.
    #[default]
    Once,
    /// Once, for outputs that come one after the other: each is an item.
    Several,
    /// For each item of these inputs.
    Each(Vec<Name>),
    /// For each item of these inputs, one after the other.
    Scan(Vec<Name>),
}

impl PipelineStep {
    /// A step of this name that asks a model once: one that is at hand, or one of the engine by its name.
    pub fn new(name: impl Into<Name>, model: impl Into<StepModel>) -> Self {
        Self {
            name: name.into(),
            model: model.into(),
            inputs: Vec::new(),
            repeat: Repeat::Once,
            rows: None,
            in_flight: None,
            carry: Vec::new(),
        }
    }

    /// Gives an input of the model: a value by where it comes from, or a constant.
    ///
    /// In a loop, `item.index` is which item it is, counted from 0 (i64), and `item.last` whether it is the last (bool).
    pub fn input(mut self, name: impl Into<Name>, feed: impl Into<Feed>) -> Self {
        self.inputs.push((name.into(), feed.into()));
        self
    }

    /// Takes several outputs for one input, as they come ([`Request::outputs`](crate::Request::outputs)): a loop over them
    /// begins with the first.
    pub fn several(mut self) -> Self {
        self.repeat = Repeat::Several;
        self
    }

    /// Asks once for each item of these inputs; the others are the same each time. The items of a loop or of several outputs
    /// are theirs, as they come; those of anything else are its rows. Results are in the order of the items.
    ///
    /// At most 32 items are with the model at a time: [`in_flight`](Self::in_flight).
    pub fn each<N: Into<Name>>(mut self, inputs: impl IntoIterator<Item = N>) -> Self {
        self.repeat = Repeat::Each(inputs.into_iter().map(Into::into).collect());
        self
    }

    /// As [`each`](Self::each), one item after the other, for what has a state: what is to be handed on says
    /// [`carry`](Self::carry), or else the model, if it keeps sessions ([`SequenceSpec`](unruffled_model::SequenceSpec)).
    pub fn scan<N: Into<Name>>(mut self, inputs: impl IntoIterator<Item = N>) -> Self {
        self.repeat = Repeat::Scan(inputs.into_iter().map(Into::into).collect());
        self
    }

    /// Hands an output of one item on as an input for the next; only in a [`scan`](Self::scan). The first has what the input
    /// is given, or else the model's default, or zeros.
    pub fn carry(mut self, output: impl Into<Name>, input: impl Into<Name>) -> Self {
        self.carry.push((output.into(), input.into()));
        self
    }

    /// How many rows make an item, where items are rows; 1 unless set, and at least 1. The last item may have fewer.
    pub fn rows(mut self, count: usize) -> Self {
        self.rows = Some(count.max(1));
        self
    }

    /// How many items of an [`each`](Self::each) are with the model at a time; at least 1.
    pub fn in_flight(mut self, count: usize) -> Self {
        self.in_flight = Some(count.max(1));
        self
    }
}

/// What an input of a step is given.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Feed {
    /// A value, by where it comes from: `input.NAME`, `STEP.NAME`, `item.index`, `item.last`.
    Value(Name),
    /// The same each time.
    Constant(Tensor),
}

impl From<&str> for Feed {
    fn from(reference: &str) -> Self {
        Feed::Value(reference.into())
    }
}

impl From<Name> for Feed {
    fn from(reference: Name) -> Self {
        Feed::Value(reference)
    }
}

impl From<Tensor> for Feed {
    fn from(constant: Tensor) -> Self {
        Feed::Constant(constant)
    }
}

/// The model of a step.
#[derive(Clone, Debug)]
pub struct StepModel(pub(super) Target);

#[derive(Clone, Debug)]
pub(super) enum Target {
    Handle(Handle<Tensors, Tensors>),
    Name(Name),
}

impl From<&Handle<Tensors, Tensors>> for StepModel {
    fn from(handle: &Handle<Tensors, Tensors>) -> Self {
        Self(Target::Handle(handle.clone()))
    }
}

impl From<Handle<Tensors, Tensors>> for StepModel {
    fn from(handle: Handle<Tensors, Tensors>) -> Self {
        Self(Target::Handle(handle))
    }
}

impl From<&str> for StepModel {
    fn from(name: &str) -> Self {
        Self(Target::Name(name.into()))
    }
}

impl From<Name> for StepModel {
    fn from(name: Name) -> Self {
        Self(Target::Name(name))
    }
}
