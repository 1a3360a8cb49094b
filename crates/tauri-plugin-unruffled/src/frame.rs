//! Frames: tensors and what is said of them as one run of bytes, both ways.
//!
//! Four bytes say, the least first, how long the JSON is that follows; spaces fill it up to a multiple of eight. Each tensor that
//! it mentions begins at the next multiple of eight, so that the page looks at elements where they lie.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tauri::ipc::InvokeBody;
use unruffled::{Tensor, Tensors};
use unruffled_protocol::{datatype, raw};

use crate::error::Error;

/// The bytes that say how long the JSON is.
const PREFIX: usize = 4;

/// Where tensors begin: at multiples of this.
const ALIGNMENT: usize = 8;

/// What is said of a tensor in the JSON.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Head {
    name: String,
    datatype: String,
    shape: Vec<usize>,
    bytes: usize,
}

/// A frame that came: its JSON, and the tensors that have not been taken yet.
pub(crate) struct Reader {
    body: Bytes,
    at: usize,
}

/// The bytes of a body, and whether they came as numbers in JSON: the slow way, which Tauri takes for the rest of a page's
/// life when the fast one failed once.
pub(crate) fn bytes(body: &InvokeBody) -> Result<(Bytes, bool), Error> {
    match body {
        InvokeBody::Raw(body) => Ok((Bytes::copy_from_slice(body), false)),
        InvokeBody::Json(Value::Array(numbers)) => {
            let byte = |number: &Value| number.as_u64().and_then(|byte| u8::try_from(byte).ok());
            let body: Option<Vec<u8>> = numbers.iter().map(byte).collect();
            body.map(|body| (body.into(), true))
                .ok_or_else(|| Error::invalid("a body of numbers has one that is no byte"))
        }
        InvokeBody::Json(_) => Err(Error::invalid("this command takes a frame of bytes, not JSON")),
    }
}

impl Reader {
    /// Reads the JSON of a frame.
    pub(crate) fn open<T: DeserializeOwned>(body: Bytes) -> Result<(T, Self), Error> {
        let prefix = body.first_chunk::<PREFIX>().map(|prefix| u32::from_le_bytes(*prefix));
        let length = prefix.and_then(|length| usize::try_from(length).ok());
        let end = length.and_then(|length| length.checked_add(PREFIX)).filter(|end| *end <= body.len());
        let Some(end) = end else {
            let message =
                format!("a frame of {} bytes begins with four that say how long its JSON is", body.len());
            return Err(Error::invalid(message));
        };
        let head = serde_json::from_slice(&body[PREFIX..end])
            .map_err(|error| Error::invalid(format!("the JSON of a frame cannot be read: {error}")))?;
        Ok((head, Self { body, at: end }))
    }

    /// Takes the next tensors.
    pub(crate) fn tensors(&mut self, heads: Vec<Head>) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        for head in heads {
            let begin = self.at.next_multiple_of(ALIGNMENT);
            let end = begin.checked_add(head.bytes).filter(|end| *end <= self.body.len());
            let Some(end) = end else {
                return Err(Error::invalid(format!(
                    "tensor `{}` is said to have {} bytes; the frame ends before",
                    head.name, head.bytes
                )));
            };
            let in_tensor = |error: unruffled_protocol::ProtocolError| {
                Error::invalid(format!("tensor `{}`: {error}", head.name))
            };
            let dtype = datatype::parse(&head.datatype).map_err(in_tensor)?;
            let tensor = raw::read(dtype, &head.shape, &self.body.slice(begin..end)).map_err(in_tensor)?;
            if tensors.get(&head.name).is_some() {
                return Err(Error::invalid(format!("tensor `{}` is there twice", head.name)));
            }
            tensors.insert(head.name, tensor);
            self.at = end;
        }
        Ok(tensors)
    }
}

/// A frame that is being made: the tensors that its JSON mentions, in order.
#[derive(Default)]
pub(crate) struct Writer {
    tensors: Vec<Bytes>,
}

impl Writer {
    /// Adds tensors, and gives what the JSON is to say of them.
    pub(crate) fn add(&mut self, tensors: &Tensors) -> Result<Value, Error> {
        let heads: Result<Vec<Value>, Error> =
            tensors.iter().map(|(name, tensor)| self.add_one(name, tensor)).collect();
        Ok(heads?.into())
    }

    fn add_one(&mut self, name: &str, tensor: &Tensor) -> Result<Value, Error> {
        let bytes = raw::lend(tensor)?;
        let head = json!({
            "name": name,
            "datatype": datatype::name(tensor.dtype()),
            "shape": tensor.shape(),
            "bytes": bytes.len(),
        });
        self.tensors.push(bytes);
        Ok(head)
    }

    /// The bytes of its tensors so far.
    pub(crate) fn byte_len(&self) -> usize {
        self.tensors.iter().map(Bytes::len).sum()
    }

    /// The frame.
    pub(crate) fn finish(self, head: &Value) -> Vec<u8> {
        let json = head.to_string();
        let begin = (PREFIX + json.len()).next_multiple_of(ALIGNMENT);
        let padded = self.tensors.iter().map(|tensor| tensor.len().next_multiple_of(ALIGNMENT));
        let mut frame = Vec::with_capacity(begin + padded.sum::<usize>());
        let length = u32::try_from(begin - PREFIX).expect("what is said of tensors takes no gigabytes");
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(json.as_bytes());
        frame.resize(begin, b' ');
        for tensor in &self.tensors {
            frame.resize(frame.len().next_multiple_of(ALIGNMENT), 0);
            frame.extend_from_slice(tensor);
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use tauri::ipc::InvokeBody;
    use unruffled::{Tensor, Tensors};

    use super::{Head, Reader, Writer, bytes};

    #[derive(Debug, serde::Deserialize)]
    struct Said {
        tensors: Vec<Head>,
    }

    fn framed(tensors: &Tensors) -> Vec<u8> {
        let mut writer = Writer::default();
        let heads = writer.add(tensors).unwrap();
        writer.finish(&json!({ "tensors": heads }))
    }

    #[test]
    fn tensors_cross_as_they_are() {
        let odd = Tensor::new(&[3], vec![1_u8, 2, 3]).unwrap();
        let texts = Tensor::new(&[2], vec![Bytes::new(), Bytes::from("a boat")]).unwrap();
        let tensors = Tensors::new()
            .with("odd", odd)
            .with("none", Tensor::new(&[0, 4], Vec::<f32>::new()).unwrap())
            .with("x", Tensor::new(&[2, 2], vec![1.0_f64, f64::NAN, -0.0, 4.5]).unwrap())
            .with("texts", texts);
        let frame = framed(&tensors);
        let (said, mut reader): (Said, _) = Reader::open(frame.into()).unwrap();
        let read = reader.tensors(said.tensors).unwrap();
        assert_eq!(format!("{read:?}"), format!("{tensors:?}"));
        assert_eq!(read.len(), 4);
    }

    #[test]
    fn numbers_are_taken_as_bytes() {
        let tensors = Tensors::new().with("x", Tensor::new(&[1], vec![7_i64]).unwrap());
        let frame = framed(&tensors);
        let (raw, was_slow) = bytes(&InvokeBody::Raw(frame.clone())).unwrap();
        assert!(!was_slow && raw == frame);
        let (numbers, was_slow) = bytes(&InvokeBody::Json(json!(frame))).unwrap();
        assert!(was_slow && numbers == frame);
        for bad in [json!([1, 256]), json!([-1]), json!(["1"]), json!({}), json!(null)] {
            assert_eq!(bytes(&InvokeBody::Json(bad)).unwrap_err().code(), "invalid_input");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let open = |body: Vec<u8>| Reader::open::<Said>(body.into()).map(drop).unwrap_err().to_string();
        assert!(open(vec![]).contains("0 bytes"));
        assert!(open(vec![1, 0, 0]).contains("3 bytes"));
        assert!(open(vec![255, 255, 255, 255, b'{']).contains("how long"));
        assert!(open(vec![2, 0, 0, 0, b'{', b'}']).contains("missing field `tensors`"));
        let lies = |head: serde_json::Value| {
            let frame = Writer::default().finish(&json!({ "tensors": [head] }));
            let (said, mut reader): (Said, _) = Reader::open(frame.into()).unwrap();
            reader.tensors(said.tensors).unwrap_err().to_string()
        };
        let of = |datatype: &str, shape: &[u64], bytes: u64| json!({ "name": "x", "datatype": datatype, "shape": shape, "bytes": bytes });
        assert!(lies(of("FP32", &[1], 4)).contains("`x` is said to have 4 bytes"));
        assert!(lies(of("FP32", &[1], u64::MAX)).contains("ends before"));
        assert!(lies(of("float", &[0], 0)).contains("`x`: "));
        assert!(lies(of("FP32", &[u64::MAX, u64::MAX], 0)).contains("`x`: "));
    }
}
