//! [`Ensemble`]: a forest that is ready to be asked, block of rows by block of rows.

use std::array;
use std::cell::RefCell;

use unruffled_model::{ModelError, RunContext};

use super::forest::Forest;
use super::keys::{Feature, Keys};
use super::layout::{Group, LANES, Layout};
use super::scores::{Aggregate, Leaves, Reach, Score, reach};
use super::walk::KEYS_BEHIND;

/// The bytes of keys that are made before trees are walked: what stays in a second-level cache beside the trees.
const KEY_BYTES: usize = 1 << 18;

/// The most blocks of [`LANES`] rows at a time.
const BLOCKS_MAX: usize = 32;

/// A forest in memory.
pub(super) struct Ensemble<T: Feature, S> {
    walk: Walk<T>,
    leaves: Leaves<S>,
    reach: Vec<Reach>,
    /// How many columns the rows must have at least.
    features: usize,
}

enum Walk<T: Feature> {
    Laid(Keys<T>, Layout),
    /// Node by node, for questions that keys do not answer. The payloads of its leaves are beside it.
    Plain(Forest, Vec<u32>),
}

/// Memory that a thread uses again and again.
#[derive(Default)]
struct Scratch {
    keys: Vec<u32>,
    seen: Vec<bool>,
    single: Vec<f32>,
    double: Vec<f64>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A type of score that has its place in the scratch memory.
pub(super) trait Scratched: Score {
    #[doc(hidden)]
    fn take(single: &mut Vec<f32>, double: &mut Vec<f64>) -> Vec<Self>;
    #[doc(hidden)]
    fn give(scores: Vec<Self>, single: &mut Vec<f32>, double: &mut Vec<f64>);
}

impl Scratched for f32 {
    fn take(single: &mut Vec<f32>, _: &mut Vec<f64>) -> Vec<f32> {
        std::mem::take(single)
    }

    fn give(scores: Vec<f32>, single: &mut Vec<f32>, _: &mut Vec<f64>) {
        *single = scores;
    }
}

impl Scratched for f64 {
    fn take(_: &mut Vec<f32>, double: &mut Vec<f64>) -> Vec<f64> {
        std::mem::take(double)
    }

    fn give(scores: Vec<f64>, _: &mut Vec<f32>, double: &mut Vec<f64>) {
        *double = scores;
    }
}

impl<T: Feature, S: Scratched> Ensemble<T, S> {
    pub(super) fn new(forest: Forest, aggregate: Aggregate) -> Self {
        let reach = reach(&forest);
        let (leaves, payloads) = Leaves::new(&forest, aggregate, &reach);
        let features = forest.features;
        let walk = match Keys::new(&forest) {
            Some(keys) => {
                let layout = Layout::new(&forest, &keys, |leaf| payloads[leaf as usize]);
                Walk::Laid(keys, layout)
            }
            None => Walk::Plain(forest, payloads),
        };
        Self { walk, leaves, reach, features }
    }

    /// Asks the trees about rows of `width` columns; `finish` hears of each row, in order, its number, its scores and which
    /// of them there are.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are too few columns, `Cancelled` if nobody wants to know any more.
    pub(super) fn evaluate(
        &self,
        rows: &[T],
        width: usize,
        ctx: &RunContext<'_>,
        mut finish: impl FnMut(usize, &mut [S], &[bool]),
    ) -> Result<(), ModelError> {
        if width < self.features {
            let message = format!("expected at least {} columns, got {width}", self.features);
            return Err(ModelError::invalid_input(message));
        }
        if rows.is_empty() {
            return Ok(());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut scores = S::take(&mut scratch.single, &mut scratch.double);
            let outcome = self.evaluate_blocks(
                rows,
                width,
                ctx,
                (&mut scratch.keys, &mut scores, &mut scratch.seen),
                &mut finish,
            );
            S::give(scores, &mut scratch.single, &mut scratch.double);
            outcome
        })
    }

    fn evaluate_blocks(
        &self,
        rows: &[T],
        width: usize,
        ctx: &RunContext<'_>,
        (keys, scores, seen): (&mut Vec<u32>, &mut Vec<S>, &mut Vec<bool>),
        finish: &mut impl FnMut(usize, &mut [S], &[bool]),
    ) -> Result<(), ModelError> {
        let targets = self.reach.len();
        let lanes = self.leaves.lanes(targets);
        let at_once = LANES * self.blocks();
        for (i, block) in rows.chunks(at_once * width).enumerate() {
            if ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            let count = block.len() / width;
            scores.clear();
            scores.resize(count * lanes, S::ZERO);
            seen.clear();
            let always = self.reach.iter().map(|reach| *reach == Reach::Always);
            match self.leaves {
                Leaves::Sparse { .. } => seen.resize(count * targets, false),
                Leaves::Single { .. } | Leaves::Dense { .. } => seen.extend(always),
            }
            match &self.walk {
                Walk::Laid(columns, layout) => {
                    self.walk(columns, layout, block, width, (keys, scores, seen));
                }
                Walk::Plain(forest, payloads) => {
                    for (row, x) in block.chunks(width).enumerate() {
                        let (scores, seen) = self.of_row(row, scores, seen, lanes);
                        for (tree, &root) in forest.roots.iter().enumerate() {
                            let leaf = forest.leaf(root, |feature| x[feature as usize].to_f64());
                            self.leaves.add(tree, payloads[leaf as usize], scores, seen);
                        }
                    }
                }
            }
            for row in 0..count {
                let (scores, seen) = self.of_row(row, scores, seen, lanes);
                finish(i * at_once + row, &mut scores[..targets], seen);
            }
        }
        Ok(())
    }

    /// How many blocks of [`LANES`] rows are walked together.
    fn blocks(&self) -> usize {
        match &self.walk {
            Walk::Laid(keys, _) => {
                (KEY_BYTES / (keys.columns() * LANES * size_of::<u32>())).clamp(1, BLOCKS_MAX)
            }
            Walk::Plain(..) => BLOCKS_MAX,
        }
    }

    /// The scores of a row, and its flags where each row has its own.
    #[inline(always)]
    fn of_row<'a>(
        &self,
        row: usize,
        scores: &'a mut [S],
        seen: &'a mut [bool],
        lanes: usize,
    ) -> (&'a mut [S], &'a mut [bool]) {
        let targets = self.reach.len();
        let seen = match self.leaves {
            Leaves::Sparse { .. } => &mut seen[row * targets..][..targets],
            Leaves::Single { .. } | Leaves::Dense { .. } => seen,
        };
        (&mut scores[row * lanes..][..lanes], seen)
    }

    /// Rows go through a tree [`LANES`] at once; those left over go through as many trees at once.
    fn walk(
        &self,
        columns: &Keys<T>,
        layout: &Layout,
        rows: &[T],
        width: usize,
        (keys, scores, seen): (&mut Vec<u32>, &mut [S], &mut [bool]),
    ) {
        let lanes = self.leaves.lanes(self.reach.len());
        let (whole, rest) = rows.split_at(rows.len() / width / LANES * LANES * width);
        let per_block = columns.columns() * LANES;
        let blocks = whole.len() / width / LANES;
        let needed = blocks.max(1) * per_block + KEYS_BEHIND;
        if keys.len() < needed {
            // Fresh, since what the system has zeroed takes no memory until it is touched.
            *keys = vec![0; needed];
        }
        for (block, keys) in whole.chunks(LANES * width).zip(keys.chunks_mut(per_block)) {
            columns.write::<LANES>(array::from_fn(|lane| &block[lane * width..][..width]), keys);
        }
        if blocks > 0 {
            for group in &layout.groups {
                self.walk_group(layout, group, (keys, columns.columns(), blocks), (scores, seen));
            }
        }
        for (i, row) in rest.chunks(width).enumerate() {
            columns.write::<1>([row], &mut keys[..columns.columns()]);
            let (scores, seen) = self.of_row(blocks * LANES + i, scores, seen, lanes);
            for group in &layout.groups {
                layout.walk_row(group, keys, |tree, payload| self.leaves.add(tree, payload, scores, seen));
            }
        }
    }

    fn walk_group(
        &self,
        layout: &Layout,
        group: &Group,
        (keys, columns, blocks): (&[u32], usize, usize),
        (scores, seen): (&mut [S], &mut [bool]),
    ) {
        let lanes = self.leaves.lanes(self.reach.len());
        layout.walk_rows(group, keys, columns, blocks, |tree, block, payloads| {
            for (lane, payload) in payloads.into_iter().enumerate() {
                let (scores, seen) = self.of_row(block * LANES + lane, scores, seen, lanes);
                self.leaves.add(tree, payload, scores, seen);
            }
        });
    }
}
