//! [`View`]: the pixels of a picture as tensors hold them.

use unruffled_model::{DType, Dim, ModelError, Tensor, TensorSpec};

use crate::model::{same, spec};

/// The channels that a model wants, and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One: brightness, as the eye sees it.
    Gray,
    /// Three: red, green, blue.
    Rgb,
    /// Three: blue, green, red.
    Bgr,
}

/// How bright the eye takes red, green and blue to be.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Channels::Gray => 1,
            Channels::Rgb | Channels::Bgr => 3,
        }
    }

    /// What red, green and blue are in one of them.
    pub(super) fn value(self, color: [f32; 3], channel: usize) -> f32 {
        match self {
            Channels::Gray => color.iter().zip(LUMA).map(|(part, weight)| part * weight).sum(),
            Channels::Rgb => color[channel],
            Channels::Bgr => color[2 - channel],
        }
    }
}

/// What a picture is between steps: rows of red, green and blue.
pub(super) fn picture_spec() -> TensorSpec {
    spec("picture", DType::U8, [same("h"), same("w"), Dim::Fixed(3)])
}

/// A borrowed picture, neither side of which is 0.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub(super) pixels: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn of(picture: &'a Tensor) -> Result<Self, ModelError> {
        match *picture.shape() {
            [height, width, 3] if height > 0 && width > 0 => {
                Ok(Self { width, height, pixels: picture.elements()? })
            }
            _ => {
                let message = format!("expected pixels as [h, w, 3], got {:?}", picture.shape());
                Err(ModelError::invalid_input(message).at("picture"))
            }
        }
    }

    /// The color at a point; the centre of the first pixel is at 0.5. Beyond the edge it is that of the edge.
    pub(super) fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let (left, right, across) = between(x, self.width);
        let (top, bottom, down) = between(y, self.height);
        let pixel = |row: usize, column: usize| {
            let at = 3 * (row * self.width + column);
            [0, 1, 2].map(|channel| f32::from(self.pixels[at + channel]))
        };
        let corners = [pixel(top, left), pixel(top, right), pixel(bottom, left), pixel(bottom, right)];
        [0, 1, 2].map(|channel| {
            let [nw, ne, sw, se] = corners.map(|pixel| pixel[channel]);
            let (upper, lower) = (nw + across * (ne - nw), sw + across * (se - sw));
            upper + down * (lower - upper)
        })
    }
}

/// The pixels on either side of a place along a line of `count`, and how far it is from the first to the second.
fn between(place: f32, count: usize) -> (usize, usize, f32) {
    let place = (place - 0.5).clamp(0.0, (count - 1) as f32);
    let first = place as usize;
    (first, (first + 1).min(count - 1), place.fract())
}

#[cfg(test)]
mod tests {
    use unruffled_model::Tensor;

    use super::View;

    #[test]
    fn colors_lie_between_those_of_the_nearest_pixels() {
        let pixels: Vec<u8> = [0, 100, 40, 140].into_iter().flat_map(|value| [value, 7, 255]).collect();
        let picture = Tensor::new(&[2, 2, 3], pixels).unwrap();
        let view = View::of(&picture).unwrap();
        let red = |x, y| view.at(x, y)[0];
        assert_eq!([red(0.5, 0.5), red(1.5, 0.5), red(0.5, 1.5)], [0.0, 100.0, 40.0]);
        assert_eq!([red(1.0, 0.5), red(0.75, 0.5), red(1.0, 1.0)], [50.0, 25.0, 70.0]);
        assert_eq!([red(-9.0, -9.0), red(9.0, 9.0)], [0.0, 140.0]);
        assert_eq!(view.at(1.0, 1.0)[1..], [7.0, 255.0]);
    }

    #[test]
    fn a_picture_without_pixels_is_none() {
        let empty = Tensor::new::<u8>(&[0, 4, 3], vec![]).unwrap();
        let refused = View::of(&empty).err().unwrap();
        assert_eq!(refused.to_string(), "`picture`: expected pixels as [h, w, 3], got [0, 4, 3]");
    }
}
