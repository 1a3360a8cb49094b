//! Forests as `TreeEnsembleClassifier` and `TreeEnsembleRegressor` describe them: lists of nodes with ids, and lists of
//! weights that name a tree and a node.

use std::collections::HashMap;

use unruffled_model::{Bytes, DType, Tensor};

use super::forest::{Branch, Forest, Mode, Node, Weight};
use crate::trees::settings::Settings;

/// The names of the attributes that hold the weights.
pub(super) struct WeightNames {
    pub(super) ids: &'static str,
    pub(super) nodes: &'static str,
    pub(super) trees: &'static str,
    pub(super) weights: &'static str,
    pub(super) weights_tensor: &'static str,
}

pub(super) const CLASS: WeightNames = WeightNames {
    ids: "class_ids",
    nodes: "class_nodeids",
    trees: "class_treeids",
    weights: "class_weights",
    weights_tensor: "class_weights_as_tensor",
};

pub(super) const TARGET: WeightNames = WeightNames {
    ids: "target_ids",
    nodes: "target_nodeids",
    trees: "target_treeids",
    weights: "target_weights",
    weights_tensor: "target_weights_as_tensor",
};

/// Reads the forest of a node.
///
/// # Errors
///
/// A reason, if lists are of different lengths, ids lead nowhere, or trees are none.
pub(super) fn read(
    settings: &Settings<'_>,
    names: &WeightNames,
    targets: usize,
    dtype: DType,
) -> Result<Forest, String> {
    // How often a node was visited in training.
    settings.ignore(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
    let trees = settings.integers("nodes_treeids");
    let ids = settings.integers("nodes_nodeids");
    let modes = settings.strings("nodes_modes");
    let features = settings.integers("nodes_featureids");
    let yes = settings.integers("nodes_truenodeids");
    let no = settings.integers("nodes_falsenodeids");
    let missing = settings.integers("nodes_missing_value_tracks_true");
    let thresholds = numbers(settings, "nodes_values", "nodes_values_as_tensor", dtype)?;
    let count = trees.len();
    let lengths = [ids.len(), modes.len(), features.len(), yes.len(), no.len(), thresholds.len()];
    if lengths != [count; 6] || !(missing.is_empty() || missing.len() == count) {
        return Err(format!("has lists of different lengths for its {count} nodes"));
    }
    let mut places = HashMap::with_capacity(count);
    for (i, key) in trees.iter().zip(ids).enumerate() {
        if places.insert(key, i as u32).is_some() {
            return Err(format!("has two nodes {} in tree {}", key.1, key.0));
        }
    }
    let place = |tree: &i64, id: &i64| {
        let place = places.get(&(tree, id)).copied();
        place.ok_or_else(|| format!("has no node {id} in tree {tree}, which it refers to"))
    };
    let mut nodes = Vec::with_capacity(count);
    for i in 0..count {
        nodes.push(match mode(&modes[i])? {
            None => Node::Leaf(0, 0),
            Some(mode) => Node::Branch(Branch {
                feature: feature(features[i])?,
                mode,
                threshold: thresholds[i],
                missing_is_yes: missing.get(i).is_some_and(|&missing| missing == 1),
                yes: place(&trees[i], &yes[i])?,
                no: place(&trees[i], &no[i])?,
            }),
        });
    }
    let weights = weights(settings, names, dtype, &mut nodes, place)?;
    let is_root = |i: &usize| i.checked_sub(1).is_none_or(|before| trees[*i] != trees[before]);
    let roots = (0..count).filter(is_root).map(|i| i as u32).collect();
    Forest::new(nodes, roots, weights, Vec::new(), targets)
}

/// Reads the weights, each leaf's side by side in their order, and tells the leaves where theirs are.
fn weights(
    settings: &Settings<'_>,
    names: &WeightNames,
    dtype: DType,
    nodes: &mut [Node],
    place: impl Fn(&i64, &i64) -> Result<u32, String>,
) -> Result<Vec<Weight>, String> {
    let targets = settings.integers(names.ids);
    let (trees, ids) = (settings.integers(names.trees), settings.integers(names.nodes));
    let values = numbers(settings, names.weights, names.weights_tensor, dtype)?;
    if [trees.len(), ids.len(), values.len()] != [targets.len(); 3] {
        return Err(format!("has lists of different lengths for its {} weights", targets.len()));
    }
    let mut placed = Vec::with_capacity(targets.len());
    for (i, &target) in targets.iter().enumerate() {
        let target = u32::try_from(target).map_err(|_| format!("has a weight for target {target}"))?;
        placed.push((place(&trees[i], &ids[i])?, Weight { target, value: values[i] }));
    }
    // Stable: the weights of a leaf are added up in the order of the file.
    placed.sort_by_key(|(node, _)| *node);
    let mut start = 0;
    for of_node in placed.chunk_by(|(a, _), (b, _)| a == b) {
        let end = start + of_node.len();
        // What hangs on a branch is never reached.
        if let Node::Leaf(from, to) = &mut nodes[of_node[0].0 as usize] {
            (*from, *to) = (start as u32, end as u32);
        }
        start = end;
    }
    Ok(placed.into_iter().map(|(_, weight)| weight).collect())
}

fn mode(name: &Bytes) -> Result<Option<Mode>, String> {
    Ok(Some(match &name[..] {
        b"LEAF" => return Ok(None),
        b"BRANCH_LEQ" => Mode::AtMost,
        b"BRANCH_LT" => Mode::Below,
        b"BRANCH_GTE" => Mode::AtLeast,
        b"BRANCH_GT" => Mode::Above,
        b"BRANCH_EQ" => Mode::Equal,
        b"BRANCH_NEQ" => Mode::Unequal,
        other => {
            let name = String::from_utf8_lossy(other);
            return Err(format!("has a node of mode `{name}`, which is not known"));
        }
    }))
}

/// A feature's number.
///
/// # Errors
///
/// A reason, if it is none.
pub(super) fn feature(feature: i64) -> Result<u32, String> {
    /// Keys are made for every feature up to the highest.
    const FEATURE_MAX: u32 = 1 << 20;
    u32::try_from(feature)
        .ok()
        .filter(|&feature| feature <= FEATURE_MAX)
        .ok_or_else(|| format!("asks about feature {feature}"))
}

/// Numbers that are 32-bit floats in one attribute or, for models of 64-bit floats, a tensor in another.
///
/// # Errors
///
/// A reason, if the tensor is there and is not of the model's type.
pub(super) fn numbers(
    settings: &Settings<'_>,
    floats: &'static str,
    tensor: &'static str,
    dtype: DType,
) -> Result<Vec<f64>, String> {
    let short = settings.floats(floats);
    match settings.tensor(tensor)? {
        None => Ok(short.iter().map(|&x| x.into()).collect()),
        Some(_) if dtype != DType::F64 => Err(format!("has `{tensor}`, but takes {dtype}")),
        Some(_) if !short.is_empty() => Err(format!("has both `{floats}` and `{tensor}`")),
        Some(tensor) => doubles(&tensor),
    }
}

fn doubles(tensor: &Tensor) -> Result<Vec<f64>, String> {
    let elements = tensor.elements::<f64>();
    elements.map(<[f64]>::to_vec).map_err(|_| format!("has a tensor of {}, not f64", tensor.dtype()))
}
