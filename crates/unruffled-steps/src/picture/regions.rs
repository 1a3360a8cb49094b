//! Connected regions of a map: what is above a threshold and touches, corners included.

use unruffled_model::{ModelError, RunContext};

use crate::model::watch;

/// Rows between two looks at whether somebody still waits.
const ROWS_BETWEEN_WATCHES: usize = 64;

/// Pixels of one row, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) row: u32,
    /// The first column.
    pub(super) begin: u32,
    /// The first column behind it.
    pub(super) end: u32,
}

/// Numbers of a map, row by row.
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: &'a [f32],
}

/// The regions of what is above a threshold, each as its runs from above; in the order of their first pixels.
///
/// Takes memory for the runs alone: at most one for two pixels.
pub(super) fn regions(
    map: Map<'_>,
    threshold: f32,
    ctx: &RunContext<'_>,
) -> Result<Vec<Vec<Run>>, ModelError> {
    let is_in = |value: &f32| *value > threshold;
    let mut runs: Vec<Run> = Vec::new();
    let mut sets = Sets(Vec::new());
    // The runs of the row above.
    let mut above = 0..0;
    for row in 0..map.height {
        if row % ROWS_BETWEEN_WATCHES == 0 {
            watch(ctx)?;
        }
        let first = runs.len();
        let mut upper = above.start;
        let values = &map.values[row * map.width..][..map.width];
        let mut column = 0;
        while let Some(begin) = values[column..].iter().position(is_in) {
            let begin = column + begin;
            let end = values[begin..].iter().position(|value| !is_in(value));
            column = end.map_or(map.width, |end| begin + end);
            let run = Run { row: row as u32, begin: begin as u32, end: column as u32 };
            let own = sets.add();
            runs.push(run);
            // Those that end before this one begins touch none that follows either.
            while upper < above.end && runs[upper].end < run.begin {
                upper += 1;
            }
            let touching = (upper..above.end).take_while(|at| runs[*at].begin <= run.end);
            touching.for_each(|at| sets.join(own, at));
        }
        above = first..runs.len();
    }
    let mut place = vec![usize::MAX; runs.len()];
    let mut found: Vec<Vec<Run>> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let root = sets.root(at);
        if place[root] == usize::MAX {
            place[root] = found.len();
            found.push(Vec::new());
        }
        found[place[root]].push(*run);
    }
    Ok(found)
}

/// Disjoint sets of runs: each points towards one that stands for all.
struct Sets(Vec<usize>);

impl Sets {
    fn add(&mut self) -> usize {
        self.0.push(self.0.len());
        self.0.len() - 1
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            // Halves the way for whoever comes next.
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// The earlier root stands for both.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{CancelToken, ModelErrorKind, RunContext};

    use super::{Map, regions};

    /// A picture of `#` and anything else; each region is told by its pixels and its first place.
    #[track_caller]
    fn check(picture: &[&str], expected: &[(usize, (u32, u32))]) {
        let values: Vec<f32> =
            picture.concat().chars().map(|pixel| if pixel == '#' { 0.9 } else { 0.3 }).collect();
        let map =
            Map { width: picture.first().map_or(0, |row| row.len()), height: picture.len(), values: &values };
        let cancel = CancelToken::new();
        let found = regions(map, 0.3, &RunContext::new(&cancel, None, &[])).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|runs| {
                let pixels: u32 = runs.iter().map(|run| run.end - run.begin).sum();
                (pixels as usize, (runs[0].row, runs[0].begin))
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_touches_is_one_corners_included() {
        check(&[], &[]);
        check(&["....", "...."], &[]);
        check(&["####"], &[(4, (0, 0))]);
        check(&["##.#", "..#.", "...."], &[(4, (0, 0))]);
        check(&["#..#", "....", "#..#"], &[(1, (0, 0)), (1, (0, 3)), (1, (2, 0)), (1, (2, 3))]);
    }

    #[test]
    fn arms_that_meet_late_are_one() {
        check(&["#.#.#", "#.#.#", "#####"], &[(11, (0, 0))]);
        check(&["..#..", "#.#.#", "#...#", "#####"], &[(2, (0, 2)), (9, (1, 0))]);
        check(&["###", "#.#", "###"], &[(8, (0, 0))]);
    }

    #[test]
    fn it_stops_when_nobody_waits() {
        let cancel = CancelToken::new();
        cancel.cancel();
        let map = Map { width: 1, height: 1, values: &[1.0] };
        let stopped = regions(map, 0.5, &RunContext::new(&cancel, None, &[])).unwrap_err();
        assert_eq!(stopped.kind(), ModelErrorKind::Cancelled);
    }
}
