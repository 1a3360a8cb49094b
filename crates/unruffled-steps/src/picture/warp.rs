//! [`Warp`]: from places of an upright crop to places of the picture that it is taken from.

use super::geometry::Point;

/// Takes a unit square to a quadrilateral, in perspective.
#[derive(Clone, Copy, Debug)]
pub(super) struct Warp {
    x: [f64; 3],
    y: [f64; 3],
    /// What both are divided by: 1 at the first corner.
    depth: [f64; 2],
}

impl Warp {
    /// To these corners, from the upper left one clockwise. What is no quadrilateral in perspective, bent inwards or without
    /// an area, is taken for a parallelogram of its first, second and fourth corner.
    pub(super) fn to(corners: [Point; 4]) -> Self {
        let [a, b, c, d] = corners;
        let (from_right, from_below) = (b.minus(c), d.minus(c));
        let twist = a.minus(b).plus(c.minus(d), 1.0);
        let area = from_right.x * from_below.y - from_below.x * from_right.y;
        let g = (twist.x * from_below.y - from_below.x * twist.y) / area;
        let h = (from_right.x * twist.y - twist.x * from_right.y) / area;
        // Seen from the front at all four corners.
        let is_seen = [1.0 + g, 1.0 + h, 1.0 + g + h].iter().all(|depth| *depth > 1e-6);
        let [g, h] = if is_seen { [g, h] } else { [0.0, 0.0] };
        let row = |a: f64, b: f64, d: f64| [b - a + g * b, d - a + h * d, a];
        Self { x: row(a.x, b.x, d.x), y: row(a.y, b.y, d.y), depth: [g, h] }
    }

    /// Where a place of the square lies; 0 to 1 from left to right and from above.
    pub(super) fn at(&self, s: f64, t: f64) -> Point {
        let depth = 1.0 + self.depth[0] * s + self.depth[1] * t;
        let place = |row: [f64; 3]| (row[0] * s + row[1] * t + row[2]) / depth;
        Point::new(place(self.x), place(self.y))
    }
}

#[cfg(test)]
mod tests {
    use super::Warp;
    use crate::picture::geometry::Point;

    #[track_caller]
    fn check(corners: [(f64, f64); 4], middle: (f64, f64)) {
        let corners = corners.map(|(x, y)| Point::new(x, y));
        let warp = Warp::to(corners);
        let at = [warp.at(0.0, 0.0), warp.at(1.0, 0.0), warp.at(1.0, 1.0), warp.at(0.0, 1.0)];
        for (given, expected) in at.iter().zip(corners) {
            assert!(given.minus(expected).length() < 1e-9, "{given:?} is not {expected:?}");
        }
        let given = warp.at(0.5, 0.5);
        assert!(given.minus(Point::new(middle.0, middle.1)).length() < 1e-9, "{given:?}");
    }

    #[test]
    fn corners_go_to_corners_and_the_middle_to_where_the_diagonals_meet() {
        check([(0., 0.), (4., 0.), (4., 2.), (0., 2.)], (2., 1.));
        check([(1., 1.), (4., 5.), (0., 8.), (-3., 4.)], (0.5, 4.5));
        // A board that leans back: its far side is half as long as its near one, and its middle is further up.
        check([(1., 0.), (3., 0.), (4., 3.), (0., 3.)], (2., 1.));
    }

    #[test]
    fn what_is_bent_or_flat_is_a_parallelogram() {
        for corners in [[(0., 0.), (4., 0.), (1., 0.5), (0., 4.)], [(2., 2.); 4]] {
            let corners = corners.map(|(x, y)| Point::new(x, y));
            let warp = Warp::to(corners);
            let half = corners[0].plus(corners[1].minus(corners[0]), 0.5);
            let middle = half.plus(corners[3].minus(corners[0]), 0.5);
            assert_eq!(warp.at(0.5, 0.5), middle);
        }
    }
}
