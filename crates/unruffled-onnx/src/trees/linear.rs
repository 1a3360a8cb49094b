//! `LinearClassifier` and `LinearRegressor`.

use unruffled_model::{DType, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Site, check_columns, rows_columns};
use super::labels::Labels;
use super::matrix::{Matrix, as_floats, numeric_columns};
use super::settings::Settings;
use super::shape::{Dim, Type};
use super::transform::{PostTransform, Second};

/// Coefficients, and what is added to their products.
struct Linear {
    matrix: Matrix<f32>,
    intercepts: Vec<f32>,
}

impl Linear {
    fn read(settings: &Settings<'_>, outputs: usize, columns: Option<usize>) -> Result<Self, String> {
        let (coefficients, intercepts) = (settings.floats("coefficients"), settings.floats("intercepts"));
        let width = coefficients.len().checked_div(outputs).unwrap_or(0);
        if width == 0 || width * outputs != coefficients.len() || ![0, outputs].contains(&intercepts.len()) {
            let (given, added) = (coefficients.len(), intercepts.len());
            return Err(format!("has {given} coefficients and {added} intercepts for {outputs} scores"));
        }
        if columns.is_some_and(|columns| columns != width) {
            return Err(format!("has {width} coefficients a score for another number of columns"));
        }
        let mut intercepts = intercepts.to_vec();
        intercepts.resize(outputs, 0.0);
        Ok(Self { matrix: Matrix { coefficients: coefficients.to_vec(), width, outputs }, intercepts })
    }

    fn scores(&self, row: &[f32], scores: &mut [f32]) {
        self.matrix.multiply(row, |i, product| scores[i] = (product + f64::from(self.intercepts[i])) as f32);
    }
}

/// Builds a `LinearRegressor`.
pub(super) fn regressor(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    let columns = numeric_columns(&input.r#type)?;
    let targets = settings.integer("targets").unwrap_or(1);
    let targets = usize::try_from(targets).map_err(|_| format!("has {targets} targets"))?;
    let transform = PostTransform::named(settings.string("post_transform"))?;
    if transform != PostTransform::None && targets < 2 {
        return Err("transforms a single score".into());
    }
    let linear = Linear::read(settings, targets, columns)?;
    let r#type = Type::new(DType::F32, [Dim::Rows, Dim::Size(targets)]);
    Ok(Built::new(Regressor { linear, transform }, [r#type]))
}

struct Regressor {
    linear: Linear,
    transform: PostTransform,
}

impl Kernel for Regressor {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, width) = rows_columns(inputs[0])?;
        check_columns(width, self.linear.matrix.width)?;
        let x = as_floats(inputs[0])?;
        let targets = self.linear.matrix.outputs;
        let mut answers = vec![0.0; rows * targets];
        for (row, answers) in x.chunks_exact(width).zip(answers.chunks_exact_mut(targets)) {
            self.linear.scores(row, answers);
            self.transform.apply(answers);
        }
        outputs.push(Tensor::new(&[rows, targets], answers)?);
        Ok(())
    }
}

/// Builds a `LinearClassifier`.
pub(super) fn classifier(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    // Says how the coefficients were found, and changes nothing.
    settings.ignore(&["multi_class"]);
    let columns = numeric_columns(&input.r#type)?;
    let labels = Labels::read(settings, "classlabels_ints", "classlabels_strings")?;
    let transform = PostTransform::named(settings.string("post_transform"))?;
    let scores = settings.floats("intercepts").len();
    if !(scores == labels.len() || scores == 1 && labels.len() == 2) {
        return Err(format!("has {scores} scores for {} classes", labels.len()));
    }
    if labels.len() < 2 {
        return Err("has a single class".into());
    }
    let linear = Linear::read(settings, scores, columns)?;
    let outputs =
        [Type::new(labels.dtype(), [Dim::Rows]), Type::new(DType::F32, [Dim::Rows, Dim::Size(labels.len())])];
    if scores == 1 && transform == PostTransform::Probit {
        return Err("has two classes, one score and the transform `PROBIT`".into());
    }
    Ok(Built::new(Classifier { linear, transform, labels }, outputs))
}

struct Classifier {
    linear: Linear,
    transform: PostTransform,
    labels: Labels,
}

impl Classifier {
    /// Turns raw scores into those that are answered, and gives the class.
    fn finish(&self, scores: &mut [f32]) -> usize {
        if let ([first, second], 1) = (&mut *scores, self.linear.matrix.outputs) {
            let score = *first;
            [*first, *second] = self.transform.pair(score, Second::Complement);
            return usize::from(score > 0.0);
        }
        let mut best = 0;
        for i in 1..scores.len() {
            if scores[i] > scores[best] {
                best = i;
            }
        }
        self.transform.apply(scores);
        best
    }
}

impl Kernel for Classifier {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, width) = rows_columns(inputs[0])?;
        check_columns(width, self.linear.matrix.width)?;
        let x = as_floats(inputs[0])?;
        let classes = self.labels.len();
        let (mut scores, mut chosen) = (vec![0.0; rows * classes], Vec::with_capacity(rows));
        for (row, scores) in x.chunks_exact(width).zip(scores.chunks_exact_mut(classes)) {
            self.linear.scores(row, scores);
            chosen.push(self.finish(scores));
        }
        outputs.push(self.labels.tensor(&chosen)?);
        outputs.push(Tensor::new(&[rows, classes], scores)?);
        Ok(())
    }
}
