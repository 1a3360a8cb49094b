//! Forests as the newer `TreeEnsemble` describes them: branches and leaves in lists of their own.

use unruffled_model::{DType, Tensor};

use super::forest::{Branch, Forest, Mode, Node, Weight};
use super::listed::feature;
use crate::trees::settings::Settings;

/// Reads the forest of a node whose numbers are of type `dtype`.
///
/// # Errors
///
/// A reason, if lists are of different lengths, places lead nowhere, or trees are none.
pub(super) fn read(settings: &Settings<'_>, targets: usize, dtype: DType) -> Result<Forest, String> {
    settings.ignore(&["nodes_hitrates"]);
    let features = settings.integers("nodes_featureids");
    let yes = settings.integers("nodes_truenodeids");
    let no = settings.integers("nodes_falsenodeids");
    let yes_leaves = settings.integers("nodes_trueleafs");
    let no_leaves = settings.integers("nodes_falseleafs");
    let missing = settings.integers("nodes_missing_value_tracks_true");
    let leaf_targets = settings.integers("leaf_targetids");
    let splits = numbers(settings, "nodes_splits", dtype)?.ok_or("has no `nodes_splits`")?;
    let leaf_weights = numbers(settings, "leaf_weights", dtype)?.ok_or("has no `leaf_weights`")?;
    let members = numbers(settings, "membership_values", dtype)?.unwrap_or_default();
    let modes = settings.tensor("nodes_modes")?.ok_or("has no `nodes_modes`")?;
    let modes = modes.elements::<u8>().map_err(|_| "has `nodes_modes` that are not u8")?;
    let count = modes.len();
    let lengths = [features, yes, no, yes_leaves, no_leaves].map(<[i64]>::len);
    let missing_fits = missing.is_empty() || missing.len() == count;
    if lengths != [count; 5] || splits.len() != count || !missing_fits {
        return Err(format!("has lists of different lengths for its {count} nodes"));
    }
    if leaf_targets.len() != leaf_weights.len() {
        return Err(format!("has lists of different lengths for its {} leaves", leaf_targets.len()));
    }
    let weights = leaf_targets.iter().zip(leaf_weights).map(|(&target, value)| {
        let target = u32::try_from(target).map_err(|_| format!("has a leaf for target {target}"))?;
        Ok(Weight { target, value })
    });
    let weights: Vec<Weight> = weights.collect::<Result<_, String>>()?;
    let mut sets = Sets::new(&members);
    let mut nodes = Vec::with_capacity(2 * count + 1);
    for i in 0..count {
        nodes.push(Node::Branch(Branch {
            feature: feature(features[i])?,
            mode: match modes[i] {
                0 => Mode::AtMost,
                1 => Mode::Below,
                2 => Mode::AtLeast,
                3 => Mode::Above,
                4 => Mode::Equal,
                5 => Mode::Unequal,
                6 => sets.next()?,
                other => return Err(format!("has a node of mode {other}, which is not known")),
            },
            threshold: splits[i],
            missing_is_yes: missing.get(i).is_some_and(|&missing| missing == 1),
            yes: 0,
            no: 0,
        }));
    }
    for i in 0..count {
        let (yes_at, no_at) = (
            child(&mut nodes, yes[i], yes_leaves[i], count, weights.len())?,
            child(&mut nodes, no[i], no_leaves[i], count, weights.len())?,
        );
        if let Node::Branch(branch) = &mut nodes[i] {
            (branch.yes, branch.no) = (yes_at, no_at);
        }
    }
    let roots = settings.integers("tree_roots").iter().map(|&root| {
        let root = usize::try_from(root).ok().filter(|&root| root < count);
        root.map(|root| root as u32).ok_or_else(|| "has a root that is no node".to_owned())
    });
    let roots = roots.collect::<Result<_, _>>()?;
    Forest::new(nodes, roots, weights, members, targets)
}

/// The place of a child: a branch, or a leaf that is added for it.
fn child(
    nodes: &mut Vec<Node>,
    at: i64,
    is_leaf: i64,
    branches: usize,
    leaves: usize,
) -> Result<u32, String> {
    let most = if is_leaf == 0 { branches } else { leaves };
    let place = u32::try_from(at).ok().filter(|&place| (place as usize) < most);
    let place = place.ok_or_else(|| format!("has an edge to {at} among {most}"))?;
    if is_leaf == 0 {
        return Ok(place);
    }
    nodes.push(Node::Leaf(place, place + 1));
    u32::try_from(nodes.len() - 1).map_err(|_| "has too many nodes".into())
}

/// The sets of members, one for each node that asks for one: each ends where something is no number.
struct Sets<'a> {
    members: &'a [f64],
    start: usize,
}

impl<'a> Sets<'a> {
    fn new(members: &'a [f64]) -> Self {
        Self { members, start: 0 }
    }

    fn next(&mut self) -> Result<Mode, String> {
        let rest = self.members.get(self.start..).unwrap_or_default();
        if rest.is_empty() {
            return Err("has fewer sets of members than nodes that ask for one".into());
        }
        let length = rest.iter().position(|member| member.is_nan()).unwrap_or(rest.len());
        let (start, end) = (self.start, self.start + length);
        self.start = end + 1;
        Ok(Mode::Member(start as u32, end as u32))
    }
}

fn numbers(settings: &Settings<'_>, name: &'static str, dtype: DType) -> Result<Option<Vec<f64>>, String> {
    let Some(tensor) = settings.tensor(name)? else { return Ok(None) };
    fn all<T: unruffled_model::Element + Into<f64>>(tensor: &Tensor) -> Option<Vec<f64>> {
        Some(tensor.elements::<T>().ok()?.iter().map(|x| x.clone().into()).collect())
    }
    let numbers = if dtype == DType::F64 { all::<f64>(&tensor) } else { all::<f32>(&tensor) };
    numbers.map(Some).ok_or_else(|| format!("takes {dtype}, but its `{name}` is {}", tensor.dtype()))
}
