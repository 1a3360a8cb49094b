//! The smallest rectangle around points, however it is turned.

/// A place in a picture, or a direction; x to the right, y down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Point {
    pub(super) fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }

    /// So far from here in a direction.
    pub(super) fn plus(self, direction: Self, times: f64) -> Self {
        Self::new(self.x + direction.x * times, self.y + direction.y * times)
    }

    pub(super) fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    /// Positive if `other` lies clockwise of this direction.
    fn cross(self, other: Self) -> f64 {
        self.x * other.y - self.y * other.x
    }

    pub(super) fn length(self) -> f64 {
        self.x.hypot(self.y)
    }

    /// A quarter turn clockwise.
    fn turned(self) -> Self {
        Self::new(-self.y, self.x)
    }
}

/// A rectangle that may be turned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rectangle {
    pub(super) center: Point,
    /// The direction of one pair of sides, of length 1; the other pair is a quarter turn clockwise of it.
    pub(super) axis: Point,
    /// Half of its extent along the axis, and across.
    pub(super) half: [f64; 2],
}

impl Rectangle {
    /// The rectangle of the least area around points; upright if none is smaller. `None` without points.
    pub(super) fn around(points: &mut Vec<Point>) -> Option<Self> {
        points.first()?;
        hull(points);
        let mut best = Self::along(points, Point::new(1.0, 0.0));
        for at in 0..points.len() {
            let side = points[(at + 1) % points.len()].minus(points[at]);
            if side.length() > 0.0 {
                let axis = Point::new(side.x / side.length(), side.y / side.length());
                let other = Self::along(points, axis);
                // What is smaller by rounding alone is not worth a turn.
                if other.area() < best.area() * (1.0 - 1e-9) {
                    best = other;
                }
            }
        }
        Some(best)
    }

    /// The smallest around points in a direction.
    fn along(points: &[Point], axis: Point) -> Self {
        let extent = |axis: Point| {
            let places = points.iter().map(|point| point.dot(axis));
            places.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), at| (least.min(at), most.max(at)))
        };
        let ((left, right), (top, bottom)) = (extent(axis), extent(axis.turned()));
        let center =
            Point::default().plus(axis, (left + right) / 2.0).plus(axis.turned(), (top + bottom) / 2.0);
        Self { center, axis, half: [(right - left) / 2.0, (bottom - top) / 2.0] }
    }

    /// The same, larger by `margin` on each side.
    pub(super) fn grown(self, margin: f64) -> Self {
        Self { half: self.half.map(|half| half + margin), ..self }
    }

    pub(super) fn area(self) -> f64 {
        4.0 * self.half[0] * self.half[1]
    }

    pub(super) fn perimeter(self) -> f64 {
        4.0 * (self.half[0] + self.half[1])
    }

    /// The length of its shorter side.
    pub(super) fn side_min(self) -> f64 {
        2.0 * self.half[0].min(self.half[1])
    }

    pub(super) fn holds(self, point: Point) -> bool {
        let from_center = point.minus(self.center);
        from_center.dot(self.axis).abs() <= self.half[0]
            && from_center.dot(self.axis.turned()).abs() <= self.half[1]
    }

    /// The corners as text is read: from the upper left one clockwise. The two that are furthest left are the beginning.
    pub(super) fn corners(self) -> [Point; 4] {
        let [along, across] = self.half;
        let corner =
            |x: f64, y: f64| self.center.plus(self.axis, x * along).plus(self.axis.turned(), y * across);
        let mut corners = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
        corners.sort_by(|a, b| a.x.total_cmp(&b.x));
        let upright = |a: Point, b: Point| if a.y <= b.y { [a, b] } else { [b, a] };
        let [begin, end] = [upright(corners[0], corners[1]), upright(corners[2], corners[3])];
        [begin[0], end[0], end[1], begin[1]]
    }
}

/// Leaves only the corners of the convex hull, in order around it.
fn hull(points: &mut Vec<Point>) {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    if points.len() < 3 {
        return;
    }
    let half = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for point in points {
            while let [.., before, last] = chain[..]
                && last.minus(before).cross(point.minus(last)) <= 0.0
            {
                chain.pop();
            }
            chain.push(point);
        }
        // The last is the first of the other half.
        chain.pop();
        chain
    };
    let mut around = half(&mut points.iter().copied());
    around.extend(half(&mut points.iter().rev().copied()));
    *points = around;
}

#[cfg(test)]
mod tests {
    use super::{Point, Rectangle};

    fn points(list: &[(f64, f64)]) -> Vec<Point> {
        list.iter().map(|(x, y)| Point::new(*x, *y)).collect()
    }

    #[track_caller]
    fn check(list: &[(f64, f64)], corners: [(f64, f64); 4]) {
        let rectangle = Rectangle::around(&mut points(list)).unwrap();
        let given = rectangle.corners();
        let expected = points(&corners);
        let close = given.iter().zip(&expected).all(|(a, b)| a.minus(*b).length() < 1e-9);
        assert!(close, "{given:?}");
    }

    #[test]
    fn points_in_a_row_have_no_breadth() {
        assert_eq!(Rectangle::around(&mut Vec::new()), None);
        check(&[(3., 4.)], [(3., 4.); 4]);
        check(&[(0., 0.), (4., 0.), (2., 0.)], [(0., 0.), (4., 0.), (4., 0.), (0., 0.)]);
        let slanted = Rectangle::around(&mut points(&[(0., 0.), (1., 1.), (3., 3.)])).unwrap();
        assert!(slanted.area() < 1e-9 && (slanted.perimeter() - 2.0 * 18_f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn upright_and_turned_rectangles_are_found() {
        let upright = [(1., 1.), (9., 1.), (9., 4.), (1., 4.), (5., 2.), (1., 2.)];
        check(&upright, [(1., 1.), (9., 1.), (9., 4.), (1., 4.)]);
        // Sides of 10 and 5, turned so that they run along (4, 3) and (-3, 4).
        let turned = [(10., 10.), (18., 16.), (15., 20.), (7., 14.), (12., 14.)];
        check(&turned, [(10., 10.), (18., 16.), (15., 20.), (7., 14.)]);
    }

    #[test]
    fn steep_text_begins_at_its_left_end() {
        // Ten long and one broad, running upwards to the right: along (3, -4).
        let steep = [(0., 8.), (6., 0.), (6.8, 0.6), (0.8, 8.6)];
        check(&steep, [(0., 8.), (6., 0.), (6.8, 0.6), (0.8, 8.6)]);
    }

    #[test]
    fn growing_moves_every_side() {
        let grown =
            Rectangle::around(&mut points(&[(0., 0.), (4., 0.), (4., 2.), (0., 2.)])).unwrap().grown(1.0);
        assert_eq!((grown.area(), grown.perimeter(), grown.side_min()), (24.0, 20.0, 4.0));
        assert!(grown.holds(Point::new(-0.9, 2.9)) && !grown.holds(Point::new(-1.1, 0.0)));
    }
}
