//! [`DecodeImage`]: the pixels of a picture file.

use std::io::Cursor;

use ::image::{DynamicImage, ImageDecoder as _, ImageError, ImageReader};
use unruffled_model::{
    Bytes, DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use super::view::picture_spec;
use crate::error::StepError;
use crate::model::{Compute, input, model, spec};
use crate::options::Reader;

/// The most bytes that a decoder takes for each pixel: four channels of 32 bits.
const PIXEL_BYTES_MAX: u64 = 16;

/// What a decoder may take for itself, whatever the size of the picture.
const DECODER_BYTES: u64 = 16 * 1024 * 1024;

/// `decode-image`: the pixels of a PNG, JPEG, BMP or WebP file, turned the way the camera was held, on white where it is
/// transparent.
///
/// Takes `image` bytes \[1\]; gives `picture` u8 \[h, w, 3\]: rows of red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeImage {
    /// The most pixels; a picture that has more is refused before it is decoded; 40 million unless set.
    pub pixels_max: usize,
}

impl Default for DecodeImage {
    fn default() -> Self {
        Self { pixels_max: 40_000_000 }
    }
}

impl DecodeImage {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        Ok(Self { pixels_max: reader.count("pixels_max", 1)?.unwrap_or(usual.pixels_max) })
    }

    pub(crate) fn load(&self, kind: &'static str) -> TensorModel {
        let signature = Signature {
            inputs: vec![spec("image", DType::Bytes, [Dim::Fixed(1)])],
            outputs: vec![picture_spec()],
        };
        // A decoder goes to its end; the limit on pixels says how far that is.
        model(kind, Interrupt::Never, signature, Decoder { pixels_max: self.pixels_max })
    }
}

struct Decoder {
    pixels_max: usize,
}

impl Compute for Decoder {
    fn run(&self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let [bytes] = input(inputs, "image")?.elements::<Bytes>()? else {
            return Err(ModelError::invalid_input("expected one picture").at("image"));
        };
        let picture = self.decode(bytes)?;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let pixels = Tensor::new(&[height, width, 3], on_white(picture))?;
        Ok(Tensors::new().with("picture", pixels))
    }
}

impl Decoder {
    fn decode(&self, bytes: &[u8]) -> Result<DynamicImage, ModelError> {
        let refused = |error: ImageError| {
            let message = format!("is not a picture that can be read: {error}; PNG, JPEG, BMP and WebP can");
            ModelError::invalid_input(message).at("image").caused_by(error)
        };
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let mut decoder = reader.map_err(|error| refused(error.into()))?.into_decoder().map_err(refused)?;
        let (width, height) = decoder.dimensions();
        let (pixels, most) = (u64::from(width) * u64::from(height), self.pixels_max as u64);
        if pixels > most {
            let message = format!("has {width} x {height} pixels; the most is {most}: shrink it");
            return Err(ModelError::invalid_input(message).at("image"));
        }
        let mut limits = ::image::Limits::default();
        limits.max_alloc = Some(pixels * PIXEL_BYTES_MAX + DECODER_BYTES);
        decoder.set_limits(limits).map_err(refused)?;
        // Cameras write down how they were held.
        let orientation = decoder.orientation().map_err(refused)?;
        let mut picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    }
}

/// What shows when a transparent picture lies on white paper.
fn on_white(picture: DynamicImage) -> Vec<u8> {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let opaque = |pixel: &::image::Rgba<u8>| {
        let [.., alpha] = pixel.0.map(u16::from);
        [0, 1, 2].map(|at| ((u16::from(pixel.0[at]) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
    };
    picture.into_rgba8().pixels().flat_map(opaque).collect()
}

#[cfg(test)]
mod tests {
    use ::image::{ImageFormat, RgbaImage};
    use unruffled_model::{Bytes, ModelErrorKind, Tensor, Tensors};

    use super::DecodeImage;
    use crate::model::answer;

    fn request(bytes: Vec<u8>) -> Tensors {
        Tensors::new().with("image", Tensor::new(&[1], vec![Bytes::from(bytes)]).unwrap())
    }

    fn file(width: u32, pixels: &[[u8; 4]], format: ImageFormat) -> Vec<u8> {
        let picture = RgbaImage::from_raw(width, pixels.len() as u32 / width, pixels.concat()).unwrap();
        let mut out = std::io::Cursor::new(Vec::new());
        match format {
            ImageFormat::Jpeg => {
                ::image::DynamicImage::from(picture).into_rgb8().write_to(&mut out, format).unwrap();
            }
            _ => picture.write_to(&mut out, format).unwrap(),
        }
        out.into_inner()
    }

    #[track_caller]
    fn check(bytes: Vec<u8>, shape: &[usize], pixels: &[u8], slack: u8) {
        let out = answer(&DecodeImage::default().load("decode-image"), request(bytes)).unwrap();
        let picture = out.get("picture").unwrap();
        assert_eq!(picture.shape(), shape);
        let given = picture.elements::<u8>().unwrap();
        assert!(given.iter().zip(pixels).all(|(a, b)| a.abs_diff(*b) <= slack), "{given:?}");
    }

    #[track_caller]
    fn check_refused(options: &DecodeImage, bytes: Vec<u8>, begin: &str) {
        let error = answer(&options.load("decode-image"), request(bytes)).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(begin), "{error}");
    }

    #[test]
    fn every_format_gives_its_pixels() {
        let pixels = [[255, 0, 0, 255], [0, 0, 255, 255]];
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            check(file(2, &pixels, format), &[1, 2, 3], &[255, 0, 0, 0, 0, 255], 0);
        }
        check(file(2, &[[90, 90, 90, 255]; 4], ImageFormat::Jpeg), &[2, 2, 3], &[90; 12], 2);
        let half = [[0, 0, 0, 0], [0, 0, 0, 128], [200, 100, 0, 255]];
        let expected = [255, 255, 255, 127, 127, 127, 200, 100, 0];
        check(file(3, &half, ImageFormat::Png), &[1, 3, 3], &expected, 0);
    }

    #[test]
    fn the_way_the_camera_was_held_is_honoured() {
        // A JPEG of 16 x 8, dark on its left half, with an Exif note that it was taken with the camera on its side.
        let row: Vec<_> =
            (0..16).map(|x| if x < 8 { [20, 20, 20, 255] } else { [220, 220, 220, 255] }).collect();
        let plain = file(16, &row.repeat(8), ImageFormat::Jpeg);
        let orientation = [
            &b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"[..],
            &b"\0\x06\0\0\0\0\0\0"[..],
        ];
        let turned = [&plain[..2], &orientation.concat(), &plain[2..]].concat();
        let out = answer(&DecodeImage::default().load("decode-image"), request(turned)).unwrap();
        let picture = out.get("picture").unwrap();
        assert_eq!(picture.shape(), [16, 8, 3], "it stands upright now");
        let pixels = picture.elements::<u8>().unwrap();
        assert!(pixels[0] < 60 && pixels[pixels.len() - 1] > 180, "dark above, bright below");
    }

    #[test]
    fn what_is_no_picture_or_broken_is_refused() {
        let usual = DecodeImage::default();
        check_refused(&usual, b"no picture at all".to_vec(), "`image`: is not a picture that can be read");
        check_refused(&usual, Vec::new(), "`image`: is not a picture that can be read");
        let mut cut = file(64, &[[7, 9, 200, 255]; 64 * 64], ImageFormat::Png);
        cut.truncate(cut.len() / 2);
        check_refused(&usual, cut, "`image`: is not a picture that can be read");
    }

    #[test]
    fn a_picture_that_is_too_large_is_refused_before_it_is_decoded() {
        let large = file(10, &[[0; 4]; 100], ImageFormat::Png);
        // What follows the header need not even be there.
        let header = large[..60].to_vec();
        for bytes in [large, header] {
            let options = DecodeImage { pixels_max: 99 };
            check_refused(&options, bytes, "`image`: has 10 x 10 pixels; the most is 99: shrink it");
        }
    }
}
