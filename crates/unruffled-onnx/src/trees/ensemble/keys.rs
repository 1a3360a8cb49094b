//! [`Keys`]: features as integers that compare as the floats do, so that a walk knows of no floats, no missing values and
//! no modes.
//!
//! Every question becomes "is the key above the threshold?". A missing value is the highest or the lowest key there is,
//! depending on where it leads; a feature whose missing values lead both ways has two columns.

use super::forest::{Branch, Forest, Mode};

/// The key of the column that every question about is answered with no: where leaves wait.
const BOTTOM: u32 = 0;
const TOP: u32 = u32::MAX;

/// An element type of features.
pub(super) trait Feature: Copy + Send + Sync + 'static {
    /// What must be known of a column to make keys for it.
    type Column: Send + Sync;

    /// A column for these thresholds, each of them exact in this type.
    fn column(thresholds: &mut Vec<u64>) -> Self::Column;

    /// The key of a value that is not missing, above 0 and below the highest.
    fn key(self, column: &Self::Column) -> u32;

    /// An integer that compares as the value does.
    fn order(self) -> u64;

    fn is_missing(self) -> bool;

    /// The key of a threshold, given in [order](Self::order).
    fn threshold(order: u64, column: &Self::Column) -> u32;

    fn from_f64(x: f64) -> Self;

    fn to_f64(self) -> f64;
}

/// A 32-bit float is its own key, but for the sign.
impl Feature for f32 {
    type Column = ();

    fn column(_: &mut Vec<u64>) {}

    #[inline]
    fn key(self, (): &()) -> u32 {
        // Adding zero makes both zeros one.
        let bits = (self + 0.0).to_bits();
        let sign = bits.cast_signed() >> 31;
        bits ^ (sign.cast_unsigned() | 1 << 31)
    }

    fn order(self) -> u64 {
        self.key(&()).into()
    }

    #[inline]
    fn is_missing(self) -> bool {
        self.is_nan()
    }

    fn threshold(order: u64, (): &()) -> u32 {
        u32::try_from(order).expect("made from 32 bits")
    }

    fn from_f64(x: f64) -> Self {
        x as f32
    }

    fn to_f64(self) -> f64 {
        self.into()
    }
}

/// A 64-bit float has the number of thresholds below it as its key.
impl Feature for f64 {
    type Column = Vec<u64>;

    fn column(thresholds: &mut Vec<u64>) -> Vec<u64> {
        thresholds.sort_unstable();
        thresholds.dedup();
        std::mem::take(thresholds)
    }

    fn key(self, column: &Vec<u64>) -> u32 {
        let order = self.order();
        column.partition_point(|&threshold| threshold < order) as u32 + 1
    }

    fn order(self) -> u64 {
        let bits = (self + 0.0).to_bits();
        let sign = bits.cast_signed() >> 63;
        bits ^ (sign.cast_unsigned() | 1 << 63)
    }

    fn is_missing(self) -> bool {
        self.is_nan()
    }

    fn threshold(order: u64, column: &Vec<u64>) -> u32 {
        column.partition_point(|&threshold| threshold < order) as u32 + 1
    }

    fn from_f64(x: f64) -> Self {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// A branch as a question about a key: above the threshold leads to `above`, and all else to `below`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// The column of the keys, from 1.
    pub(super) column: u32,
    pub(super) threshold: u32,
    pub(super) below: u32,
    pub(super) above: u32,
}

/// How features become keys. Column 0 is always [`BOTTOM`].
pub(super) struct Keys<T: Feature> {
    columns: Vec<(u32, u32, T::Column)>,
    /// The number of each column, by feature and by whether a missing value counts as low.
    numbers: Vec<[u32; 2]>,
}

/// A branch without its mode: the order of the highest value that leads to `below`, and where missing ones lead.
struct Cut {
    order: u64,
    missing_is_low: bool,
    swapped: bool,
}

/// `None` if the branch cannot be said in keys.
fn cut<T: Feature>(branch: &Branch) -> Option<Cut> {
    if branch.threshold.is_nan() {
        return None;
    }
    let order = T::from_f64(branch.threshold).order();
    let yes = branch.missing_is_yes;
    Some(match branch.mode {
        Mode::AtMost => Cut { order, missing_is_low: yes, swapped: false },
        // The order of no number is 0, so there is always a lower one.
        Mode::Below => Cut { order: order - 1, missing_is_low: yes, swapped: false },
        Mode::Above => Cut { order, missing_is_low: !yes, swapped: true },
        Mode::AtLeast => Cut { order: order - 1, missing_is_low: !yes, swapped: true },
        Mode::Equal | Mode::Unequal | Mode::Member(..) => return None,
    })
}

impl<T: Feature> Keys<T> {
    /// The keys for a forest; `None` if some of its branches cannot be said in keys.
    pub(super) fn new(forest: &Forest) -> Option<Self> {
        let mut thresholds: Vec<[Option<Vec<u64>>; 2]> = vec![[None, None]; forest.features];
        for branch in forest.branches() {
            let cut = cut::<T>(branch)?;
            let side = usize::from(cut.missing_is_low);
            thresholds[branch.feature as usize][side].get_or_insert_default().push(cut.order);
        }
        let mut keys = Self { columns: Vec::new(), numbers: vec![[0; 2]; forest.features] };
        for (feature, sides) in thresholds.into_iter().enumerate() {
            for (side, orders) in sides.into_iter().enumerate() {
                if let Some(mut orders) = orders {
                    let missing = if side == 1 { BOTTOM } else { TOP };
                    keys.columns.push((feature as u32, missing, T::column(&mut orders)));
                    keys.numbers[feature][side] = keys.columns.len() as u32;
                }
            }
        }
        Some(keys)
    }

    /// How many columns of keys there are.
    pub(super) fn columns(&self) -> usize {
        self.columns.len() + 1
    }

    /// What a branch of the same forest asks.
    pub(super) fn question(&self, branch: &Branch) -> Question {
        let cut = cut::<T>(branch).expect("looked at when the keys were made");
        let column = self.numbers[branch.feature as usize][usize::from(cut.missing_is_low)];
        let threshold = T::threshold(cut.order, &self.columns[column as usize - 1].2);
        let (below, above) = if cut.swapped { (branch.no, branch.yes) } else { (branch.yes, branch.no) };
        Question { column, threshold, below, above }
    }

    /// Writes the keys of some rows, each column's side by side.
    #[inline]
    pub(super) fn write<const W: usize>(&self, rows: [&[T]; W], keys: &mut [u32]) {
        let (bottom, keys) = keys.as_chunks_mut::<W>().0.split_first_mut().expect("there is column 0");
        *bottom = [BOTTOM; W];
        for ((feature, missing, column), keys) in self.columns.iter().zip(keys) {
            for (row, key) in rows.iter().zip(keys) {
                let x = row[*feature as usize];
                *key = if x.is_missing() { *missing } else { x.key(column) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Feature;

    #[test]
    fn keys_compare_as_floats_do() {
        let floats = [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-40, 0.0, 1e-40, 1.0, f32::MAX, f32::INFINITY];
        let keys: Vec<u32> = floats.iter().map(|x| x.key(&())).collect();
        assert!(keys.is_sorted_by(|a, b| a < b) && keys[0] > 0 && keys[8] < u32::MAX);
        assert_eq!((-0.0_f32).key(&()), 0.0_f32.key(&()));
        let column = f64::column(&mut vec![1.0.order(), (-1.0).order(), 1.0.order()]);
        let keys: Vec<u32> = [-2.0, -1.0, 0.0, 1.0, 1.5].iter().map(|x: &f64| x.key(&column)).collect();
        assert_eq!(keys, [1, 1, 2, 2, 3]);
        assert_eq!([-1.0, 1.0].map(|x: f64| f64::threshold(x.order(), &column)), [1, 2]);
    }
}
