//! [`Layout`]: nodes side by side in memory, for walks without a branch that could be guessed wrongly.
//!
//! The two children of a node are neighbours, so that a step is "the first child, plus one if the key is above". A leaf is
//! a node that asks about the column where every answer is no, and leads to itself: a walk that has arrived may go on.

use std::collections::VecDeque;

use super::forest::{Forest, Node};
use super::keys::{Feature, Keys, Question};

/// How many walks are under way at once, each waiting for memory while the others compute.
pub(super) const LANES: usize = 8;

/// How many nodes, and how many keys of [`LANES`] rows, a packed node can point to.
pub(super) const WINDOW: usize = 1 << 16;

/// Trees whose nodes lie in one window, or all of them.
#[derive(Debug)]
pub(super) struct Group {
    /// Where the window begins.
    pub(super) base: usize,
    /// The number of the first tree.
    pub(super) first: usize,
    pub(super) trees: Vec<Tree>,
}

/// One tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    /// Its first node, counted from the base of its group.
    pub(super) root: u32,
    /// How many steps it takes to the nearest leaf.
    pub(super) shortest: u32,
    /// How many steps it takes to the farthest.
    pub(super) deepest: u32,
}

/// Nodes in memory.
pub(super) enum Nodes {
    /// From the lowest bit: the threshold or what the leaf holds (32 bits), [`LANES`] times the column (16), the first
    /// child counted from the base (16). There is room for a whole window behind the last base.
    Packed(Vec<u64>),
    /// For large trees and many columns.
    Wide(Vec<WideNode>),
}

/// A node of any size.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WideNode {
    /// The threshold, or what the leaf holds.
    pub(super) threshold: u32,
    pub(super) column: u32,
    pub(super) child: u32,
}

/// A forest in memory.
pub(super) struct Layout {
    pub(super) nodes: Nodes,
    pub(super) groups: Vec<Group>,
}

impl Layout {
    /// Lays a forest out; `payload` says what a leaf holds, by its place in the forest.
    pub(super) fn new<T: Feature>(forest: &Forest, keys: &Keys<T>, payload: impl Fn(u32) -> u32) -> Self {
        let mut trees = Vec::with_capacity(forest.roots.len());
        let mut nodes = Vec::with_capacity(forest.nodes.len());
        for &root in &forest.roots {
            let start = nodes.len();
            let (shortest, deepest) = lay_out(forest, keys, root, &mut nodes, &payload);
            trees.push((start, Tree { root: 0, shortest, deepest }));
        }
        let ends = trees.iter().skip(1).map(|(start, _)| *start).chain([nodes.len()]);
        let largest = trees.iter().zip(ends.clone()).map(|((start, _), end)| end - start).max();
        let packs = largest.is_some_and(|size| size <= WINDOW) && keys.columns() * LANES <= WINDOW;
        let mut groups: Vec<Group> = Vec::new();
        for (number, ((start, tree), end)) in trees.iter().zip(ends).enumerate() {
            let fits = |group: &&mut Group| !packs || end - group.base <= WINDOW;
            let tree = |base: usize| Tree { root: (start - base) as u32, ..*tree };
            match groups.last_mut().filter(fits) {
                Some(group) => group.trees.push(tree(group.base)),
                None => groups.push(Group { base: *start, first: number, trees: vec![tree(*start)] }),
            }
        }
        let nodes = if packs { Nodes::Packed(pack(&nodes, &groups)) } else { Nodes::Wide(nodes) };
        Self { nodes, groups }
    }
}

/// Adds the nodes of a tree, level by level; gives the steps to its nearest and farthest leaf.
fn lay_out<T: Feature>(
    forest: &Forest,
    keys: &Keys<T>,
    root: u32,
    nodes: &mut Vec<WideNode>,
    payload: &impl Fn(u32) -> u32,
) -> (u32, u32) {
    let (mut shortest, mut deepest) = (u32::MAX, 0);
    let mut open = VecDeque::from([(root, nodes.len(), 0)]);
    nodes.push(WideNode::default());
    while let Some((from, to, depth)) = open.pop_front() {
        nodes[to] = match &forest.nodes[from as usize] {
            Node::Leaf(..) => {
                (shortest, deepest) = (shortest.min(depth), deepest.max(depth));
                WideNode { threshold: payload(from), column: 0, child: to as u32 }
            }
            Node::Branch(branch) => {
                let Question { column, threshold, below, above } = keys.question(branch);
                let child = nodes.len();
                nodes.extend([WideNode::default(); 2]);
                open.extend([(below, child, depth + 1), (above, child + 1, depth + 1)]);
                WideNode { threshold, column, child: child as u32 }
            }
        };
    }
    (shortest, deepest)
}

fn pack(nodes: &[WideNode], groups: &[Group]) -> Vec<u64> {
    // Zeroed by the system, so that what is never touched takes no memory.
    let mut packed = vec![0; groups.last().map_or(0, |group| group.base + WINDOW).max(nodes.len())];
    let ends = groups.iter().skip(1).map(|group| group.base).chain([nodes.len()]);
    for (group, end) in groups.iter().zip(ends) {
        for (node, packed) in nodes[group.base..end].iter().zip(&mut packed[group.base..]) {
            let child = u64::from(node.child) - group.base as u64;
            let column = u64::from(node.column) * LANES as u64;
            *packed = u64::from(node.threshold) | column << 32 | child << 48;
        }
    }
    packed
}
