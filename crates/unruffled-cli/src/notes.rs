//! What is said about inputs and outputs, and about what is kept of them, in a few words.

use unruffled::SequenceSpec;
use unruffled::config::{AudioInput, Color, Decode, FileInput, ImageInput, InputSource, OutputConfig};

/// What an input is made from.
pub(crate) fn source(from: &InputSource) -> String {
    match from {
        InputSource::Image(settings) => image(settings),
        InputSource::Audio(settings) => audio(settings),
        InputSource::File(settings) => file(settings),
    }
}

fn image(image: &ImageInput) -> String {
    let size = match (image.width, image.height) {
        (Some(width), Some(height)) => format!(", stretched to {width} x {height}"),
        (Some(width), None) => format!(", {width} wide"),
        (None, Some(height)) => format!(", {height} high"),
        (None, None) => String::new(),
    };
    let most = image.side_max.map_or(String::new(), |side| format!(", at most {side} a side"));
    let multiple =
        image.multiple.map_or(String::new(), |multiple| format!(", sides in multiples of {multiple}"));
    let color = match image.color {
        Color::Gray => "gray",
        Color::Rgb => "in colour",
        Color::Bgr => "in colour, blue first",
    };
    format!("from a picture, {color}{size}{most}{multiple}")
}

fn audio(audio: &AudioInput) -> String {
    let samples = audio.samples.map_or(String::new(), |samples| format!(", {samples} samples"));
    format!("from a WAV file, at {} Hz{samples}", audio.rate)
}

fn file(file: &FileInput) -> String {
    format!("from any file: its first {} and last {} bytes", file.begin, file.end)
}

pub(crate) fn output(output: &OutputConfig) -> String {
    let labels =
        output.labels.as_ref().map_or("no labels".into(), |labels| format!("{} labels", labels.len()));
    match output.decode {
        Decode::Ctc => format!("text of {labels}"),
        Decode::Classes => labels,
    }
}

/// What sessions keep.
pub(crate) fn kept(sequence: &SequenceSpec) -> String {
    let fed = sequence.feedback().iter().map(|fed| match fed.output == fed.input {
        true => format!("{} comes back", fed.output),
        false => format!("{} comes back as {}", fed.output, fed.input),
    });
    let overlap = sequence.overlap().iter();
    let before =
        overlap.map(|overlap| format!("the last {} of {} before the next", overlap.elements, overlap.input));
    fed.chain(before).collect::<Vec<_>>().join(", ")
}
