//! Decodes messages from a file or from memory, believing nothing that the bytes cannot hold.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};

use rten_onnx::protobuf::{DecodeMessage, ErrorKind, Fields, OwnedValues, ProtobufError, ReadValue};
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

/// Checks that every outermost field is there as a whole.
///
/// The decoder takes the end of the bytes for the end of whatever message it is in, so a file that was cut off would pass
/// for a shorter model.
fn check_whole<R: ReadValue>(mut reader: R) -> Result<(), ProtobufError> {
    let mut fields = Fields::new(&mut reader, None);
    while let Some(mut field) = fields.next()? {
        field.skip()?;
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

    use super::Reader;

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
