//! Decodes messages from a file or from memory, believing nothing that the bytes cannot hold.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};

use rten_onnx::protobuf::{DecodeMessage, ErrorKind, OwnedValues, ProtobufError, ReadValue};
use unruffled_model::ModelSource;

/// Reads a message of type `M`.
///
/// # Errors
///
/// The outer one if the source cannot be read, the inner one if it is no such message.
pub(super) fn decode<M>(source: &ModelSource) -> io::Result<Result<M, ProtobufError>>
where
    M: DecodeMessage<Types = OwnedValues>,
{
    match source {
        ModelSource::Memory(bytes) => {
            let open = || Reader::new(Cursor::new(bytes), bytes.len() as u64);
            Ok(check_whole(open()).and_then(|()| M::decode(open())))
        }
        ModelSource::File(path) => {
            let open = || {
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                Ok::<_, io::Error>(Reader::new(BufReader::new(file), length))
            };
            let (first, second) = (open()?, open()?);
            Ok(check_whole(first).and_then(|()| M::decode(second)))
        }
    }
}

/// How deep messages may lie in each other; protobuf's own readers have the same limit.
const DEPTH_MAX: usize = 100;

/// The messages that may hold others of their kind, at some remove.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Value,
    Type,
    /// A sequence, a map or an optional, whose own type stands in field 1 or 2.
    Compound,
}

impl Kind {
    /// What lies in a field, if it may hold more; the numbers are those of `onnx.proto`.
    fn within(self, field: u64) -> Option<Kind> {
        match (self, field) {
            (Kind::Model, 7) | (Kind::Attribute, 6 | 11) => Some(Kind::Graph),
            (Kind::Graph, 1) => Some(Kind::Node),
            (Kind::Graph, 11..=13) => Some(Kind::Value),
            (Kind::Node, 5) => Some(Kind::Attribute),
            (Kind::Attribute, 14 | 15) | (Kind::Value, 2) | (Kind::Compound, 1 | 2) => Some(Kind::Type),
            (Kind::Type, 4 | 5 | 9) => Some(Kind::Compound),
            _ => None,
        }
    }
}

/// Checks that every field is there as a whole, and that messages do not lie in each other without end.
///
/// The decoder takes the end of the bytes for the end of whatever message it is in, so that a file that was cut off would
/// pass for a shorter model; and it goes as deep as the file does, which may be deeper than the stack.
fn check_whole<R: BufRead + Seek>(mut reader: Reader<R>) -> Result<(), ProtobufError> {
    let end = reader.end;
    check_message(&mut reader, Kind::Model, end, 0)
}

fn check_message<R: BufRead + Seek>(
    reader: &mut Reader<R>,
    kind: Kind,
    end: u64,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > DEPTH_MAX {
        let why = format!("its graphs or types lie more than {DEPTH_MAX} deep in each other");
        return Err(ProtobufError::new(ErrorKind::IoError(io::Error::other(why))));
    }
    while reader.position < end {
        let tag = reader.read_varint()?;
        let len = match tag & 7 {
            0 => {
                reader.read_varint()?;
                continue;
            }
            1 => 8,
            2 => reader.read_varint()?,
            5 => 4,
            _ => return Err(ProtobufError::new(ErrorKind::InvalidWireType)),
        };
        if len > end.saturating_sub(reader.position) {
            return Err(ProtobufError::new(ErrorKind::Eof));
        }
        match kind.within(tag >> 3).filter(|_| tag & 7 == 2) {
            Some(inner) => check_message(reader, inner, reader.position + len, depth + 1)?,
            None => reader.skip(usize::try_from(len).map_err(|_| ProtobufError::new(ErrorKind::Eof))?)?,
        }
    }
    Ok(())
}

/// A reader that knows how many bytes there are, so that a length beyond them is an error and no allocation.
///
/// That of rten-onnx believes lengths, and never returns from an integer of too many bytes. What this one has read, that
/// one can read too.
struct Reader<R> {
    inner: R,
    position: u64,
    end: u64,
}

impl<R: BufRead + Seek> Reader<R> {
    fn new(inner: R, length: u64) -> Self {
        Self { inner, position: 0, end: length }
    }

    /// Moves on by `len` bytes, if there are so many.
    fn advance(&mut self, len: usize) -> Result<(), ProtobufError> {
        if len as u64 > self.end.saturating_sub(self.position) {
            return Err(ProtobufError::new(ErrorKind::Eof));
        }
        self.position += len as u64;
        Ok(())
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let mut bytes = [0; N];
        self.advance(N)?;
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: BufRead + Seek> ReadValue for Reader<R> {
    type Types = OwnedValues;

    fn read_i32(&mut self) -> Result<i32, ProtobufError> {
        self.read().map(i32::from_le_bytes)
    }

    fn read_i64(&mut self) -> Result<i64, ProtobufError> {
        self.read().map(i64::from_le_bytes)
    }

    fn read_varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.read()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ProtobufError::new(ErrorKind::InvalidVarint))
    }

    fn read_bytes(&mut self, len: usize) -> Result<Vec<u8>, ProtobufError> {
        self.advance(len)?;
        let mut bytes = vec![0; len];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_string(&mut self, len: usize) -> Result<String, ProtobufError> {
        let bytes = self.read_bytes(len)?;
        String::from_utf8(bytes).map_err(|_| ProtobufError::new(ErrorKind::InvalidUtf8))
    }

    fn skip(&mut self, len: usize) -> Result<(), ProtobufError> {
        self.advance(len)?;
        Ok(self.inner.seek_relative(len as i64)?)
    }

    fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rten_onnx::protobuf::{ErrorKind, ReadValue};

    use super::{Reader, check_whole};

    /// Messages in each other, each in the field of the next, the innermost being empty.
    fn nested(fields: impl DoubleEndedIterator<Item = u8>) -> Vec<u8> {
        fields.rev().fold(Vec::new(), |inner, field| {
            let mut outer = vec![field << 3 | 2];
            let mut len = inner.len();
            while len >= 0x80 {
                outer.push(len as u8 | 0x80);
                len >>= 7;
            }
            outer.push(len as u8);
            [outer, inner].concat()
        })
    }

    #[track_caller]
    fn check_depth(bytes: &[u8], is_sound: bool) {
        let checked = check_whole(Reader::new(Cursor::new(bytes), bytes.len() as u64));
        assert_eq!(checked.is_ok(), is_sound, "{checked:?}");
    }

    #[test]
    fn graphs_and_types_do_not_nest_without_end() {
        // Graph, and then node, attribute and graph again and again.
        let graphs = |levels: usize| nested([7].into_iter().chain([1, 5, 6].repeat(levels)));
        check_depth(&graphs(30), true);
        check_depth(&graphs(100_000), false);
        // An input whose type is a sequence of sequences.
        let types = |levels: usize| nested([7, 11, 2].into_iter().chain([4, 1].repeat(levels)));
        check_depth(&types(40), true);
        check_depth(&types(100_000), false);
    }

    fn varint(bytes: &[u8]) -> Result<u64, ErrorKindName> {
        let mut reader = Reader::new(Cursor::new(bytes), bytes.len() as u64);
        reader.read_varint().map_err(|error| match error.kind() {
            ErrorKind::Eof => "eof",
            ErrorKind::InvalidVarint => "invalid",
            _ => "other",
        })
    }

    type ErrorKindName = &'static str;

    #[test]
    fn integers_of_any_length_come_to_an_end() {
        assert_eq!(varint(&[0x96, 0x01]), Ok(150));
        assert_eq!(varint(&[0xff; 12]), Err("invalid"));
        assert_eq!(varint(&[0x80; 10]), Err("invalid"));
        assert_eq!(varint(&[0x80; 3]), Err("eof"));
        let max = [[0xff; 9].as_slice(), &[0x01]].concat();
        assert_eq!(varint(&max), Ok(u64::MAX));
        let over = [[0xff; 9].as_slice(), &[0x02]].concat();
        assert_eq!(varint(&over), Err("invalid"));
    }
}
