//! `SVMClassifier` and `SVMRegressor`: support vectors.

use unruffled_model::{DType, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel as Operator, Site, check_columns, rows_columns};
use super::labels::Labels;
use super::matrix::{Matrix, as_floats, dot, numeric_columns};
use super::settings::Settings;
use super::shape::{Dim, Type};
use super::transform::{PostTransform, Second, logistic};

/// How alike two vectors are.
#[derive(Clone, Copy, Debug)]
enum Likeness {
    Linear,
    Poly { gamma: f64, coef0: f64, degree: f64 },
    Rbf { gamma: f64 },
    Sigmoid { gamma: f64, coef0: f64 },
}

impl Likeness {
    fn read(settings: &Settings<'_>) -> Result<Self, String> {
        let kernel = settings.string("kernel_type").unwrap_or("LINEAR");
        let [gamma, coef0, degree] = match settings.floats("kernel_params") {
            [] => [0.0; 3],
            &[gamma, coef0, degree] => [gamma, coef0, degree].map(f64::from),
            params => return Err(format!("has {} kernel parameters, not three", params.len())),
        };
        Ok(match kernel {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, coef0, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, coef0 },
            other => return Err(format!("has the kernel `{other}`, which is not known")),
        })
    }

    fn of(self, a: &[f32], b: &[f32]) -> f64 {
        match self {
            Self::Linear => dot(a, b),
            Self::Poly { gamma, coef0, degree } => (gamma * dot(a, b) + coef0).powf(degree),
            Self::Rbf { gamma } => {
                let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
                (-gamma * squares.sum::<f64>()).exp()
            }
            Self::Sigmoid { gamma, coef0 } => (gamma * dot(a, b) + coef0).tanh(),
        }
    }
}

/// Builds an `SVMRegressor`.
pub(super) fn regressor(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    let columns = numeric_columns(&input.r#type)?;
    let likeness = Likeness::read(settings)?;
    let transform = PostTransform::named(settings.string("post_transform"))?;
    let is_one_class = settings.integer("one_class").unwrap_or(0) != 0;
    let coefficients = settings.floats("coefficients").to_vec();
    let vectors = settings.floats("support_vectors").to_vec();
    let count = settings.integer("n_supports").unwrap_or(0);
    let &[rho, ..] = settings.floats("rho") else { return Err("has no `rho`".into()) };
    let count = usize::try_from(count).map_err(|_| format!("has {count} support vectors"))?;
    let width = vectors.len().checked_div(count).unwrap_or(0);
    if width == 0 || width * count != vectors.len() || coefficients.len() != count {
        return Err(format!("has {} numbers for {count} support vectors", vectors.len()));
    }
    if columns.is_some_and(|columns| columns != width) || transform != PostTransform::None {
        return Err(format!("has support vectors of {width} numbers, or a transform"));
    }
    let vectors = Matrix { coefficients: vectors, width, outputs: count };
    let regressor = Regressor { likeness, vectors, coefficients, rho: rho.into(), is_one_class };
    Ok(Built::new(regressor, [Type::new(DType::F32, [Dim::Rows, Dim::Size(1)])]))
}

struct Regressor {
    likeness: Likeness,
    vectors: Matrix<f32>,
    coefficients: Vec<f32>,
    rho: f64,
    is_one_class: bool,
}

impl Operator for Regressor {
    fn run(
        &self,
        inputs: &[&Tensor],
        ctx: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, width) = rows_columns(inputs[0])?;
        check_columns(width, self.vectors.width)?;
        let x = as_floats(inputs[0])?;
        let mut answers = Vec::with_capacity(rows);
        for row in x.chunks_exact(width) {
            if ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            let vectors = self.vectors.coefficients.chunks_exact(width).zip(&self.coefficients);
            let terms = vectors.map(|(vector, &weight)| f64::from(weight) * self.likeness.of(row, vector));
            let answer = (terms.sum::<f64>() + self.rho) as f32;
            answers.push(match self.is_one_class {
                true if answer > 0.0 => 1.0,
                true => -1.0,
                false => answer,
            });
        }
        outputs.push(Tensor::new(&[rows, 1], answers)?);
        Ok(())
    }
}

/// Builds an `SVMClassifier` that tells classes apart two by two.
pub(super) fn classifier(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    let columns = numeric_columns(&input.r#type)?;
    let likeness = Likeness::read(settings)?;
    let transform = PostTransform::named(settings.string("post_transform"))?;
    let labels = Labels::read(settings, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    let per_class = settings.integers("vectors_per_class").iter().map(|&count| usize::try_from(count));
    let per_class: Vec<usize> = per_class.collect::<Result<_, _>>().map_err(|_| "has too few vectors")?;
    let count = per_class.iter().copied().fold(0, usize::saturating_add);
    let vectors = settings.floats("support_vectors").to_vec();
    let coefficients = settings.floats("coefficients").to_vec();
    let rho = settings.floats("rho").to_vec();
    let (a, b) = (settings.floats("prob_a").to_vec(), settings.floats("prob_b").to_vec());
    if transform != PostTransform::None || classes < 2 || per_class.len() != classes || count == 0 {
        return Err(format!("is of another kind than pairs of {classes} classes"));
    }
    let pairs = classes * (classes - 1) / 2;
    let width = vectors.len() / count;
    if width == 0
        || width * count != vectors.len()
        || coefficients.len() != count.saturating_mul(classes - 1)
        || rho.len() != pairs
        || a.len() != b.len()
        || ![0, pairs].contains(&a.len())
    {
        return Err(format!("has lists of wrong lengths for {count} vectors and {classes} classes"));
    }
    if columns.is_some_and(|columns| columns != width) {
        return Err(format!("has support vectors of {width} numbers"));
    }
    let scores = match (a.is_empty(), classes) {
        (true, 2) => 2,
        (true, _) => pairs,
        (false, _) => classes,
    };
    let outputs =
        [Type::new(labels.dtype(), [Dim::Rows]), Type::new(DType::F32, [Dim::Rows, Dim::Size(scores)])];
    let all_positive = coefficients.iter().all(|&weight| weight >= 0.0);
    let vectors = Matrix { coefficients: vectors, width, outputs: count };
    let probabilities = a.into_iter().zip(b).collect();
    let pairs = Pairs { per_class, coefficients, rho };
    let classifier = Classifier { likeness, vectors, pairs, probabilities, labels, scores, all_positive };
    Ok(Built::new(classifier, outputs))
}

/// What tells each pair of classes apart.
struct Pairs {
    per_class: Vec<usize>,
    /// For each class but one, a weight for each vector.
    coefficients: Vec<f32>,
    rho: Vec<f32>,
}

impl Pairs {
    /// The margin of each pair, the first class of which is meant by a positive one.
    fn margins(&self, alike: &[f32], mut margin: impl FnMut(usize, usize, f32)) {
        let count = alike.len();
        let starts: Vec<usize> = self
            .per_class
            .iter()
            .scan(0, |start, of_class| Some(std::mem::replace(start, *start + of_class)))
            .collect();
        let part = |line: usize, class: usize| -> f64 {
            let range = starts[class]..starts[class] + self.per_class[class];
            let weights = &self.coefficients[line * count..][range.clone()];
            weights.iter().zip(&alike[range]).map(|(a, b)| f64::from(a * b)).sum()
        };
        let mut rho = self.rho.iter();
        for i in 0..self.per_class.len() {
            for j in i + 1..self.per_class.len() {
                let sum = part(j - 1, i) + part(i, j) + rho.next().map_or(0.0, |&rho| f64::from(rho));
                margin(i, j, sum as f32);
            }
        }
    }
}

struct Classifier {
    likeness: Likeness,
    vectors: Matrix<f32>,
    pairs: Pairs,
    /// The slope and offset of each pair's probability; empty if there are none.
    probabilities: Vec<(f32, f32)>,
    labels: Labels,
    scores: usize,
    all_positive: bool,
}

impl Classifier {
    /// Writes the scores of a row, and gives its class.
    fn classify(&self, alike: &[f32], scores: &mut [f32]) -> usize {
        let classes = self.labels.len();
        let (mut votes, mut margins) = (vec![0_usize; classes], Vec::with_capacity(self.pairs.rho.len()));
        self.pairs.margins(alike, |i, j, margin| {
            votes[if margin > 0.0 { i } else { j }] += 1;
            margins.push(margin);
        });
        // The first of those with the most votes.
        let most = votes.iter().copied().max().unwrap_or(0);
        let class = votes.iter().position(|&votes| votes == most).unwrap_or(0);
        if !self.probabilities.is_empty() {
            let pairs = margins.iter().zip(&self.probabilities);
            let chances = pairs.map(|(margin, (a, b))| 1.0 - logistic(margin * a + b)).collect::<Vec<_>>();
            couple(&chances, scores);
        } else if classes == 2 {
            let pair = PostTransform::None.pair(margins[0], Second::Opposite);
            scores.copy_from_slice(&pair);
            // The margin is for the first class, so that a vote of weights that are all positive is the other way.
            if self.all_positive && margins[0] >= 0.5 {
                return 1;
            }
        } else {
            scores.copy_from_slice(&margins);
        }
        class
    }
}

impl Operator for Classifier {
    fn run(
        &self,
        inputs: &[&Tensor],
        ctx: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, width) = rows_columns(inputs[0])?;
        check_columns(width, self.vectors.width)?;
        let x = as_floats(inputs[0])?;
        let (mut chosen, mut scores) = (Vec::with_capacity(rows), vec![0.0; rows * self.scores]);
        let mut alike = vec![0.0; self.vectors.outputs];
        for (row, scores) in x.chunks_exact(width).zip(scores.chunks_exact_mut(self.scores)) {
            if ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            for (vector, alike) in self.vectors.coefficients.chunks_exact(width).zip(&mut alike) {
                *alike = self.likeness.of(row, vector) as f32;
            }
            chosen.push(self.classify(&alike, scores));
        }
        outputs.push(self.labels.tensor(&chosen)?);
        outputs.push(Tensor::new(&[rows, self.scores], scores)?);
        Ok(())
    }
}

/// Makes the probabilities of classes out of those of pairs, by the iteration of Wu, Lin and Weng (their second way), to the
/// same precision as ONNX Runtime: it ends while answers still change in the third digit.
fn couple(chances: &[f32], classes: &mut [f32]) {
    let count = classes.len();
    let mut r = vec![0.0_f32; count * count];
    let mut pair = 0;
    for i in 0..count {
        for j in i + 1..count {
            let chance = chances[pair].clamp(1e-7, 1.0 - 1e-7);
            (r[i * count + j], r[j * count + i]) = (chance, 1.0 - chance);
            pair += 1;
        }
    }
    let mut q = vec![0.0_f32; count * count];
    for i in 0..count {
        for j in (0..count).filter(|&j| j != i) {
            q[i * count + i] += r[j * count + i] * r[j * count + i];
            q[i * count + j] = -r[j * count + i] * r[i * count + j];
        }
    }
    classes.fill(1.0 / count as f32);
    let mut qp = vec![0.0_f32; count];
    for _ in 0..100 {
        let mut pqp = 0.0;
        for i in 0..count {
            qp[i] = (0..count).map(|j| q[i * count + j] * classes[j]).sum();
            pqp += classes[i] * qp[i];
        }
        let error = qp.iter().map(|x| (x - pqp).abs()).fold(0.0, f32::max);
        if error < 0.005 / count as f32 {
            break;
        }
        for i in 0..count {
            let diagonal = q[i * count + i];
            let step = (pqp - qp[i]) / diagonal;
            classes[i] += step;
            let rest = 1.0 + step;
            pqp = (pqp + step * (step * diagonal + 2.0 * qp[i])) / rest / rest;
            for j in 0..count {
                qp[j] = (qp[j] + step * q[i * count + j]) / rest;
                classes[j] /= rest;
            }
        }
    }
}
