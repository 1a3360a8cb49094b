//! [`Crop`]: what boxes hold, upright and in the numbers that a recogniser takes.

use unruffled_model::{
    DType, Dim, Emitter, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use super::geometry::Point;
use super::view::{Channels, View, picture_spec};
use super::warp::Warp;
use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::{Reader, at_least_one};

/// A box so many times as high as wide holds a line of text that runs downwards, and is laid on its side.
const UPRIGHT: f64 = 1.5;

/// How much wider the widest of a group may be than the narrowest: what is filled up is at most a fifth.
const GROUP_SPREAD: f64 = 1.25;

/// The most places of the picture that are looked at for one pixel of a crop, along either side.
const SAMPLES_MAX: f64 = 8.0;

/// How the crops of a request are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropOutput {
    /// All in one tensor, in the order of the boxes, filled up to the widest.
    Together,
    /// Several outputs, each a group of similar width: for callers that take outputs as they come.
    Groups,
}

/// `crop`: what boxes hold, each upright and of one height, in the numbers that a recogniser of text takes. Lines that run
/// downwards are laid on their side. What is narrower than the widest is filled up with zeros.
///
/// Takes `picture` u8 \[h, w, 3\] and `boxes` f32 \[k, 4, 2\], as `text-boxes` gives them; gives `crops` f32
/// \[g, channels, height, w\] and `index` i64 \[g\], the boxes that they are of.
#[derive(Clone, Debug, PartialEq)]
pub struct Crop {
    /// The height of all crops; 48 unless set.
    pub height: usize,
    /// Widths are filled up to multiples of this, so that boxes of similar width share a run; 32 unless set.
    pub multiple: usize,
    /// The most width; what is longer is squeezed; 3,200 unless set.
    pub width_max: usize,
    /// Which channels, in which order; `bgr` unless set.
    pub color: Channels,
    /// What is subtracted from each number, of 0 to 1; 0.5 unless set.
    pub mean: f32,
    /// What is then divided by; 0.5 unless set.
    pub std: f32,
    /// Whether all are answered at once; `together` unless set.
    pub output: CropOutput,
    /// Crops of one group; 8 unless set.
    pub group_max: usize,
    /// Boxes of one request, refused if there are more; 1,000 unless set.
    pub boxes_max: usize,
    /// Pixels of all crops of one output, refused if there are more; 16 million unless set.
    pub pixels_max: usize,
}

impl Default for Crop {
    fn default() -> Self {
        Self {
            height: 48,
            multiple: 32,
            width_max: 3200,
            color: Channels::Bgr,
            mean: 0.5,
            std: 0.5,
            output: CropOutput::Together,
            group_max: 8,
            boxes_max: 1000,
            pixels_max: 16_000_000,
        }
    }
}

impl Crop {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        let colors = [("gray", Channels::Gray), ("rgb", Channels::Rgb), ("bgr", Channels::Bgr)];
        let outputs = [("together", CropOutput::Together), ("groups", CropOutput::Groups)];
        let std = reader.number("std", f64::from(usual.std), (1e-6, 1e6))?;
        Ok(Self {
            height: reader.count("height", 1)?.unwrap_or(usual.height),
            multiple: reader.count("multiple", 1)?.unwrap_or(usual.multiple),
            width_max: reader.count("width_max", 1)?.unwrap_or(usual.width_max),
            color: reader.choice("color", usual.color, &colors)?,
            mean: reader.number("mean", f64::from(usual.mean), (-1e6, 1e6))? as f32,
            std: std as f32,
            output: reader.choice("output", usual.output, &outputs)?,
            group_max: reader.count("group_max", 1)?.unwrap_or(usual.group_max),
            boxes_max: reader.count("boxes_max", 1)?.unwrap_or(usual.boxes_max),
            pixels_max: reader.count("pixels_max", 1)?.unwrap_or(usual.pixels_max),
        })
    }

    pub(crate) fn load(&self, kind: &'static str) -> Result<TensorModel, StepError> {
        let Self { height, multiple, group_max, .. } = *self;
        at_least_one(&[("height", height), ("multiple", multiple), ("group_max", group_max)])?;
        let channels = Dim::Fixed(self.color.count());
        let signature = Signature {
            inputs: vec![
                picture_spec(),
                spec("boxes", DType::F32, [same("k"), Dim::Fixed(4), Dim::Fixed(2)]),
            ],
            outputs: vec![
                spec("crops", DType::F32, [same("g"), channels, Dim::Fixed(height), same("width")]),
                spec("index", DType::I64, [same("g")]),
            ],
        };
        Ok(model(kind, Interrupt::Cooperative, signature, Cutter(self.clone())))
    }
}

struct Cutter(Crop);

/// A box, and how wide it will be.
#[derive(Clone, Copy)]
struct Cut {
    /// Which of the boxes it is.
    index: usize,
    corners: [Point; 4],
    /// Pixels of the picture along its text and across.
    extent: [f64; 2],
    /// Pixels of the crop along its text.
    width: usize,
}

impl Compute for Cutter {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let picture = View::of(input(inputs, "picture")?)?;
        self.crops(picture, &self.cuts(inputs)?, ctx)
    }

    fn emit(
        &self,
        inputs: &Tensors,
        emitter: &mut Emitter<'_, Tensors>,
        ctx: &RunContext<'_>,
    ) -> Result<Option<Tensors>, ModelError> {
        if self.0.output == CropOutput::Together {
            return self.run(inputs, ctx).map(Some);
        }
        let picture = View::of(input(inputs, "picture")?)?;
        let mut cuts = self.cuts(inputs)?;
        cuts.sort_by_key(|cut| (cut.width, cut.index));
        for group in groups(&cuts, self.0.group_max) {
            emitter.emit(self.crops(picture, group, ctx)?)?;
        }
        Ok(None)
    }
}

impl Cutter {
    fn cuts(&self, inputs: &Tensors) -> Result<Vec<Cut>, ModelError> {
        let refused = |message: String| ModelError::invalid_input(message).at("boxes");
        let boxes = input(inputs, "boxes")?.elements::<f32>()?.chunks_exact(8);
        if boxes.len() > self.0.boxes_max {
            return Err(refused(format!("has {} boxes; the most is {}", boxes.len(), self.0.boxes_max)));
        }
        let cut = |(index, places): (usize, &[f32])| {
            if places.iter().any(|place| !place.is_finite()) {
                return Err(refused(format!("box {index} has a corner that is no place: {places:?}")));
            }
            let corner = |at: usize| Point::new(f64::from(places[2 * at]), f64::from(places[2 * at + 1]));
            Ok(self.cut(index, [corner(0), corner(1), corner(2), corner(3)]))
        };
        boxes.enumerate().map(cut).collect()
    }

    fn cut(&self, index: usize, corners: [Point; 4]) -> Cut {
        let longest = |a: Point, b: Point| a.length().max(b.length()).max(1.0);
        let [a, b, c, d] = corners;
        let (along, across) = (longest(b.minus(a), c.minus(d)), longest(d.minus(a), c.minus(b)));
        // Read from above downwards: its upper right corner becomes the beginning.
        let (corners, along, across) = match across >= UPRIGHT * along {
            true => ([b, c, d, a], across, along),
            false => (corners, along, across),
        };
        let width = (self.0.height as f64 * along / across).ceil().min(self.0.width_max as f64) as usize;
        Cut { index, corners, extent: [along, across], width: width.max(1) }
    }

    /// The crops of these boxes in one tensor, as wide as the widest needs.
    fn crops(&self, picture: View<'_>, cuts: &[Cut], ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let widest = cuts.iter().map(|cut| cut.width).max().unwrap_or(1);
        let (height, width) = (self.0.height, widest.next_multiple_of(self.0.multiple));
        let pixels = cuts.len().saturating_mul(height).saturating_mul(width);
        if pixels > self.0.pixels_max {
            let (count, most) = (cuts.len(), self.0.pixels_max);
            let message = format!(
                "{count} crops of {width} x {height} pixels are more than {most}; ask for fewer boxes at a time"
            );
            return Err(ModelError::invalid_input(message).at("boxes"));
        }
        let channels = self.0.color.count();
        let mut crops = vec![0.0_f32; channels * pixels];
        for (cut, crop) in cuts.iter().zip(crops.chunks_exact_mut(channels * height * width)) {
            self.draw(picture, cut, crop, width, ctx)?;
        }
        let index: Vec<i64> = cuts.iter().map(|cut| cut.index as i64).collect();
        Ok(Tensors::new()
            .with("crops", Tensor::new(&[cuts.len(), channels, height, width], crops)?)
            .with("index", Tensor::new(&[cuts.len()], index)?))
    }

    fn draw(
        &self,
        picture: View<'_>,
        cut: &Cut,
        crop: &mut [f32],
        width: usize,
        ctx: &RunContext<'_>,
    ) -> Result<(), ModelError> {
        let (height, plane) = (self.0.height, self.0.height * width);
        let warp = Warp::to(cut.corners);
        // As many looks at the picture as the crop is smaller, so that nothing thin falls between them.
        let looks = |extent: f64, pixels: usize| (extent / pixels as f64).ceil().clamp(1.0, SAMPLES_MAX);
        let (across, down) = (looks(cut.extent[0], cut.width), looks(cut.extent[1], height));
        for row in 0..height {
            watch(ctx)?;
            for column in 0..cut.width {
                let mut sum = [0.0_f32; 3];
                for look in 0..(across * down) as usize {
                    let (x, y) = (look as f64 % across, (look as f64 / across).floor());
                    let s = (column as f64 + (x + 0.5) / across) / cut.width as f64;
                    let t = (row as f64 + (y + 0.5) / down) / height as f64;
                    let place = warp.at(s, t);
                    let color = picture.at(place.x as f32, place.y as f32);
                    sum.iter_mut().zip(color).for_each(|(sum, part)| *sum += part);
                }
                for channel in 0..self.0.color.count() {
                    let value = self.0.color.value(sum, channel) / (across * down) as f32 / 255.0;
                    crop[channel * plane + row * width + column] = (value - self.0.mean) / self.0.std;
                }
            }
        }
        Ok(())
    }
}

/// Boxes of similar width, of which the first is the narrowest; the boxes are sorted by width.
fn groups(cuts: &[Cut], group_max: usize) -> impl Iterator<Item = &[Cut]> {
    let mut rest = cuts;
    std::iter::from_fn(move || {
        let narrowest = rest.first()?.width as f64;
        let similar = rest.iter().take_while(|cut| cut.width as f64 <= GROUP_SPREAD * narrowest).count();
        let (group, others) = rest.split_at(similar.min(group_max));
        rest = others;
        Some(group)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use unruffled_model::{
        Batch, CancelToken, ModelError, ModelErrorKind, OutputSink, Row, RunContext, Tensor, Tensors,
    };

    use super::{Channels, Crop, CropOutput};
    use crate::model::answer;

    /// A picture of 64 by 64: red grows to the right, green downwards, blue is 255.
    fn picture() -> Tensor {
        let pixel = |at: usize| [(at % 64) as u8 * 4, (at / 64) as u8 * 4, 255];
        Tensor::new(&[64, 64, 3], (0..64 * 64).flat_map(pixel).collect::<Vec<_>>()).unwrap()
    }

    fn request(boxes: &[[f32; 8]]) -> Tensors {
        let tensor = Tensor::new(&[boxes.len(), 4, 2], boxes.concat()).unwrap();
        Tensors::new().with("picture", picture()).with("boxes", tensor)
    }

    fn upright(x: f32, y: f32, width: f32, height: f32) -> [f32; 8] {
        [x, y, x + width, y, x + width, y + height, x, y + height]
    }

    /// Crops of 4 rows, in numbers of the picture.
    fn small() -> Crop {
        Crop { height: 4, multiple: 4, color: Channels::Rgb, mean: 0.0, std: 1.0 / 255.0, ..Crop::default() }
    }

    #[track_caller]
    fn check(options: &Crop, boxes: &[[f32; 8]], shape: &[usize], first_row_of_red: &[f32]) {
        let out = answer(&options.load("crop").unwrap(), request(boxes)).unwrap();
        let crops = out.get("crops").unwrap();
        assert_eq!(crops.shape(), shape);
        let given = &crops.elements::<f32>().unwrap()[..first_row_of_red.len()];
        let close = given.iter().zip(first_row_of_red).all(|(a, b)| (a - b).abs() < 1e-2);
        assert!(close, "{given:?}");
    }

    #[test]
    fn a_crop_of_its_own_size_is_the_picture_itself() {
        check(&small(), &[upright(8., 8., 4., 4.)], &[1, 3, 4, 4], &[32., 36., 40., 44.]);
        // Two looks for each pixel, each way.
        check(&small(), &[upright(8., 8., 8., 8.)], &[1, 3, 4, 4], &[34., 42., 50., 58.]);
        let bgr = Crop { color: Channels::Bgr, ..small() };
        check(&bgr, &[upright(8., 8., 4., 4.)], &[1, 3, 4, 4], &[255.; 4]);
        let gray = Crop { color: Channels::Gray, ..small() };
        // 0.299 of red, 0.587 of green and 0.114 of blue.
        check(&gray, &[upright(8., 8., 4., 4.)], &[1, 1, 4, 4], &[57.422, 58.618]);
    }

    #[test]
    fn a_turned_box_is_upright() {
        // The same square, read from its lower left corner upwards.
        let turned = [8., 12., 8., 8., 12., 8., 12., 12.];
        check(&small(), &[turned], &[1, 3, 4, 4], &[32.; 4]);
        // Of four times the height, it runs downwards, and is laid on its side: its first row is the right column.
        let column = [upright(8., 8., 4., 16.)];
        check(&small(), &column, &[1, 3, 4, 16], &[44.; 16]);
    }

    #[test]
    fn narrow_ones_are_filled_up_with_zeros() {
        let boxes = [upright(8., 8., 4., 4.), upright(8., 8., 20., 4.)];
        check(&small(), &boxes, &[2, 3, 4, 20], &[32., 36., 40., 44., 0., 0.]);
        let long = Crop { width_max: 10, ..small() };
        check(&long, &boxes[1..], &[1, 3, 4, 12], &[34., 42., 50.]);
        check(&small(), &[], &[0, 3, 4, 4], &[]);
    }

    #[test]
    fn beyond_the_picture_is_its_edge() {
        check(&small(), &[upright(-8., 8., 4., 4.)], &[1, 3, 4, 4], &[0.; 4]);
        check(&small(), &[[5.0; 8]], &[1, 3, 4, 4], &[18.; 4]);
    }

    #[test]
    fn too_much_is_refused_and_named() {
        let refused = |options: Crop, boxes: &[[f32; 8]]| {
            let error = answer(&options.load("crop").unwrap(), request(boxes)).unwrap_err();
            assert_eq!(error.kind(), ModelErrorKind::InvalidInput);
            error.to_string()
        };
        let one = upright(0., 0., 4., 4.);
        assert_eq!(
            refused(Crop { boxes_max: 1, ..small() }, &[one, one]),
            "`boxes`: has 2 boxes; the most is 1"
        );
        assert_eq!(
            refused(Crop { pixels_max: 31, ..small() }, &[one, one]),
            "`boxes`: 2 crops of 4 x 4 pixels are more than 31; ask for fewer boxes at a time"
        );
        let zero = Crop { group_max: 0, ..small() }.load("crop").err().unwrap();
        assert_eq!(zero.to_string(), "`group_max`: is 0; expected at least 1");
        let nowhere = [f32::NAN, 0., 1., 0., 1., 1., 0., 1.];
        assert!(refused(small(), &[nowhere]).starts_with("`boxes`: box 0 has a corner that is no place"));
    }

    struct Collect(Arc<Mutex<Vec<Tensors>>>);

    impl OutputSink<Tensors> for Collect {
        fn send(&mut self, output: Tensors) -> Result<(), ModelError> {
            self.0.lock().unwrap().push(output);
            Ok(())
        }
    }

    #[test]
    fn groups_are_of_similar_width_and_come_one_by_one() {
        let boxes = [20., 4., 22., 40., 5., 21.].map(|width| upright(8., 8., width, 4.));
        let model = Crop { output: CropOutput::Groups, group_max: 2, ..small() }.load("crop").unwrap();
        let found = Arc::new(Mutex::new(Vec::new()));
        let row = Row::with_sink(request(&boxes), Box::new(Collect(Arc::clone(&found))));
        let mut batch: Batch<_, _> = [row].into_iter().collect();
        let cancel = CancelToken::new();
        model
            .with_instance(&mut |instance| {
                instance.run(&mut batch, &RunContext::new(&cancel, None, &[])).unwrap();
            })
            .unwrap();
        assert!(batch.into_rows().remove(0).into_answer().is_none(), "nothing is left to say");
        let told: Vec<_> = found
            .lock()
            .unwrap()
            .iter()
            .map(|group| {
                let index = group.get("index").unwrap().elements::<i64>().unwrap().to_vec();
                (index, group.get("crops").unwrap().shape()[3])
            })
            .collect();
        assert_eq!(told, [(vec![1, 4], 8), (vec![0, 5], 24), (vec![2], 24), (vec![3], 40)]);
    }

    #[test]
    fn groups_are_for_callers_that_take_several_outputs() {
        let model = Crop { output: CropOutput::Groups, ..small() }.load("crop").unwrap();
        let refused = answer(&model, request(&[upright(0., 0., 4., 4.)])).unwrap_err();
        assert_eq!(refused.to_string(), "gives several outputs: ask for them with `outputs`");
    }
}
