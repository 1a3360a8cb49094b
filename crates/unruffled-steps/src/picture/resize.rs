//! [`Resize`]: a picture in the size and the numbers that a model takes.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use unruffled_model::{
    DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use super::view::{Channels, View, picture_spec};
use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec};
use crate::options::{Reader, at_least_one};

/// `resize`: a picture in the size and the numbers that a model takes. The settings mean what they do for inputs of kind
/// `image`: resized, as numbers from 0 to 1, inverted or not, times `scale`, less `mean`, divided by `std`.
///
/// Takes `picture` u8 \[h, w, 3\]; gives `pixels` f32 \[1, channels, h, w\] and `size` i64 \[2\], the height and the width that
/// the picture had, by which boxes are found in it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// The width; without it, that of the picture in proportion to the height.
    pub width: Option<usize>,
    /// The height; without it, that of the picture in proportion to the width.
    pub height: Option<usize>,
    /// The longer side is shrunk to this; not at all unless set.
    pub side_max: Option<usize>,
    /// Both sides are rounded to multiples of this; 1 unless set.
    pub multiple: usize,
    /// Which channels, in which order; `rgb` unless set.
    pub color: Channels,
    /// Whether dark becomes large; it does not unless set.
    pub invert: bool,
    /// What the numbers are multiplied by; 1 unless set.
    pub scale: f32,
    /// What is then subtracted: nothing, or a number for each channel.
    pub mean: Vec<f32>,
    /// What is then divided by: nothing, or a number for each channel.
    pub std: Vec<f32>,
    /// The most pixels after resizing, refused if there are more; 40 million unless set.
    pub pixels_max: usize,
}

impl Default for Resize {
    fn default() -> Self {
        Self {
            width: None,
            height: None,
            side_max: None,
            multiple: 1,
            color: Channels::Rgb,
            invert: false,
            scale: 1.0,
            mean: Vec::new(),
            std: Vec::new(),
            pixels_max: 40_000_000,
        }
    }
}

impl Resize {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        let colors = [("gray", Channels::Gray), ("rgb", Channels::Rgb), ("bgr", Channels::Bgr)];
        let color = reader.choice("color", usual.color, &colors)?;
        Ok(Self {
            width: reader.count("width", 1)?,
            height: reader.count("height", 1)?,
            side_max: reader.count("side_max", 1)?,
            multiple: reader.count("multiple", 1)?.unwrap_or(usual.multiple),
            color,
            invert: reader.truth("invert", usual.invert)?,
            scale: reader.number("scale", f64::from(usual.scale), (-1e9, 1e9))? as f32,
            mean: per_channel(reader, "mean", color)?,
            std: per_channel(reader, "std", color)?,
            pixels_max: reader.count("pixels_max", 1)?.unwrap_or(usual.pixels_max),
        })
    }

    pub(crate) fn load(&self, kind: &'static str) -> Result<TensorModel, StepError> {
        at_least_one(&[("multiple", self.multiple)])?;
        let signature = Signature {
            inputs: vec![picture_spec()],
            outputs: vec![
                spec(
                    "pixels",
                    DType::F32,
                    [Dim::Fixed(1), Dim::Fixed(self.color.count()), same("height"), same("width")],
                ),
                spec("size", DType::I64, [Dim::Fixed(2)]),
            ],
        };
        // The limit on pixels says how long a run takes.
        Ok(model(kind, Interrupt::Never, signature, Resized(self.clone())))
    }

    /// Width and height that a picture of this size is brought to.
    fn size(&self, width: usize, height: usize) -> (f64, f64) {
        let (own_width, own_height) = (width as f64, height as f64);
        let given = (self.width.map(|width| width as f64), self.height.map(|height| height as f64));
        let (mut width, mut height) = match given {
            (Some(width), Some(height)) => (width, height),
            (Some(width), None) => (width, own_height * width / own_width),
            (None, Some(height)) => (own_width * height / own_height, height),
            (None, None) => (own_width, own_height),
        };
        if let Some(side_max) = self.side_max {
            let shrink = (side_max as f64 / width.max(height)).min(1.0);
            (width, height) = (width * shrink, height * shrink);
        }
        let multiple = self.multiple as f64;
        let rounded = |side: f64| (side / multiple).round().max(1.0) * multiple;
        (rounded(width), rounded(height))
    }
}

/// A number for each channel, or none at all.
fn per_channel(reader: &mut Reader<'_>, key: &'static str, color: Channels) -> Result<Vec<f32>, StepError> {
    let numbers = reader.numbers(key)?;
    if !numbers.is_empty() && numbers.len() != color.count() {
        let message =
            format!("has {} numbers for {} channels; give one for each", numbers.len(), color.count());
        return Err(StepError::setting(key, message));
    }
    if key == "std" && numbers.contains(&0.0) {
        return Err(StepError::setting(key, "has a 0, by which nothing can be divided"));
    }
    Ok(numbers)
}

struct Resized(Resize);

impl Compute for Resized {
    fn run(&self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let picture = View::of(input(inputs, "picture")?)?;
        let (width, height) = self.0.size(picture.width, picture.height);
        if width * height > self.0.pixels_max as f64 {
            let (from, most) = (format!("{} x {}", picture.width, picture.height), self.0.pixels_max);
            let message = format!("of {from} pixels would become {width} x {height}; the most is {most}");
            return Err(ModelError::invalid_input(message).at("picture"));
        }
        let (width, height) = (width as usize, height as usize);
        let resized = resized(picture, width, height)?;
        let count = self.0.color.count();
        let mut pixels = Vec::with_capacity(count * width * height);
        for channel in 0..count {
            pixels.extend(resized.chunks_exact(3).map(|pixel| self.number(pixel, channel)));
        }
        let size = vec![picture.height as i64, picture.width as i64];
        Ok(Tensors::new()
            .with("pixels", Tensor::new(&[1, count, height, width], pixels)?)
            .with("size", Tensor::new(&[2], size)?))
    }
}

impl Resized {
    /// What a pixel is in one of the model's channels.
    fn number(&self, pixel: &[u8], channel: usize) -> f32 {
        let color = [0, 1, 2].map(|at| f32::from(pixel[at]));
        let value = self.0.color.value(color, channel) / 255.0;
        let value = if self.0.invert { 1.0 - value } else { value };
        let mean = self.0.mean.get(channel).copied().unwrap_or(0.0);
        let std = self.0.std.get(channel).copied().unwrap_or(1.0);
        (value * self.0.scale - mean) / std
    }
}

/// The pixels in another size, each the weighted mean of those around it.
fn resized(picture: View<'_>, width: usize, height: usize) -> Result<Vec<u8>, ModelError> {
    if (width, height) == (picture.width, picture.height) {
        return Ok(picture.pixels.to_vec());
    }
    let side = |side: usize| {
        u32::try_from(side).map_err(|_| {
            ModelError::invalid_input(format!("has a side of {side} pixels, too many to resize"))
                .at("picture")
        })
    };
    let failed = |error: &dyn std::fmt::Display| {
        ModelError::failed(format!("cannot be resized: {error}")).at("picture")
    };
    let from = ImageRef::new(side(picture.width)?, side(picture.height)?, picture.pixels, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    let mut to = Image::new(side(width)?, side(height)?, PixelType::U8x3);
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
    Resizer::new().resize(&from, &mut to, &options).map_err(|error| failed(&error))?;
    Ok(to.into_vec())
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Tensor, Tensors};

    use super::Resize;
    use crate::model::answer;
    use crate::options::Reader;
    use crate::settings::{Setting, Settings};

    fn picture(width: usize, pixels: &[[u8; 3]]) -> Tensors {
        let tensor = Tensor::new(&[pixels.len() / width, width, 3], pixels.concat()).unwrap();
        Tensors::new().with("picture", tensor)
    }

    fn set(settings: &[(&str, Setting)]) -> Settings {
        settings.iter().cloned().collect()
    }

    fn load(settings: &Settings) -> unruffled_model::TensorModel {
        Resize::read(&mut Reader::new(settings)).unwrap().load("resize").unwrap()
    }

    #[track_caller]
    fn check(settings: &[(&str, Setting)], pixels: &[[u8; 3]], shape: &[usize], expected: &[f32]) {
        let out = answer(&load(&set(settings)), picture(2, pixels)).unwrap();
        let given = out.get("pixels").unwrap();
        assert_eq!(given.shape(), shape);
        let given = given.elements::<f32>().unwrap();
        let close = given.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close && given.len() == expected.len(), "{given:?}");
        let size = [pixels.len() as i64 / 2, 2];
        assert_eq!(out.get("size").unwrap().elements::<i64>().unwrap(), size);
    }

    #[test]
    fn channels_and_numbers_follow_the_settings() {
        let pixels = [[255, 0, 0], [0, 0, 255]];
        let halves = || vec![0.5, 0.5, 0.5].into();
        check(&[], &pixels, &[1, 3, 1, 2], &[1., 0., 0., 0., 0., 1.]);
        check(&[("color", "bgr".into())], &pixels, &[1, 3, 1, 2], &[0., 1., 0., 0., 1., 0.]);
        check(&[("color", "gray".into()), ("scale", 1000.0.into())], &pixels, &[1, 1, 1, 2], &[299., 114.]);
        check(
            &[("mean", halves()), ("std", halves())],
            &pixels,
            &[1, 3, 1, 2],
            &[1., -1., -1., -1., -1., 1.],
        );
        check(
            &[("invert", true.into()), ("color", "gray".into())],
            &[[255; 3], [0; 3]],
            &[1, 1, 1, 2],
            &[0., 1.],
        );
    }

    #[test]
    fn shrinking_takes_the_mean() {
        let pixels = [[0, 10, 20], [100, 30, 20], [100, 50, 20], [200, 70, 20]];
        let one = [("width", 1.0.into()), ("height", 1.0.into()), ("scale", 255.0.into())];
        check(&one, &pixels, &[1, 3, 1, 1], &[100., 40., 20.]);
    }

    #[test]
    fn sizes_follow_the_settings() {
        let inputs = picture(100, &[[9; 3]; 100 * 50]);
        let check = |settings: &[(&str, Setting)], height, width| {
            let out = answer(&load(&set(settings)), inputs.clone()).unwrap();
            assert_eq!(out.get("pixels").unwrap().shape(), [1, 3, height, width], "{settings:?}");
        };
        check(&[], 50, 100);
        check(&[("width", 8.0.into()), ("height", 8.0.into())], 8, 8);
        check(&[("height", 48.0.into())], 48, 96);
        check(&[("width", 10.0.into())], 5, 10);
        check(&[("side_max", 80.0.into()), ("multiple", 32.0.into())], 32, 96);
        check(&[("side_max", 10.0.into()), ("multiple", 32.0.into())], 32, 32);
    }

    #[test]
    fn what_would_be_too_large_is_refused_before_it_is_made() {
        let settings = set(&[("height", 3e9.into()), ("pixels_max", 1e6.into())]);
        let refused = answer(&load(&settings), picture(1, &[[0; 3]; 2])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`picture`: of 1 x 2 pixels would become 1500000000 x 3000000000; the most is 1000000"
        );
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_refused() {
        let refused = |key, value: Setting| {
            Resize::read(&mut Reader::new(&set(&[(key, value)]))).unwrap_err().to_string()
        };
        assert_eq!(
            refused("mean", vec![0.5].into()),
            "`mean`: has 1 numbers for 3 channels; give one for each"
        );
        assert_eq!(
            refused("std", vec![1.0, 0.0, 1.0].into()),
            "`std`: has a 0, by which nothing can be divided"
        );
        assert_eq!(
            refused("color", "cmyk".into()),
            "`color`: is \"cmyk\"; expected \"gray\" or \"rgb\" or \"bgr\""
        );
    }
}
