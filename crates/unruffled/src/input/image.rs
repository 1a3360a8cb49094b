//! From a picture to numbers, by the settings of the input.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder as _, ImageReader, Limits, Rgba32FImage};

use super::resample::Plane;
use crate::config::{Color, ImageInput, Layout};
use crate::error::Error;

/// How bright the eye takes red, green and blue to be.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// The most pixels of a picture, and of what it becomes. A small file may claim any size.
const PIXELS_MAX: usize = 40_000_000;

/// The most bytes that a decoder takes for each pixel: four channels of 32 bits.
const PIXEL_BYTES_MAX: usize = 16;

/// What a decoder may take for itself, whatever the size of the picture.
const DECODER_BYTES: usize = 16 << 20;

/// The numbers of a picture and their shape, that of one picture.
pub(super) fn read(bytes: &[u8], settings: &ImageInput) -> Result<(Vec<f32>, Vec<usize>), Error> {
    let picture = decode(bytes)?;
    let (width, height) = size(settings, picture.width(), picture.height());
    // On the way it has the new width and the old height.
    for height in [height, picture.height() as usize] {
        if width.saturating_mul(height) > PIXELS_MAX {
            let from = format!("{} x {}", picture.width(), picture.height());
            let message =
                format!("of {from} pixels would become {width} x {height}; the most is {PIXELS_MAX}");
            return Err(Error::input(message));
        }
    }
    let planes: Vec<_> = channels(&picture, settings.color)
        .into_iter()
        .map(|plane| plane.resized(width, height))
        .enumerate()
        .map(|(channel, plane)| normalised(plane, channel, settings))
        .collect();
    let count = planes.len();
    Ok(match settings.layout {
        Layout::Nhw => (planes.into_iter().flatten().collect(), vec![1, height, width]),
        Layout::Nchw => (planes.into_iter().flatten().collect(), vec![1, count, height, width]),
        Layout::Nhwc => {
            let pixels = (0..width * height).flat_map(|at| planes.iter().map(move |plane| plane[at]));
            (pixels.collect(), vec![1, height, width, count])
        }
    })
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, Error> {
    let refused = |error: image::ImageError| {
        Error::input(format!("is not a picture that can be read: {error}; PNG, JPEG, BMP and WebP can"))
            .caused_by(error)
    };
    let reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| refused(error.into()))?;
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let pixels = (width as usize).saturating_mul(height as usize);
    if pixels > PIXELS_MAX {
        let message = format!("has {width} x {height} pixels; the most is {PIXELS_MAX}: shrink it");
        return Err(Error::input(message));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some((pixels * PIXEL_BYTES_MAX + DECODER_BYTES) as u64);
    decoder.set_limits(limits).map_err(refused)?;
    // Cameras write down how they were held.
    let orientation = decoder.orientation().map_err(refused)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Width and height that a picture of this size is brought to.
fn size(settings: &ImageInput, width: u32, height: u32) -> (usize, usize) {
    let (given_width, given_height) = (settings.width.map(u32::from), settings.height.map(u32::from));
    let (own_width, own_height) = (f64::from(width), f64::from(height));
    let (mut width, mut height) = match (given_width.map(f64::from), given_height.map(f64::from)) {
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, own_height * width / own_width),
        (None, Some(height)) => (own_width * height / own_height, height),
        (None, None) => (own_width, own_height),
    };
    if let Some(side_max) = settings.side_max {
        let shrink = (f64::from(side_max.get()) / width.max(height)).min(1.0);
        (width, height) = (width * shrink, height * shrink);
    }
    let multiple = f64::from(settings.multiple.map_or(1, u32::from));
    let rounded = |side: f64| ((side / multiple).round().max(1.0) * multiple) as usize;
    (rounded(width), rounded(height))
}

/// The channels as numbers from 0 to 1, in the order of the settings.
fn channels(picture: &DynamicImage, color: Color) -> Vec<Plane> {
    let picture = picture.to_rgba32f();
    let plane = |value: &dyn Fn([f32; 3]) -> f32| Plane {
        width: picture.width() as usize,
        height: picture.height() as usize,
        pixels: on_white(&picture).map(value).collect(),
    };
    let channel = |at: usize| plane(&move |pixel: [f32; 3]| pixel[at]);
    match color {
        Color::Gray => {
            vec![plane(&|pixel| pixel.iter().zip(LUMA).map(|(part, weight)| part * weight).sum())]
        }
        Color::Rgb => [0, 1, 2].map(channel).into(),
        Color::Bgr => [2, 1, 0].map(channel).into(),
    }
}

/// What shows when a transparent picture lies on white paper.
fn on_white(picture: &Rgba32FImage) -> impl Iterator<Item = [f32; 3]> {
    picture.pixels().map(|pixel| {
        let [red, green, blue, alpha] = pixel.0;
        [red, green, blue].map(|part| part * alpha + (1.0 - alpha))
    })
}

fn normalised(plane: Plane, channel: usize, settings: &ImageInput) -> Vec<f32> {
    let mean = settings.mean.get(channel).copied().unwrap_or(0.0);
    let std = settings.std.get(channel).copied().unwrap_or(1.0);
    let change = |pixel: f32| {
        let pixel = if settings.invert { 1.0 - pixel } else { pixel };
        (pixel * settings.scale - mean) / std
    };
    plane.pixels.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{InputSource, ModelConfig};
    use crate::error::Error;

    fn read(bytes: &[u8], settings: &str) -> Result<(Vec<f32>, Vec<usize>), Error> {
        let text = format!("[inputs.x.from]\nkind = 'image'\n{settings}");
        let config = ModelConfig::parse(&text, Path::new("model.toml"), &|_| unreachable!())?;
        let Some(InputSource::Image(image)) = &config.inputs[0].from else { panic!("expected a picture") };
        super::read(bytes, image)
    }

    /// A picture of these pixels as PNG.
    fn png(width: u32, pixels: &[[u8; 4]]) -> Vec<u8> {
        let bytes = pixels.concat();
        let picture = image::RgbaImage::from_raw(width, pixels.len() as u32 / width, bytes).unwrap();
        let mut out = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
        out.into_inner()
    }

    #[test]
    fn channels_go_where_the_settings_say() {
        let picture = png(2, &[[255, 0, 0, 255], [0, 0, 255, 255]]);
        let check = |settings, expected: &[f32], shape: &[usize]| {
            assert_eq!(read(&picture, settings).unwrap(), (expected.to_vec(), shape.to_vec()), "{settings}");
        };
        check("", &[1., 0., 0., 0., 0., 1.], &[1, 3, 1, 2]);
        check("color = 'bgr'", &[0., 1., 0., 0., 1., 0.], &[1, 3, 1, 2]);
        check("layout = 'nhwc'", &[1., 0., 0., 0., 0., 1.], &[1, 1, 2, 3]);
        check("color = 'gray'\nlayout = 'nhw'\nscale = 1000", &[299., 114.], &[1, 1, 2]);
        check("mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]", &[1., -1., -1., -1., -1., 1.], &[1, 3, 1, 2]);
    }

    #[test]
    fn what_is_transparent_is_white() {
        let picture = png(1, &[[0, 0, 0, 0]]);
        let (ink, _) = read(&picture, "color = 'gray'\nlayout = 'nhw'\ninvert = true").unwrap();
        assert_eq!(ink, [0.0]);
    }

    #[test]
    fn sizes_follow_the_settings() {
        let picture = png(100, &[[9, 9, 9, 255]; 100 * 50]);
        let check = |settings, height, width| {
            assert_eq!(read(&picture, settings).unwrap().1, [1, 3, height, width], "{settings}");
        };
        check("", 50, 100);
        check("width = 8\nheight = 8", 8, 8);
        check("height = 48", 48, 96);
        check("width = 10", 5, 10);
        check("side_max = 80\nmultiple = 32", 32, 96);
        check("side_max = 10\nmultiple = 32", 32, 32);
    }

    #[test]
    fn what_would_be_too_large_is_refused() {
        let refused = |picture: &[u8], settings| read(picture, settings).unwrap_err().to_string();
        let row = png(1000, &[[9, 9, 9, 255]; 1000]);
        let expected = "of 1000 x 1 pixels would become 1000000 x 1000; the most is 40000000";
        assert_eq!(refused(&row, "height = 1000"), expected);
        let column = png(1, &[[9, 9, 9, 255]; 1000]);
        let expected = "of 1 x 1000 pixels would become 50000 x 1000; the most is 40000000";
        assert_eq!(refused(&column, "width = 50000\nheight = 1"), expected);
        // What follows the header need not even be there.
        let mut claims = png(2, &[[9, 9, 9, 255]; 4]);
        claims.splice(16..24, [0, 0, 0x40, 0, 0, 0, 0x40, 0]);
        // The header's checksum.
        claims.splice(29..33, [0xa9, 0xc8, 0x10, 0x84]);
        assert_eq!(refused(&claims, ""), "has 16384 x 16384 pixels; the most is 40000000: shrink it");
    }

    #[test]
    fn other_bytes_are_refused() {
        let message = read(b"no picture at all", "").unwrap_err().to_string();
        assert!(
            message.starts_with("is not a picture") && message.ends_with("PNG, JPEG, BMP and WebP can"),
            "{message}"
        );
    }
}
