//! Pictures: in as pixels, and out as boxes of text and what is in them.

mod view;

#[cfg(feature = "image")]
mod decode;
#[cfg(feature = "image")]
mod resize;

mod geometry;
mod regions;

mod text_boxes;

mod warp;

mod crop;

pub use crop::{Crop, CropOutput};
pub use text_boxes::TextBoxes;
pub use view::Channels;

#[cfg(feature = "image")]
pub use decode::DecodeImage;
#[cfg(feature = "image")]
pub use resize::Resize;
