//! [`TextBoxes`]: where a picture shows text, by the map of a detector.

use unruffled_model::{
    DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, TensorSpec, Tensors,
};

use super::geometry::{Point, Rectangle};
use super::regions::{Map, Run, regions};
use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::Reader;

/// How much wider and higher the short side of a box must be once it is grown.
const SIDE_GROWTH: f64 = 2.0;

/// `text-boxes`: where a picture shows text, by a map of probabilities, as a detector of the kind DB (differentiable
/// binarization) gives it: the smallest rectangles, turned or not, around what is likely text.
///
/// Takes `map` f32 \[1, 1, h, w\] and `size` i64 \[2\], height and width of the picture that the map is of, as `resize` gives
/// it; without it, boxes are in pixels of the map. Gives `boxes` f32 \[k, 4, 2\], x and y of each corner from the upper left
/// one clockwise as the text is read, and `scores` f32 \[k\]; line by line from above, from left to right.
#[derive(Clone, Debug, PartialEq)]
pub struct TextBoxes {
    /// The probability above which a pixel of the map is text; 0.3 unless set.
    pub threshold: f32,
    /// The mean probability that a box must have; 0.5 unless set.
    pub score_min: f32,
    /// How far boxes are grown, since the map shows the core of a line only: area times this by circumference; 1.6 unless set.
    pub unclip: f64,
    /// The shortest side of a box before it is grown, in pixels of the map; 3 unless set.
    pub side_min: f64,
    /// The most boxes; of more, the best; 1,000 unless set.
    pub boxes_max: usize,
}

impl Default for TextBoxes {
    fn default() -> Self {
        Self { threshold: 0.3, score_min: 0.5, unclip: 1.6, side_min: 3.0, boxes_max: 1000 }
    }
}

impl TextBoxes {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        Ok(Self {
            threshold: reader.number("threshold", f64::from(usual.threshold), (0.0, 1.0))? as f32,
            score_min: reader.number("score_min", f64::from(usual.score_min), (0.0, 1.0))? as f32,
            unclip: reader.number("unclip", usual.unclip, (0.0, 10.0))?,
            side_min: reader.number("side_min", usual.side_min, (0.0, 1e6))?,
            boxes_max: reader.count("boxes_max", 1)?.unwrap_or(usual.boxes_max),
        })
    }

    pub(crate) fn load(&self, kind: &'static str) -> TensorModel {
        // A side of 0: as long as the map's.
        let size = Tensor::new(&[2], vec![0_i64; 2]).expect("two elements are two elements");
        let one = || Dim::Fixed(1);
        let signature = Signature {
            inputs: vec![
                spec("map", DType::F32, [one(), one(), same("h"), same("w")]),
                TensorSpec { default: Some(size), ..spec("size", DType::I64, [Dim::Fixed(2)]) },
            ],
            outputs: vec![
                spec("boxes", DType::F32, [same("k"), Dim::Fixed(4), Dim::Fixed(2)]),
                spec("scores", DType::F32, [same("k")]),
            ],
        };
        model(kind, Interrupt::Cooperative, signature, Finder(self.clone()))
    }
}

struct Finder(TextBoxes);

/// A box that was found, in pixels of the picture.
struct Found {
    corners: [Point; 4],
    score: f32,
}

impl Compute for Finder {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let map = input(inputs, "map")?;
        let &[_, _, height, width] = map.shape() else {
            return Err(ModelError::invalid_input("expected [1, 1, h, w]").at("map"));
        };
        let map = Map { width, height, values: map.elements()? };
        let (across, down) = self.scale(inputs, map)?;
        let mut found = Vec::new();
        for region in regions(map, self.0.threshold, ctx)? {
            watch(ctx)?;
            if let Some((rectangle, score)) = self.rectangle(map, &region) {
                let corners = rectangle.corners().map(|corner| {
                    let side = |place: f64, scale: f64, most: usize| (place.clamp(0.0, most as f64)) * scale;
                    Point::new(side(corner.x, across, width), side(corner.y, down, height))
                });
                found.push(Found { corners, score });
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(self.0.boxes_max);
        sort_as_read(&mut found);
        let corners = found.iter().flat_map(|one| one.corners);
        let boxes: Vec<f32> = corners.flat_map(|corner| [corner.x as f32, corner.y as f32]).collect();
        let scores: Vec<f32> = found.iter().map(|one| one.score).collect();
        Ok(Tensors::new()
            .with("boxes", Tensor::new(&[found.len(), 4, 2], boxes)?)
            .with("scores", Tensor::new(&[found.len()], scores)?))
    }
}

impl Finder {
    /// How many pixels of the picture a pixel of the map is, across and down.
    fn scale(&self, inputs: &Tensors, map: Map<'_>) -> Result<(f64, f64), ModelError> {
        let scale = |given: i64, own: usize| match given {
            0 => Ok(1.0),
            // No side of a picture has more pixels than 32 bits count.
            1..=0xffff_ffff => Ok(given as f64 / own.max(1) as f64),
            _ => {
                let message = format!("has a side of {given} pixels; expected height and width");
                Err(ModelError::invalid_input(message).at("size"))
            }
        };
        match input(inputs, "size")?.elements::<i64>()? {
            [height, width] => Ok((scale(*width, map.width)?, scale(*height, map.height)?)),
            _ => Err(ModelError::invalid_input("expected height and width").at("size")),
        }
    }

    /// The box of a region, grown, and its score; nothing if it is too small or too unlikely.
    fn rectangle(&self, map: Map<'_>, region: &[Run]) -> Option<(Rectangle, f32)> {
        let center = |row: u32, column: u32| Point::new(f64::from(column) + 0.5, f64::from(row) + 0.5);
        // The ends of its rows are enough to tell the hull.
        let ends = region.iter().flat_map(|run| [center(run.row, run.begin), center(run.row, run.end - 1)]);
        // A pixel reaches half a pixel beyond its centre.
        let core = Rectangle::around(&mut ends.collect())?.grown(0.5);
        if core.side_min() < self.0.side_min {
            return None;
        }
        let score = mean(map, core);
        if score < self.0.score_min {
            return None;
        }
        let grown = core.grown(core.area() * self.0.unclip / core.perimeter());
        (grown.side_min() >= self.0.side_min + SIDE_GROWTH).then_some((grown, score))
    }
}

/// The mean of the map within a rectangle; 0 if it holds no pixel.
fn mean(map: Map<'_>, rectangle: Rectangle) -> f32 {
    let corners = rectangle.corners();
    let range = |places: [f64; 4], count: usize| {
        let least = places.iter().copied().fold(f64::INFINITY, f64::min).floor().max(0.0);
        let most = places.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil().max(0.0);
        (least as usize).min(count)..(most as usize).min(count)
    };
    let columns = range(corners.map(|corner| corner.x), map.width);
    let (mut sum, mut count) = (0.0_f64, 0_u32);
    for row in range(corners.map(|corner| corner.y), map.height) {
        for column in columns.clone() {
            if rectangle.holds(Point::new(column as f64 + 0.5, row as f64 + 0.5)) {
                sum += f64::from(map.values[row * map.width + column]);
                count += 1;
            }
        }
    }
    if count == 0 { 0.0 } else { (sum / f64::from(count)) as f32 }
}

/// Orders boxes as a page is read: what is centred within the upper half of a line's first box and the lower is of that line.
fn sort_as_read(found: &mut [Found]) {
    let middle = |one: &Found| one.corners.iter().map(|corner| corner.y).sum::<f64>() / 4.0;
    let left = |one: &Found| one.corners.iter().map(|corner| corner.x).fold(f64::INFINITY, f64::min);
    found.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
    let mut rest = found;
    while let Some(first) = rest.first() {
        let height = first.corners[3].minus(first.corners[0]).length();
        let below = middle(first) + height / 2.0;
        let line = rest.iter().position(|one| middle(one) >= below).unwrap_or(rest.len()).max(1);
        let (line, others) = rest.split_at_mut(line);
        line.sort_by(|a, b| left(a).total_cmp(&left(b)));
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{ModelErrorKind, Tensor, Tensors};

    use super::TextBoxes;
    use crate::model::answer;

    const SIDE: usize = 100;

    /// A map of 100 by 100 that is `value` within rectangles: centre, direction in degrees, length, breadth.
    fn map(rectangles: &[([f64; 2], f64, f64, f64)], value: f32) -> Tensor {
        let mut values = vec![0.02_f32; SIDE * SIDE];
        for (center, degrees, length, breadth) in rectangles {
            let (sin, cos) = degrees.to_radians().sin_cos();
            for (at, pixel) in values.iter_mut().enumerate() {
                let x = (at % SIDE) as f64 + 0.5 - center[0];
                let y = (at / SIDE) as f64 + 0.5 - center[1];
                if (x * cos + y * sin).abs() < length / 2.0 && (y * cos - x * sin).abs() < breadth / 2.0 {
                    *pixel = value;
                }
            }
        }
        Tensor::new(&[1, 1, SIDE, SIDE], values).unwrap()
    }

    fn find(options: &TextBoxes, inputs: Tensors) -> (Vec<[f32; 8]>, Vec<f32>) {
        let out = answer(&options.load("text-boxes"), inputs).unwrap();
        let boxes = out.get("boxes").unwrap().elements::<f32>().unwrap().to_vec();
        let scores = out.get("scores").unwrap().elements::<f32>().unwrap().to_vec();
        let boxes = boxes.chunks_exact(8).map(|corners| corners.try_into().unwrap()).collect();
        (boxes, scores)
    }

    #[track_caller]
    fn check(options: &TextBoxes, inputs: Tensors, expected: &[[f32; 8]], slack: f32) {
        let (boxes, _) = find(options, inputs);
        let close =
            boxes.iter().flatten().zip(expected.iter().flatten()).all(|(a, b)| (a - b).abs() <= slack);
        assert!(close && boxes.len() == expected.len(), "{boxes:?}");
    }

    #[test]
    fn an_upright_box_is_found_exactly_and_grown() {
        let inputs = Tensors::new().with("map", map(&[([40.0, 50.0], 0.0, 40.0, 10.0)], 0.8));
        let plain = TextBoxes { unclip: 0.0, side_min: 1.0, ..TextBoxes::default() };
        check(&plain, inputs.clone(), &[[20., 45., 60., 45., 60., 55., 20., 55.]], 1e-4);
        // 40 by 10: an area of 400 by a circumference of 100, times 1.6.
        let grown = [13.6, 38.6, 66.4, 38.6, 66.4, 61.4, 13.6, 61.4];
        check(&TextBoxes::default(), inputs.clone(), &[grown], 1e-4);
        let (_, scores) = find(&TextBoxes::default(), inputs.clone());
        assert_eq!(scores, [0.8]);
        // The picture was twice as wide and five times as high.
        let size = Tensor::new(&[2], vec![500_i64, 200]).unwrap();
        let scaled = [27.2, 193., 132.8, 193., 132.8, 307., 27.2, 307.];
        check(&TextBoxes::default(), inputs.with("size", size), &[scaled], 1e-3);
    }

    #[test]
    fn a_turned_box_is_found_as_it_lies() {
        for degrees in [20.0_f64, -35.0, 10.0] {
            let inputs = Tensors::new().with("map", map(&[([50.0, 50.0], degrees, 50.0, 12.0)], 0.9));
            let (sin, cos) = degrees.to_radians().sin_cos();
            let corner =
                |x: f64, y: f64| [(50.0 + x * cos - y * sin) as f32, (50.0 + x * sin + y * cos) as f32];
            let corners = [corner(-25., -6.), corner(25., -6.), corner(25., 6.), corner(-25., 6.)];
            let plain = TextBoxes { unclip: 0.0, side_min: 1.0, ..TextBoxes::default() };
            // Pixels are squares: the edge of what is turned is known to about one of them.
            check(&plain, inputs, &[corners.concat().try_into().unwrap()], 1.3);
        }
    }

    #[test]
    fn lines_are_read_from_above_and_from_the_left() {
        let line = |x: f64, y: f64| ([x, y], 0.0, 20.0, 8.0);
        // The right one of a line may lie a little higher.
        let inputs = Tensors::new().with("map", map(&[line(75., 18.), line(25., 20.), line(50., 60.)], 0.9));
        let (boxes, _) = find(&TextBoxes::default(), inputs);
        let begins: Vec<_> = boxes.iter().map(|corners| corners[0] as i32).collect();
        assert_eq!(begins, [10, 60, 35]);
    }

    #[test]
    fn what_is_small_or_unlikely_is_no_text() {
        let none = |rectangle, value| {
            let inputs = Tensors::new().with("map", map(&[rectangle], value));
            check(&TextBoxes::default(), inputs, &[], 0.0);
        };
        none(([50.0, 50.0], 0.0, 40.0, 10.0), 0.4);
        none(([50.0, 50.0], 0.0, 40.0, 2.0), 0.9);
        none(([50.0, 50.0], 0.0, 0.0, 0.0), 0.9);
        let empty = Tensors::new().with("map", Tensor::new::<f32>(&[1, 1, 0, 0], vec![]).unwrap());
        check(&TextBoxes::default(), empty, &[], 0.0);
    }

    #[test]
    fn of_too_many_the_best_are_kept() {
        let mut both = map(&[([50.0, 20.0], 0.0, 30.0, 8.0)], 0.7).elements::<f32>().unwrap().to_vec();
        let other = map(&[([50.0, 70.0], 0.0, 30.0, 8.0)], 0.9);
        both.iter_mut().zip(other.elements::<f32>().unwrap()).for_each(|(a, b)| *a = a.max(*b));
        let inputs = Tensors::new().with("map", Tensor::new(&[1, 1, SIDE, SIDE], both).unwrap());
        let (boxes, scores) = find(&TextBoxes { boxes_max: 1, ..TextBoxes::default() }, inputs);
        assert_eq!((boxes.len(), scores), (1, vec![0.9]));
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        let inputs = Tensors::new()
            .with("map", map(&[], 0.0))
            .with("size", Tensor::new(&[2], vec![-1_i64, 5]).unwrap());
        let refused = answer(&TextBoxes::default().load("text-boxes"), inputs).unwrap_err();
        assert_eq!(refused.kind(), ModelErrorKind::InvalidInput);
        assert_eq!(refused.to_string(), "`size`: has a side of -1 pixels; expected height and width");
    }
}
