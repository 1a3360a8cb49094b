//! [`Leaves`]: what leaves hold, and how it adds up to the scores of a row.
//!
//! Floats are added tree by tree, each target for itself: the order in which ONNX Runtime adds on one thread, so that a tie
//! is a tie here too.

use super::forest::{Forest, Node, Weight};

/// A type that scores are added up in.
pub(super) trait Score: Copy + PartialOrd + Send + Sync + 'static {
    const ZERO: Self;

    fn from_f64(x: f64) -> Self;

    fn to_f32(self) -> f32;

    fn to_f64(self) -> f64;

    fn plus(self, other: Self) -> Self;

    /// Divided by a number of trees.
    fn over(self, trees: usize) -> Self;
}

macro_rules! score {
    ($type:ty) => {
        impl Score for $type {
            const ZERO: Self = 0.0;

            fn from_f64(x: f64) -> Self {
                x as $type
            }

            fn to_f32(self) -> f32 {
                self as f32
            }

            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            fn over(self, trees: usize) -> Self {
                self / trees as $type
            }
        }
    };
}

score!(f32);
score!(f64);

/// How the leaves of all trees become one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// What the leaves hold. The payload of a leaf is its number in here.
pub(super) enum Leaves<S> {
    /// One value each, for the target of its tree.
    Single { targets: Vec<u32>, values: Vec<S> },
    /// A value for every target, filled up to `lanes` of them.
    Dense { lanes: usize, values: Vec<S> },
    /// Any number of values, for which targets is said beside them.
    Sparse { ends: Vec<u32>, weights: Vec<(u32, S)>, aggregate: Aggregate },
}

/// Which targets get scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Whatever the row.
    Always,
    Never,
    /// It depends on the row.
    Sometimes,
}

/// Whether each target gets a score.
pub(super) fn reach(forest: &Forest) -> Vec<Reach> {
    let mut reach = vec![Reach::Never; forest.targets];
    let mut leaves_of = vec![0_usize; forest.targets];
    for &root in &forest.roots {
        let mut leaves = 0;
        leaves_of.fill(0);
        for weights in forest.leaves(root) {
            leaves += 1;
            for (i, weight) in weights.iter().enumerate() {
                let repeated = weights[..i].iter().any(|earlier| earlier.target == weight.target);
                leaves_of[weight.target as usize] += usize::from(!repeated);
            }
        }
        for (reach, &count) in reach.iter_mut().zip(&leaves_of) {
            match (count, *reach) {
                (0, _) | (_, Reach::Always) => {}
                (count, _) if count == leaves => *reach = Reach::Always,
                _ => *reach = Reach::Sometimes,
            }
        }
    }
    reach
}

impl<S: Score> Leaves<S> {
    /// Collects the leaves of a forest; also says by leaf of the forest which payload it has.
    pub(super) fn new(forest: &Forest, aggregate: Aggregate, reach: &[Reach]) -> (Self, Vec<u32>) {
        let mut payloads = vec![0; forest.nodes.len()];
        let mut leaves: Vec<&[Weight]> = Vec::new();
        for (node, payload) in forest.nodes.iter().zip(&mut payloads) {
            if let Node::Leaf(start, end) = node {
                *payload = leaves.len() as u32;
                leaves.push(&forest.weights[*start as usize..*end as usize]);
            }
        }
        let adds = matches!(aggregate, Aggregate::Sum | Aggregate::Average);
        let settled = adds && !reach.contains(&Reach::Sometimes);
        let made = match single_targets(forest).filter(|_| settled) {
            Some(targets) => {
                let value = |weights: &&[Weight]| weights.first().map_or(S::ZERO, |w| S::from_f64(w.value));
                Leaves::Single { targets, values: leaves.iter().map(value).collect() }
            }
            None if settled && is_dense(forest, &leaves) => dense(forest.targets, &leaves),
            None => {
                let weights = leaves.iter().flat_map(|weights| *weights);
                let ends = leaves.iter().scan(0, |end, weights| {
                    *end += weights.len() as u32;
                    Some(*end)
                });
                Leaves::Sparse {
                    ends: ends.collect(),
                    weights: weights.map(|weight| (weight.target, S::from_f64(weight.value))).collect(),
                    aggregate,
                }
            }
        };
        (made, payloads)
    }

    /// How many scores a row takes up.
    pub(super) fn lanes(&self, targets: usize) -> usize {
        match self {
            Leaves::Dense { lanes, .. } => *lanes,
            Leaves::Single { .. } | Leaves::Sparse { .. } => targets,
        }
    }

    /// Adds what a leaf holds to the scores of a row. `seen` is kept only where it depends on the row.
    #[inline(always)]
    pub(super) fn add(&self, tree: usize, payload: u32, scores: &mut [S], seen: &mut [bool]) {
        let payload = payload as usize;
        match self {
            Leaves::Single { targets, values } => {
                let score = &mut scores[targets[tree] as usize];
                *score = score.plus(values[payload]);
            }
            Leaves::Dense { lanes: 4, values } => {
                let (values, _) = values.as_chunks::<4>();
                if let Some(scores) = scores.first_chunk_mut::<4>() {
                    for (score, value) in scores.iter_mut().zip(values[payload]) {
                        *score = score.plus(value);
                    }
                }
            }
            Leaves::Dense { lanes, values } => {
                for (score, value) in scores.iter_mut().zip(&values[payload * lanes..][..*lanes]) {
                    *score = score.plus(*value);
                }
            }
            Leaves::Sparse { ends, weights, aggregate } => {
                let start = payload.checked_sub(1).map_or(0, |before| ends[before]);
                for &(target, value) in &weights[start as usize..ends[payload] as usize] {
                    let (score, seen) = (&mut scores[target as usize], &mut seen[target as usize]);
                    let replaces = match aggregate {
                        Aggregate::Sum | Aggregate::Average => false,
                        Aggregate::Min => !*seen || value < *score,
                        Aggregate::Max => !*seen || value > *score,
                    };
                    if replaces {
                        *score = value;
                    } else if matches!(aggregate, Aggregate::Sum | Aggregate::Average) {
                        *score = score.plus(value);
                    }
                    *seen = true;
                }
            }
        }
    }
}

/// The target of each tree, if every leaf has at most one weight and those of a tree are for one target.
fn single_targets(forest: &Forest) -> Option<Vec<u32>> {
    let target = |&root: &u32| {
        let mut target = None;
        for weights in forest.leaves(root) {
            match weights {
                [] => {}
                [weight] if *target.get_or_insert(weight.target) == weight.target => {}
                _ => return None,
            }
        }
        // A tree without weights adds nothing to whatever target.
        Some(target.unwrap_or(0))
    };
    forest.roots.iter().map(target).collect()
}

/// Whether a table is worth its place: at least a quarter full, and no leaf names a target twice.
fn is_dense(forest: &Forest, leaves: &[&[Weight]]) -> bool {
    let repeats = |weights: &[Weight]| {
        let (mut targets, count): (Vec<_>, _) =
            (weights.iter().map(|weight| weight.target).collect(), weights.len());
        targets.sort_unstable();
        targets.dedup();
        targets.len() < count
    };
    let filled: usize = leaves.iter().map(|weights| weights.len()).sum();
    filled.saturating_mul(4) >= leaves.len().saturating_mul(forest.targets)
        && !leaves.iter().any(|weights| repeats(weights))
}

fn dense<S: Score>(targets: usize, leaves: &[&[Weight]]) -> Leaves<S> {
    let lanes = targets.next_multiple_of(4);
    let mut values = vec![S::ZERO; lanes * leaves.len()];
    for (row, weights) in values.chunks_exact_mut(lanes).zip(leaves) {
        for weight in *weights {
            row[weight.target as usize] = S::from_f64(weight.value);
        }
    }
    Leaves::Dense { lanes, values }
}
