//! The operators: `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`.

use std::borrow::Cow;

use unruffled_model::{DType, Data, Element, ModelError, RunContext, Tensor};

use super::evaluate::{Ensemble, Scratched};
use super::finish::{Classification, Regression};
use super::forest::Forest;
use super::keys::Feature;
use super::listed::{CLASS, TARGET, numbers, read};
use super::scores::Aggregate;
use super::{compact, forest};
use crate::trees::kernel::{Built, Kernel, Site, rows_columns};
use crate::trees::labels::Labels;
use crate::trees::shape::{Dim, Type};
use crate::trees::transform::PostTransform;

/// Builds a `TreeEnsembleClassifier`.
pub(crate) fn classifier(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    let labels = Labels::read(settings, "classlabels_int64s", "classlabels_strings")?;
    let transform = PostTransform::named(settings.string("post_transform"))?;
    let classes = labels.len();
    if classes < 2 {
        return Err("has a single class".into());
    }
    let dtype = input.r#type.dtype;
    let forest = read(settings, &CLASS, classes, dtype)?;
    check_width(&input.r#type, &forest)?;
    let base = numbers(settings, "base_values", "base_values_as_tensor", dtype)?;
    if !([0, classes].contains(&base.len()) || (classes == 2 && base.len() == 1)) {
        return Err(format!("has {} base values for {classes} classes", base.len()));
    }
    let of_first = |weight: &forest::Weight| weight.target == forest.weights[0].target;
    let is_binary = classes == 2 && forest.weights.iter().all(of_first);
    if classes == 2 && transform == PostTransform::Probit {
        return Err("has two classes and the transform `PROBIT`".into());
    }
    let all_positive = forest.weights.iter().all(|weight| weight.value >= 0.0);
    let outputs =
        [Type::new(labels.dtype(), [Dim::Rows]), Type::new(DType::F32, [Dim::Rows, Dim::Size(classes)])];
    let labels = match labels {
        // Where both classes have weights, integer labels are passed over.
        Labels::Integers(_) if classes == 2 && !is_binary => Labels::Integers(vec![0, 1]),
        labels => labels,
    };
    let many = ManyClasses { transform, is_binary, all_positive, labels, base };
    Ok(match dtype {
        DType::F64 => Built::new(many.kernel::<f64, f64>(forest), outputs),
        _ => Built::new(many.kernel::<f32, f32>(forest), outputs),
    })
}

/// What a classifier has beside its trees.
struct ManyClasses {
    transform: PostTransform,
    is_binary: bool,
    all_positive: bool,
    labels: Labels,
    base: Vec<f64>,
}

impl ManyClasses {
    fn kernel<T: Feature + FromTensor, S: Scratched>(self, forest: Forest) -> Classifier<T, S> {
        Classifier {
            classes: forest.targets,
            ensemble: Ensemble::new(forest, Aggregate::Sum),
            finish: Classification {
                base: self.base.into_iter().map(S::from_f64).collect(),
                transform: self.transform,
                is_binary: self.is_binary,
                all_positive: self.all_positive,
            },
            labels: self.labels,
        }
    }
}

struct Classifier<T: Feature, S> {
    ensemble: Ensemble<T, S>,
    finish: Classification<S>,
    labels: Labels,
    classes: usize,
}

impl<T: Feature + FromTensor, S: Scratched> Kernel for Classifier<T, S> {
    fn run(
        &self,
        inputs: &[&Tensor],
        ctx: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, width) = rows_columns(inputs[0])?;
        let x = T::from_tensor(inputs[0])?;
        let mut classes = vec![0; rows];
        let mut answers = vec![0.0; rows * self.classes];
        self.ensemble.evaluate(&x, width, ctx, |row, scores, seen| {
            let answer = &mut answers[row * self.classes..][..self.classes];
            classes[row] = self.finish.finish(scores, seen, answer);
        })?;
        outputs.push(self.labels.tensor(&classes)?);
        outputs.push(Tensor::new(&[rows, self.classes], answers)?);
        Ok(())
    }
}

/// Builds a `TreeEnsembleRegressor`.
pub(crate) fn regressor(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    let targets = settings.integer("n_targets").unwrap_or(1);
    let targets = usize::try_from(targets).map_err(|_| format!("has {targets} targets"))?;
    let aggregate = match settings.string("aggregate_function").unwrap_or("SUM") {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return Err(format!("has the aggregate `{other}`, which is not known")),
    };
    let transform = PostTransform::named(settings.string("post_transform"))?;
    let dtype = input.r#type.dtype;
    let forest = read(settings, &TARGET, targets, dtype)?;
    let base = numbers(settings, "base_values", "base_values_as_tensor", dtype)?;
    let end = End { aggregate, transform, base };
    end.build(&input.r#type, forest, DType::F32)
}

/// Builds a `TreeEnsemble`.
pub(crate) fn ensemble(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    let targets = settings.integer("n_targets").unwrap_or(1);
    let targets = usize::try_from(targets).map_err(|_| format!("has {targets} targets"))?;
    let aggregate = match settings.integer("aggregate_function").unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(format!("has aggregate {other}, which is not known")),
    };
    let transform = PostTransform::numbered(settings.integer("post_transform").unwrap_or(0))?;
    let dtype = input.r#type.dtype;
    if !matches!(dtype, DType::F32 | DType::F64) {
        return Err(format!("takes {dtype}, which is not computed with here"));
    }
    let forest = compact::read(settings, targets, dtype)?;
    End { aggregate, transform, base: Vec::new() }.build(&input.r#type, forest, dtype)
}

/// What a regressor has beside its trees.
struct End {
    aggregate: Aggregate,
    transform: PostTransform,
    base: Vec<f64>,
}

impl End {
    fn build(self, input: &Type, forest: Forest, output: DType) -> Result<Built, String> {
        check_width(input, &forest)?;
        let targets = forest.targets;
        if ![0, targets].contains(&self.base.len()) {
            return Err(format!("has {} base values for {targets} targets", self.base.len()));
        }
        let several = |node: &forest::Node| matches!(node, forest::Node::Leaf(from, to) if to - from > 1);
        if targets == 1 && forest.nodes.iter().any(several) {
            return Err("has a leaf of several weights for its only target".into());
        }
        let outputs = [Type::new(output, [Dim::Rows, Dim::Size(targets)])];
        Ok(match input.dtype {
            DType::F64 => Built::new(self.kernel::<f64, f64>(forest, output), outputs),
            _ => Built::new(self.kernel::<f32, f32>(forest, output), outputs),
        })
    }

    fn kernel<T: Feature + FromTensor, S: Scratched>(self, forest: Forest, output: DType) -> Regressor<T, S> {
        Regressor {
            targets: forest.targets,
            finish: Regression {
                aggregate: self.aggregate,
                base: self.base.into_iter().map(S::from_f64).collect(),
                transform: self.transform,
                trees: forest.roots.len(),
            },
            ensemble: Ensemble::new(forest, self.aggregate),
            output,
        }
    }
}

struct Regressor<T: Feature, S> {
    ensemble: Ensemble<T, S>,
    finish: Regression<S>,
    targets: usize,
    output: DType,
}

impl<T: Feature + FromTensor, S: Scratched> Kernel for Regressor<T, S> {
    fn run(
        &self,
        inputs: &[&Tensor],
        ctx: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, width) = rows_columns(inputs[0])?;
        let x = T::from_tensor(inputs[0])?;
        let mut answers = vec![0.0; rows * self.targets];
        self.ensemble.evaluate(&x, width, ctx, |row, scores, seen| {
            self.finish.finish(scores, seen, &mut answers[row * self.targets..][..self.targets]);
        })?;
        let shape = [rows, self.targets];
        outputs.push(match self.output {
            DType::F64 => Tensor::new(&shape, answers)?,
            _ => Tensor::new(&shape, answers.into_iter().map(|x| x as f32).collect::<Vec<_>>())?,
        });
        Ok(())
    }
}

/// Checks that the input is rows of as many columns as the trees ask about.
fn check_width(input: &Type, forest: &Forest) -> Result<(), String> {
    match input.dtype {
        DType::F32 | DType::F64 | DType::I64 | DType::I32 => {}
        other => return Err(format!("takes {other}, which trees do not compare")),
    }
    match input.columns()? {
        Some(columns) if columns < forest.features => {
            Err(format!("asks about feature {} of {columns}", forest.features - 1))
        }
        Some(_) | None => Ok(()),
    }
}

/// An element type that trees compare.
trait FromTensor: Copy {
    /// The elements, lent where they are of this type.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if they are of a type that is not compared.
    fn from_tensor(tensor: &Tensor) -> Result<Cow<'_, [Self]>, ModelError>
    where
        [Self]: ToOwned<Owned = Vec<Self>>;
}

impl FromTensor for f32 {
    fn from_tensor(tensor: &Tensor) -> Result<Cow<'_, [f32]>, ModelError> {
        match tensor.data() {
            // Whole numbers are compared as floats.
            Data::I64(x) => Ok(x.iter().map(|&x| x as f32).collect()),
            Data::I32(x) => Ok(x.iter().map(|&x| x as f32).collect()),
            _ => lent(tensor),
        }
    }
}

impl FromTensor for f64 {
    fn from_tensor(tensor: &Tensor) -> Result<Cow<'_, [f64]>, ModelError> {
        lent(tensor)
    }
}

fn lent<T: Element + Copy>(tensor: &Tensor) -> Result<Cow<'_, [T]>, ModelError> {
    tensor.elements::<T>().map(Cow::Borrowed)
}
