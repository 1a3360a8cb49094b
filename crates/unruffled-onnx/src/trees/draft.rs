//! Makes a [`Plan`] of a graph: each operator is built, each value typed, and rows are shown to keep to themselves.

use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::ValueInfoProto;
use unruffled_model::{CancelToken, Dim as SpecDim, Name, RunContext, Signature, Tensor, TensorSpec};

use super::kernel::{Built, Operand, Site};
use super::operators::{CLASSICAL, find};
use super::plan::{Plan, Source, Step};
use super::rearrange::fill;
use super::settings::Settings;
use super::shape::{Dim, Type, known_size};
use crate::graph::{Declared, Node, WholeGraph, declared};

/// No value may have more elements a row: a few bytes of a file could ask for any number.
const ELEMENTS_MAX: usize = 1 << 22;

/// Makes a plan of a graph.
///
/// # Errors
///
/// Every reason why that cannot be done, each once.
pub(super) fn plan(graph: &WholeGraph) -> Result<Plan, Vec<String>> {
    let mut draft = Draft::default();
    let signature = draft.inputs(&graph.inputs);
    for constant in &graph.constants {
        match constant.tensor() {
            Ok(tensor) => draft.constant(&constant.name, tensor),
            Err(why) => draft.say(format!("the constant `{}` {why}", constant.name)),
        }
    }
    for node in &graph.nodes {
        draft.node(graph, node);
    }
    draft.outputs(&graph.outputs, signature)
}

/// What is known under a name.
#[derive(Clone)]
struct Known {
    operand: Operand,
    source: Source,
}

/// A plan that is being made.
#[derive(Default)]
struct Draft {
    known: HashMap<String, Known>,
    /// The values whose shapes are known under a name.
    shapes: HashMap<String, Known>,
    /// The values that are sequences of maps: only outputs may be.
    maps: HashSet<String>,
    steps: Vec<Step>,
    constants: Vec<Tensor>,
    slots: usize,
    reasons: Vec<String>,
    /// What the file calls the rows, or how many there are always.
    batch: Option<SpecDim>,
}

impl Draft {
    fn say(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// Takes the inputs in: each must begin with the rows.
    fn inputs(&mut self, inputs: &[ValueInfoProto]) -> Signature {
        let mut signature = Signature::default();
        for (i, input) in inputs.iter().enumerate() {
            match declared(input) {
                Declared::Tensor(mut spec) => {
                    match self.input(i, &mut spec) {
                        Ok(()) => {}
                        Err(why) => self.say(format!("input `{}` {why}", spec.name)),
                    }
                    signature.inputs.push(spec);
                }
                Declared::Other(what) => {
                    self.say(format!("input `{}` is {what}", input.name.as_deref().unwrap_or_default()));
                }
            }
        }
        if inputs.is_empty() {
            self.say("it takes no inputs".into());
        }
        signature
    }

    fn input(&mut self, number: usize, spec: &mut TensorSpec) -> Result<(), String> {
        let Some([first, rest @ ..]) = spec.dims.as_deref_mut() else {
            return Err("does not begin with rows".into());
        };
        if *first == SpecDim::Any {
            *first = SpecDim::Symbolic("batch".into());
        }
        let batch = self.batch.get_or_insert_with(|| first.clone());
        match (&*first, &*batch) {
            (SpecDim::Fixed(size), SpecDim::Fixed(known)) if size == known => {}
            (SpecDim::Symbolic(_), SpecDim::Symbolic(_)) => first.clone_from(batch),
            _ => return Err("has other rows than the first".into()),
        }
        if matches!(first, SpecDim::Symbolic(_)) && rest.contains(first) {
            return Err("has as many columns as rows".into());
        }
        let dims = rest.iter().map(|dim| match dim {
            SpecDim::Fixed(size) => Dim::Size(*size),
            SpecDim::Symbolic(_) | SpecDim::Any => Dim::Any,
        });
        let dims: Vec<Dim> = [Dim::Rows].into_iter().chain(dims).collect();
        let operand = Operand { r#type: Type::new(spec.dtype, dims), constant: None };
        self.known.insert(spec.name.to_string(), Known { operand, source: Source::Input(number) });
        Ok(())
    }

    fn constant(&mut self, name: &str, tensor: Tensor) {
        let dims: Vec<Dim> = tensor.shape().iter().map(|&size| Dim::Size(size)).collect();
        let r#type = Type::new(tensor.dtype(), dims);
        let source = Source::Constant(self.constants.len());
        self.constants.push(tensor.clone());
        let operand = Operand { r#type, constant: Some(tensor) };
        self.known.insert(name.to_owned(), Known { operand, source });
    }

    /// Builds one operator; if that cannot be done, says why.
    fn node(&mut self, graph: &WholeGraph, node: &Node) {
        let prefix = if node.domain.is_empty() { String::new() } else { format!("{}/", node.domain) };
        if let Err(why) = self.build(graph, node) {
            self.say(format!("{prefix}{} {why}", node.operator));
        }
    }

    fn build(&mut self, graph: &WholeGraph, node: &Node) -> Result<(), String> {
        if (&*node.domain, &*node.operator) == ("", "Constant") {
            let [output] = &node.outputs[..] else { return Err("has no single output".into()) };
            let tensor = written_out(&Settings::new(node))?;
            self.constant(output, tensor);
            return Ok(());
        }
        let builder = find(&node.domain, &node.operator).ok_or("is not known here")?;
        let given = node.inputs.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        let mut inputs = Vec::with_capacity(given);
        for name in &node.inputs[..given] {
            if self.maps.contains(name) {
                return Err(format!("takes the maps of `{name}`"));
            }
            if let Some(shape) = self.shapes.get(name) {
                return self.build_from_shape(node, shape.clone());
            }
            match self.known.get(name) {
                Some(known) => inputs.push(known.clone()),
                // The reason was said where it should have been computed.
                None if !self.reasons.is_empty() => return Ok(()),
                None => return Err(format!("takes `{name}`, which nothing computes")),
            }
        }
        if (&*node.domain, &*node.operator) == ("", "Shape") {
            return self.shape(node, &inputs);
        }
        let operands: Vec<Operand> = inputs.iter().map(|known| known.operand.clone()).collect();
        let settings = Settings::new(node);
        let version = graph.opset(&node.domain);
        let built = builder(&Site { settings: &settings, inputs: &operands, version })?;
        if let Some(unknown) = settings.unknown() {
            return Err(format!("has the attribute `{unknown}`, which is not known here"));
        }
        self.add(node, &inputs, built)
    }

    /// Adds a step, or computes its outputs at once if all that it takes is known.
    fn add(&mut self, node: &Node, inputs: &[Known], built: Built) -> Result<(), String> {
        for output in &built.outputs {
            let elements = known_size(&output.dims);
            if elements > ELEMENTS_MAX {
                return Err(format!("computes {elements} elements a row"));
            }
        }
        let mut names = node.outputs.clone();
        if (&*node.domain, &*node.operator) == (CLASSICAL, "ZipMap") && names.len() == 1 {
            names.push(keys_name(&names[0]));
            self.maps.insert(names[0].clone());
        }
        if names.len() > built.outputs.len() {
            return Err(format!("has {} outputs", names.len()));
        }
        let constants: Option<Vec<&Tensor>> =
            inputs.iter().map(|known| known.operand.constant.as_ref()).collect();
        if let Some(constants) = constants {
            let (cancel, mut computed) = (CancelToken::new(), Vec::new());
            let ctx = RunContext::new(&cancel, None, &[]);
            let outcome = built.kernel.run(&constants, &ctx, &mut computed);
            outcome.map_err(|error| format!("cannot be computed: {error}"))?;
            for (name, tensor) in names.iter().zip(computed) {
                self.constant(name, tensor);
            }
            return Ok(());
        }
        for (i, (name, r#type)) in names.into_iter().zip(&built.outputs).enumerate() {
            let operand = Operand { r#type: r#type.clone(), constant: None };
            self.known.insert(name, Known { operand, source: Source::Slot(self.slots + i) });
        }
        self.slots += built.outputs.len();
        let inputs = inputs.iter().map(|known| known.source).collect();
        self.steps.push(Step { kernel: built.kernel, inputs });
        Ok(())
    }

    /// A shape is never computed: what takes it is told the value that it is the shape of.
    fn shape(&mut self, node: &Node, inputs: &[Known]) -> Result<(), String> {
        let ([of], [output], []) = (inputs, &node.outputs[..], &node.attributes[..]) else {
            return Err("is of a part only".into());
        };
        self.shapes.insert(output.clone(), of.clone());
        Ok(())
    }

    fn build_from_shape(&mut self, node: &Node, of: Known) -> Result<(), String> {
        if (&*node.domain, &*node.operator) != ("", "ConstantOfShape") {
            return Err("takes a shape that depends on the rows".into());
        }
        let settings = Settings::new(node);
        let built = fill(&settings, &of.operand.r#type)?;
        self.add(node, &[of], built)
    }

    /// Finds the outputs: each must be one row for each row of the inputs.
    fn outputs(mut self, outputs: &[ValueInfoProto], mut signature: Signature) -> Result<Plan, Vec<String>> {
        let mut found = Vec::new();
        for output in outputs {
            let name = output.name.as_deref().unwrap_or_default();
            if let Err(why) = self.output(output, name, &mut signature, &mut found) {
                self.say(format!("output `{name}` {why}"));
            }
            if self.maps.contains(name) {
                let keys = keys_name(name);
                if let Err(why) = self.tensor_output(&keys, &mut signature, &mut found) {
                    self.say(format!("output `{name}` {why}"));
                }
            }
        }
        if !self.reasons.is_empty() {
            return Err(self.reasons);
        }
        let Self { steps, constants, slots, .. } = self;
        Ok(Plan { signature, steps, constants, outputs: found, slots })
    }

    fn output(
        &mut self,
        output: &ValueInfoProto,
        name: &str,
        signature: &mut Signature,
        found: &mut Vec<(Name, Source)>,
    ) -> Result<(), String> {
        if let (Declared::Tensor(spec), Some(known)) = (declared(output), self.known.get(name))
            && !self.maps.contains(name)
            && spec.dtype != known.operand.r#type.dtype
        {
            let given = known.operand.r#type.dtype;
            return Err(format!("is declared {}, but computed as {given}", spec.dtype));
        }
        self.tensor_output(name, signature, found)
    }

    /// An output as it is computed: what exporters declare of shapes is often wrong.
    fn tensor_output(
        &mut self,
        name: &str,
        signature: &mut Signature,
        found: &mut Vec<(Name, Source)>,
    ) -> Result<(), String> {
        let Some(known) = self.known.get(name) else {
            return match self.reasons.is_empty() {
                true => Err("is not computed by anything".into()),
                // The reason was said where it should have been computed.
                false => Ok(()),
            };
        };
        let computed = &known.operand.r#type;
        if computed.dims.first() != Some(&Dim::Rows) {
            return Err(format!("does not begin with rows: it is {computed}"));
        }
        let batch = self.batch.clone().unwrap_or(SpecDim::Any);
        let dims = computed.dims.iter().map(|dim| match dim {
            Dim::Rows => batch.clone(),
            Dim::Size(size) => SpecDim::Fixed(*size),
            Dim::Any => SpecDim::Any,
        });
        signature.outputs.push(TensorSpec::new(name, computed.dtype, dims.collect::<Vec<_>>()));
        found.push((name.into(), known.source));
        Ok(())
    }
}

/// What a `Constant` says.
fn written_out(settings: &Settings<'_>) -> Result<Tensor, String> {
    let made = match settings.tensor("value")? {
        Some(tensor) => Ok(tensor),
        None => match (settings.float("value_float"), settings.integer("value_int")) {
            (Some(float), _) => Ok(Tensor::scalar(float)),
            (_, Some(integer)) => Ok(Tensor::scalar(integer)),
            (None, None) => match (settings.floats("value_floats"), settings.integers("value_ints")) {
                ([], []) => return Err("holds nothing that is computed with here".into()),
                ([], integers) => Tensor::new(&[integers.len()], integers.to_vec()),
                (floats, _) => Tensor::new(&[floats.len()], floats.to_vec()),
            },
        },
    };
    made.map_err(|error| error.to_string())
}

/// What the keys of a map are called, whose values have the name of the map.
fn keys_name(map: &str) -> String {
    format!("{map}.keys")
}
