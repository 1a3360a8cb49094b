//! Frames on the socket between this process and a worker: a prefix, a header in JSON, and bytes.

use std::ops::Range;

/// Both sides must speak the same version.
pub(crate) const VERSION: u8 = 1;

/// Kind, version, two bytes of nothing, length of the header, length of the body; little-endian.
const PREFIX: usize = 12;
const HEADER_MAX: usize = 16 << 20;
const BODY_MAX: usize = 4 << 20;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the worker: what to load.
    Load = 1,
    /// To the worker: what to run.
    Run = 2,
    /// To the worker: the last output of a stream has been read, go on.
    More = 3,
    /// From the worker: it is up.
    Hello = 16,
    /// From the worker: the model is loaded, and this is what it is.
    Loaded = 17,
    /// From the worker: why it is not.
    Unloadable = 18,
    /// From the worker: a run is over, with these outputs.
    Done = 19,
    /// From the worker: one output of several.
    Item = 20,
    /// From the worker: a run is over without outputs, and why.
    Error = 21,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{Done, Error, Hello, Item, Load, Loaded, More, Run, Unloadable};
        [Load, Run, More, Hello, Loaded, Unloadable, Done, Item, Error]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One frame, still in the buffer that it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) header: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// Where the parts of a frame are in the bytes that begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    kind: Kind,
    header: Range<usize>,
    body: Range<usize>,
}

impl Layout {
    pub(crate) fn frame<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        Frame { kind: self.kind, header: &bytes[self.header.clone()], body: &bytes[self.body.clone()] }
    }

    pub(crate) fn end(&self) -> usize {
        self.body.end
    }
}

/// How far the bytes go that have come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So many bytes are needed from the start, at least.
    Needs(usize),
    /// A frame is complete.
    Whole(Layout),
}

/// Reads as much of a frame as there is. Nothing is allocated, whatever the bytes say.
pub(crate) fn parse(bytes: &[u8]) -> Result<Progress, String> {
    let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Ok(Progress::Needs(PREFIX)) };
    let [kind, version, _, _, rest @ ..] = *prefix;
    if version != VERSION {
        return Err(format!(
            "speaks version {version} of the worker protocol, this program version {VERSION}"
        ));
    }
    let [h0, h1, h2, h3, b0, b1, b2, b3] = rest;
    let length = |bytes: [u8; 4]| u32::from_le_bytes(bytes) as usize;
    let (header, body) = (length([h0, h1, h2, h3]), length([b0, b1, b2, b3]));
    if header > HEADER_MAX || body > BODY_MAX {
        return Err(format!("announced a frame of {header} and {body} bytes"));
    }
    let kind = Kind::from_byte(kind).ok_or_else(|| format!("sent a frame of the unknown kind {kind}"))?;
    let (split, end) = (PREFIX + header, PREFIX + header + body);
    if bytes.len() < end {
        return Ok(Progress::Needs(end));
    }
    Ok(Progress::Whole(Layout { kind, header: PREFIX..split, body: split..end }))
}

/// Writes a frame.
///
/// # Errors
///
/// If header or body are larger than the other side would take.
pub(crate) fn write(into: &mut Vec<u8>, kind: Kind, header: &[u8], body: &[u8]) -> Result<(), String> {
    if header.len() > HEADER_MAX || body.len() > BODY_MAX {
        let (header, body) = (header.len(), body.len());
        return Err(format!("a frame of {header} and {body} bytes is too large"));
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("limited just now").to_le_bytes();
    into.extend_from_slice(&[kind as u8, VERSION, 0, 0]);
    into.extend_from_slice(&length(header));
    into.extend_from_slice(&length(body));
    into.extend_from_slice(header);
    into.extend_from_slice(body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Kind, Progress, parse, write};

    fn frame(kind: Kind, header: &[u8], body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, header, body).unwrap();
        bytes
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], message: &str) {
        assert_eq!(parse(bytes), Err(message.to_owned()));
    }

    #[test]
    fn nonsense_is_refused() {
        check_refused(&[1; 12], "announced a frame of 16843009 and 16843009 bytes");
        check_refused(
            &[16, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "speaks version 9 of the worker protocol, this program version 1",
        );
        check_refused(&[99, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "sent a frame of the unknown kind 99");
        assert!(write(&mut Vec::new(), Kind::Run, &[], &vec![0; 5 << 20]).is_err());
    }

    proptest! {
        #[test]
        fn frames_come_back_whole(header in prop::collection::vec(any::<u8>(), 0..50), body in prop::collection::vec(any::<u8>(), 0..50)) {
            let bytes = frame(Kind::Done, &header, &body);
            for end in 0..bytes.len() {
                prop_assert!(matches!(parse(&bytes[..end]), Ok(Progress::Needs(need)) if need > end && need <= bytes.len()));
            }
            let Ok(Progress::Whole(layout)) = parse(&bytes) else { panic!("it is whole") };
            let read = layout.frame(&bytes);
            prop_assert_eq!((read.kind, read.header, read.body), (Kind::Done, &header[..], &body[..]));
            prop_assert_eq!(layout.end(), bytes.len());
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            match parse(&bytes) {
                Ok(Progress::Whole(layout)) => {
                    layout.frame(&bytes);
                }
                Ok(Progress::Needs(need)) => prop_assert!(need > bytes.len()),
                Err(message) => prop_assert!(!message.is_empty()),
            }
        }
    }
}
