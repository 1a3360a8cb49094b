//! Random trees against a walker that goes from node to node.

use fastrand::Rng;
use rten_onnx::onnx::DataType;
use unruffled_model::{CancelToken, ModelErrorKind, Tensor};

use super::{load, rows_of, run_under};
use crate::sample::{Sample, fixed, floats, ints, strings, symbol};

const INEQUALITIES: [&str; 4] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"];
const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];

#[derive(Clone, Copy)]
struct Node {
    mode: &'static str,
    feature: usize,
    threshold: f32,
    missing: bool,
    yes: usize,
    no: usize,
}

/// Trees, each with its nodes, the first of which is the root.
struct Forest {
    trees: Vec<Vec<Node>>,
    columns: usize,
}

impl Forest {
    fn random(
        random: &mut Rng,
        modes: &[&'static str],
        columns: usize,
        trees: usize,
        branches: usize,
    ) -> Self {
        let tree = |random: &mut Rng| {
            let leaf = Node { mode: "LEAF", feature: 0, threshold: 0.0, missing: false, yes: 0, no: 0 };
            let mut nodes = vec![leaf];
            let mut leaves = vec![0];
            for _ in 0..random.usize(..=branches) {
                // Often the newest leaf, so that some trees are deep.
                let at = if random.bool() { leaves.len() - 1 } else { random.usize(..leaves.len()) };
                let at = leaves.swap_remove(at);
                nodes[at] = Node {
                    mode: modes[random.usize(..modes.len())],
                    feature: random.usize(..columns),
                    threshold: random.i8(-4..=4).into(),
                    missing: random.bool(),
                    yes: nodes.len(),
                    no: nodes.len() + 1,
                };
                leaves.extend([nodes.len(), nodes.len() + 1]);
                nodes.extend([leaf; 2]);
            }
            // What a leaf adds is its threshold, which files leave unused.
            for node in nodes.iter_mut().filter(|node| node.mode == "LEAF") {
                node.threshold = random.f32() - 0.5;
            }
            nodes
        };
        Self { trees: (0..trees).map(|_| tree(random)).collect(), columns }
    }

    /// The sum over all trees, found node by node.
    fn walk(&self, x: &[f32]) -> f32 {
        let leaf = |nodes: &Vec<Node>| {
            let mut node = nodes[0];
            while node.mode != "LEAF" {
                let (x, t) = (x[node.feature], node.threshold);
                let yes = match node.mode {
                    "BRANCH_LEQ" => x <= t,
                    "BRANCH_LT" => x < t,
                    "BRANCH_GTE" => x >= t,
                    "BRANCH_GT" => x > t,
                    "BRANCH_EQ" => x == t,
                    _ => x != t,
                };
                node = nodes[if yes || (node.missing && x.is_nan()) { node.yes } else { node.no }];
            }
            node.threshold
        };
        self.trees.iter().map(leaf).fold(0.0, |sum, leaf| sum + leaf)
    }

    fn sample(&self) -> Sample {
        let each = |of: &dyn Fn(usize, usize, &Node) -> i64| -> Vec<i64> {
            let trees = self.trees.iter().enumerate();
            trees
                .flat_map(|(tree, nodes)| nodes.iter().enumerate().map(move |(i, node)| of(tree, i, node)))
                .collect()
        };
        let nodes = || self.trees.iter().flatten();
        let modes: Vec<&str> = nodes().map(|node| node.mode).collect();
        let values: Vec<f32> = nodes().map(|node| node.threshold).collect();
        let leaves: Vec<(usize, usize, f32)> = (self.trees.iter().enumerate())
            .flat_map(|(tree, nodes)| nodes.iter().enumerate().map(move |(i, node)| (tree, i, node)))
            .filter(|(.., node)| node.mode == "LEAF")
            .map(|(tree, i, node)| (tree, i, node.threshold))
            .collect();
        rows_of(DataType::FLOAT, self.columns as i64)
            .node("ai.onnx.ml/TreeEnsembleRegressor", ["x"], "y")
            .with(ints("nodes_treeids", &each(&|tree, _, _| tree as i64)))
            .with(ints("nodes_nodeids", &each(&|_, i, _| i as i64)))
            .with(ints("nodes_featureids", &each(&|_, _, node| node.feature as i64)))
            .with(ints("nodes_truenodeids", &each(&|_, _, node| node.yes as i64)))
            .with(ints("nodes_falsenodeids", &each(&|_, _, node| node.no as i64)))
            .with(ints("nodes_missing_value_tracks_true", &each(&|_, _, node| node.missing.into())))
            .with(strings("nodes_modes", &modes))
            .with(floats("nodes_values", &values))
            .with(ints("target_treeids", &leaves.iter().map(|leaf| leaf.0 as i64).collect::<Vec<_>>()))
            .with(ints("target_nodeids", &leaves.iter().map(|leaf| leaf.1 as i64).collect::<Vec<_>>()))
            .with(ints("target_ids", &vec![0; leaves.len()]))
            .with(floats("target_weights", &leaves.iter().map(|leaf| leaf.2).collect::<Vec<_>>()))
            .output("y", DataType::FLOAT, [symbol("batch"), fixed(1)])
    }

    /// Runs random rows, and compares every answer to the last bit.
    #[track_caller]
    fn check(&self, random: &mut Rng, rows: usize) {
        let model = load(&self.sample().source()).unwrap();
        let value = |random: &mut Rng| match random.u8(..20) {
            0 | 1 => f32::NAN,
            2 => f32::INFINITY,
            3 => f32::NEG_INFINITY,
            4 => -0.0,
            5 => f32::from(random.i8(-4..=4)).next_up(),
            6 => f32::from(random.i8(-4..=4)).next_down(),
            _ => random.i8(-5..=5).into(),
        };
        let x: Vec<f32> = (0..rows * self.columns).map(|_| value(random)).collect();
        let expected: Vec<f32> = x.chunks(self.columns).map(|row| self.walk(row)).collect();
        let input = Tensor::new(&[rows, self.columns], x).unwrap();
        let answer = run_under(&model, input, &CancelToken::new()).unwrap();
        assert_eq!(answer.get("y").unwrap().elements::<f32>().unwrap(), expected);
    }
}

#[test]
fn trees_are_walked_as_they_are_written() {
    for seed in 0..80 {
        let mut random = Rng::with_seed(seed);
        let modes = if seed % 4 == 0 { &MODES[..] } else { &INEQUALITIES[..] };
        let (columns, trees) = (random.usize(1..12), random.usize(1..30));
        let forest = Forest::random(&mut random, modes, columns, trees, 40);
        for rows in [1, 7, 8, random.usize(9..60), 300] {
            forest.check(&mut random, rows);
        }
    }
}

#[test]
fn large_trees_and_many_columns_are_walked_too() {
    let mut random = Rng::with_seed(1);
    let larger_than_a_window = Forest::random(&mut random, &INEQUALITIES, 5, 1, 0);
    let mut nodes = larger_than_a_window.trees[0].clone();
    nodes.clear();
    // A full tree of 2^17 - 1 nodes.
    for i in 0..(1 << 17) - 1_usize {
        let is_leaf = 2 * i + 2 >= (1 << 17) - 1;
        nodes.push(Node {
            mode: if is_leaf { "LEAF" } else { INEQUALITIES[random.usize(..4)] },
            feature: random.usize(..5),
            threshold: random.i8(-4..=4).into(),
            missing: random.bool(),
            yes: if is_leaf { 0 } else { 2 * i + 1 },
            no: if is_leaf { 0 } else { 2 * i + 2 },
        });
    }
    Forest { trees: vec![nodes; 2], columns: 5 }.check(&mut random, 20);
    Forest::random(&mut random, &INEQUALITIES, 9_000, 300, 60).check(&mut random, 20);
    // Several windows.
    Forest::random(&mut random, &INEQUALITIES, 10, 40, 20_000).check(&mut random, 20);
}

#[test]
fn a_cancelled_run_stops() {
    let forest = Forest::random(&mut Rng::with_seed(1), &INEQUALITIES, 3, 5, 10);
    let model = load(&forest.sample().source()).unwrap();
    let cancel = CancelToken::new();
    cancel.cancel();
    let error = run_under(&model, Tensor::filled(&[9, 3], 1.0_f32).unwrap(), &cancel).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Cancelled);
}
