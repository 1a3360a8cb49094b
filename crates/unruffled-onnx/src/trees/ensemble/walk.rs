//! Walks down the trees, [`LANES`] at once: several rows in one tree, or one row in several trees.

use std::array;

use super::layout::{Group, LANES, Layout, Nodes, Tree, WINDOW, WideNode};

type Window = [u64; WINDOW];
type KeyWindow = [u32; WINDOW];

/// How many keys must be there behind the first of a window of them.
pub(super) const KEYS_BEHIND: usize = WINDOW;

/// Takes all lanes down to their leaves. Children lie behind their parents, so the sum of all places grows until every
/// lane has arrived.
#[inline(always)]
fn descend(
    mut at: [u32; LANES],
    shortest: u32,
    deepest: u32,
    step: impl Fn(u32, usize) -> u32,
) -> [u32; LANES] {
    let step_all = |at: &mut [u32; LANES]| {
        for (lane, at) in at.iter_mut().enumerate() {
            *at = step(*at, lane);
        }
    };
    for _ in 0..shortest {
        step_all(&mut at);
    }
    let (mut depth, mut sum) = (shortest, u32::MAX);
    while depth < deepest {
        step_all(&mut at);
        step_all(&mut at);
        let now = at.iter().sum();
        if now == sum {
            break;
        }
        (depth, sum) = (depth + 2, now);
    }
    at
}

/// A step in packed nodes. Both masks only tell the compiler what the layout has seen to: no index can lie outside.
#[inline(always)]
fn packed_step(nodes: &Window, at: u32, key: impl Fn(usize) -> u32) -> u32 {
    let node = nodes[at as usize % WINDOW];
    let above = key((node >> 32) as usize % WINDOW) > node as u32;
    (node >> 48) as u32 + u32::from(above)
}

#[inline(always)]
fn wide_step(nodes: &[WideNode], at: u32, key: impl Fn(usize) -> u32) -> u32 {
    let node = &nodes[at as usize];
    node.child + u32::from(key(node.column as usize) > node.threshold)
}

impl Layout {
    /// Walks the rows whose keys lie side by side through the trees of a group; `arrived` hears of each tree by its number
    /// what the leaves of all lanes hold.
    ///
    /// `keys` are `blocks` blocks of `columns` times [`LANES`] keys, and [`KEYS_BEHIND`] more of no meaning.
    #[inline(always)]
    pub(super) fn walk_rows(
        &self,
        group: &Group,
        keys: &[u32],
        columns: usize,
        blocks: usize,
        mut arrived: impl FnMut(usize, usize, [u32; LANES]),
    ) {
        for (number, &Tree { root, shortest, deepest }) in group.trees.iter().enumerate() {
            let number = group.first + number;
            for block in 0..blocks {
                let keys = &keys[block * columns * LANES..];
                let payload = match &self.nodes {
                    Nodes::Packed(nodes) => {
                        let nodes = window(nodes, group.base);
                        let keys: &KeyWindow = keys.first_chunk().expect("there are keys behind");
                        let step = |at, lane| packed_step(nodes, at, |key| keys[key / LANES * LANES + lane]);
                        let at = descend([root; LANES], shortest, deepest, step);
                        at.map(|at| nodes[at as usize % WINDOW] as u32)
                    }
                    Nodes::Wide(nodes) => {
                        let step = |at, lane| wide_step(nodes, at, |column| keys[column * LANES + lane]);
                        let at = descend([root; LANES], shortest, deepest, step);
                        at.map(|at| nodes[at as usize].threshold)
                    }
                };
                arrived(number, block, payload);
            }
        }
    }

    /// Walks one row through the trees of a group; `arrived` hears of the trees by their numbers, in order, what the leaf
    /// holds.
    ///
    /// `keys` are one for each column, and [`KEYS_BEHIND`] more of no meaning.
    #[inline(always)]
    pub(super) fn walk_row(&self, group: &Group, keys: &[u32], mut arrived: impl FnMut(usize, u32)) {
        for (chunk, trees) in group.trees.chunks(LANES).enumerate() {
            let shortest = trees.iter().map(|tree| tree.shortest).min().unwrap_or(0);
            let deepest = trees.iter().map(|tree| tree.deepest).max().unwrap_or(0);
            // Lanes that are left over walk the last tree once more.
            let roots = array::from_fn(|lane| trees[lane.min(trees.len() - 1)].root);
            let payload: [u32; LANES] = match &self.nodes {
                Nodes::Packed(nodes) => {
                    let nodes = window(nodes, group.base);
                    let keys: &KeyWindow = keys.first_chunk().expect("there are keys behind");
                    let step = |at, _| packed_step(nodes, at, |key| keys[key / LANES]);
                    let at = descend(roots, shortest, deepest, step);
                    at.map(|at| nodes[at as usize % WINDOW] as u32)
                }
                Nodes::Wide(nodes) => {
                    let step = |at, _| wide_step(nodes, at, |column| keys[column]);
                    let at = descend(roots, shortest, deepest, step);
                    at.map(|at| nodes[at as usize].threshold)
                }
            };
            for (lane, &payload) in payload[..trees.len()].iter().enumerate() {
                arrived(group.first + chunk * LANES + lane, payload);
            }
        }
    }
}

#[inline(always)]
fn window(nodes: &[u64], base: usize) -> &Window {
    nodes[base..].first_chunk().expect("there is room for a window behind every base")
}
