//! Tensors as bytes: a frame of names, types, shapes and elements, little-endian, without a copy too many.

use half::{bf16, f16};
use unruffled_model::{Bytes, DType, Data, Tensor, Tensors};

use super::payload::{JobData, JobInput, Payload};
use crate::error::{Error, ErrorKind};

/// The media type of [`Tensors`] in a payload. The number is that of the format.
pub const TENSORS: &str = "application/x-unruffled-tensors; version=1";

/// What every frame begins with; the last byte is the format's number.
const MAGIC: [u8; 4] = *b"uft\x01";

/// More dimensions than any model has.
const DIMENSIONS_MAX: usize = 64;

/// More tensors than any model takes or gives.
const TENSORS_MAX: usize = 4096;

impl JobData for Tensors {
    fn to_payload(&self) -> Result<Payload, Error> {
        let mut frame = Vec::with_capacity(self.payload_bytes());
        frame.extend(MAGIC);
        if self.len() > TENSORS_MAX {
            let message = format!("{} tensors are more than a job can have: {TENSORS_MAX}", self.len());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        put_u32(&mut frame, self.len())?;
        for (name, tensor) in self.iter() {
            put_text(&mut frame, name.as_bytes())?;
            frame.push(code(tensor.dtype()));
            put_u32(&mut frame, tensor.shape().len())?;
            tensor.shape().iter().for_each(|&size| frame.extend((size as u64).to_le_bytes()));
            put_elements(&mut frame, tensor.data())?;
        }
        Ok(Payload::new(TENSORS, frame))
    }

    fn from_payload(payload: &Payload) -> Result<Self, Error> {
        if &*payload.kind != TENSORS {
            let message = format!("the payload of a job is `{}`, not tensors (`{TENSORS}`)", payload.kind);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        read(&payload.bytes).ok_or_else(|| {
            let bytes = payload.bytes.len();
            let message =
                format!("the payload of a job is no frame of tensors: {bytes} bytes, cut or damaged");
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    fn payload_bytes(&self) -> usize {
        let heads: usize = self.iter().map(|(name, tensor)| name.len() + 8 * tensor.shape().len() + 16).sum();
        heads + self.byte_len() + 8
    }
}

impl JobInput for Tensors {
    type Output = Tensors;
}

fn code(dtype: DType) -> u8 {
    let at = DType::ALL.iter().position(|known| *known == dtype);
    at.expect("all of them are listed") as u8
}

fn put_u32(frame: &mut Vec<u8>, number: usize) -> Result<(), Error> {
    let number = u32::try_from(number).map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("{number} is more than a frame of tensors can count"))
    })?;
    frame.extend(number.to_le_bytes());
    Ok(())
}

fn put_text(frame: &mut Vec<u8>, text: &[u8]) -> Result<(), Error> {
    put_u32(frame, text.len())?;
    frame.extend_from_slice(text);
    Ok(())
}

/// Appends numbers: the loop that compilers make one copy of.
macro_rules! put_numbers {
    ($frame:expr, $elements:expr) => {{
        let begin = $frame.len();
        let size = $elements.first().map_or(0, size_of_val);
        $frame.resize(begin + size * $elements.len(), 0);
        if size > 0 {
            for (place, element) in $frame[begin..].chunks_exact_mut(size).zip($elements.iter()) {
                place.copy_from_slice(&element.to_le_bytes());
            }
        }
    }};
}

fn put_elements(frame: &mut Vec<u8>, data: &Data) -> Result<(), Error> {
    match data {
        Data::Bool(elements) => frame.extend(elements.iter().map(|&element| u8::from(element))),
        Data::U8(elements) => frame.extend_from_slice(elements),
        Data::U16(elements) => put_numbers!(frame, elements),
        Data::U32(elements) => put_numbers!(frame, elements),
        Data::U64(elements) => put_numbers!(frame, elements),
        Data::I8(elements) => put_numbers!(frame, elements),
        Data::I16(elements) => put_numbers!(frame, elements),
        Data::I32(elements) => put_numbers!(frame, elements),
        Data::I64(elements) => put_numbers!(frame, elements),
        Data::F16(elements) => put_numbers!(frame, elements),
        Data::BF16(elements) => put_numbers!(frame, elements),
        Data::F32(elements) => put_numbers!(frame, elements),
        Data::F64(elements) => put_numbers!(frame, elements),
        Data::Bytes(elements) => elements.iter().try_for_each(|element| put_text(frame, element))?,
    }
    Ok(())
}

/// The tensors of a frame; `None` if it is not one. Nothing is reserved that the frame does not hold.
fn read(frame: &Bytes) -> Option<Tensors> {
    let mut rest = Rest { frame, at: 0 };
    if rest.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let count = rest.u32().filter(|count| *count <= TENSORS_MAX)?;
    let mut tensors = Tensors::new();
    for _ in 0..count {
        let name = rest.text()?;
        let name = std::str::from_utf8(&frame[name]).ok()?;
        let tensor = rest.tensor()?;
        if tensors.get(name).is_some() {
            return None;
        }
        tensors.insert(name, tensor);
    }
    (rest.at == frame.len()).then_some(tensors)
}

/// What of a frame is still to be read.
struct Rest<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl Rest<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let part = self.frame.get(self.at..end)?;
        self.at = end;
        Some(part)
    }

    fn u32(&mut self) -> Option<usize> {
        self.take(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four were taken")) as usize)
    }

    fn u64(&mut self) -> Option<usize> {
        let bytes = self.take(8)?.try_into().expect("eight were taken");
        u64::from_le_bytes(bytes).try_into().ok()
    }

    /// Where a text of any bytes stands.
    fn text(&mut self) -> Option<std::ops::Range<usize>> {
        let length = self.u32()?;
        self.take(length)?;
        Some(self.at - length..self.at)
    }

    fn tensor(&mut self) -> Option<Tensor> {
        let dtype = *DType::ALL.get(usize::from(self.take(1)?[0]))?;
        let dimensions = self.u32().filter(|count| *count <= DIMENSIONS_MAX)?;
        let shape = (0..dimensions).map(|_| self.u64()).collect::<Option<Vec<_>>>()?;
        let count = unruffled_model::element_count(&shape).ok()?;
        macro_rules! numbers {
            ($type:ty) => {{
                const SIZE: usize = size_of::<$type>();
                let bytes = self.take(count.checked_mul(SIZE)?)?.chunks_exact(SIZE);
                let number =
                    |bytes: &[u8]| <$type>::from_le_bytes(bytes.try_into().expect("chunks are exact"));
                Tensor::new(&shape, bytes.map(number).collect::<Vec<_>>())
            }};
        }
        let tensor = match dtype {
            DType::Bool => {
                let bytes = self.take(count)?;
                let elements: Option<Vec<bool>> =
                    bytes.iter().map(|byte| [false, true].get(usize::from(*byte)).copied()).collect();
                Tensor::new(&shape, elements?)
            }
            DType::U8 => numbers!(u8),
            DType::U16 => numbers!(u16),
            DType::U32 => numbers!(u32),
            DType::U64 => numbers!(u64),
            DType::I8 => numbers!(i8),
            DType::I16 => numbers!(i16),
            DType::I32 => numbers!(i32),
            DType::I64 => numbers!(i64),
            DType::F16 => numbers!(f16),
            DType::BF16 => numbers!(bf16),
            DType::F32 => numbers!(f32),
            DType::F64 => numbers!(f64),
            DType::Bytes => {
                // Each has a length of its own: a count that the frame cannot hold ends here.
                let elements = (0..count).map(|_| self.text().map(|at| self.frame.slice(at)));
                Tensor::new(&shape, elements.collect::<Option<Vec<Bytes>>>()?)
            }
        };
        tensor.ok()
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use unruffled_model::{Bytes, DType, Tensor, Tensors};

    use super::TENSORS;
    use crate::error::ErrorKind;
    use crate::job::{JobData, Payload};

    fn all() -> Tensors {
        let numbers = DType::ALL.iter().filter(|dtype| dtype.size().is_some());
        let mut all: Tensors = numbers
            .map(|dtype| (dtype.name(), Tensor::from_number(*dtype, 1.0).unwrap().repeated(&[2, 3]).unwrap()))
            .collect();
        let strings = vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(&[0xff, 0])];
        all.insert("bytes", Tensor::new(&[3], strings).unwrap());
        all.insert("scalar", Tensor::scalar(-2.5_f64));
        all.insert("none", Tensor::new::<i64>(&[0, 4], vec![]).unwrap());
        all.insert("halves", Tensor::new(&[2], vec![f16::from_f32(-0.5), f16::MAX]).unwrap());
        all.insert("brain", Tensor::new(&[1], vec![bf16::from_f32(3.0)]).unwrap());
        all.insert("", Tensor::new(&[2], vec![u64::MAX, 1]).unwrap());
        all
    }

    #[test]
    fn every_type_comes_back_as_it_was() {
        for tensors in [all(), Tensors::new()] {
            let payload = tensors.to_payload().unwrap();
            assert_eq!(&*payload.kind, TENSORS);
            assert!(payload.bytes.len() <= tensors.payload_bytes(), "the room was reserved at once");
            assert_eq!(Tensors::from_payload(&payload).unwrap(), tensors);
        }
    }

    /// The bytes are on disks: they do not change.
    #[test]
    fn the_format_stays() {
        let tensors = Tensors::new().with("x", Tensor::new(&[2], vec![1_i16, -2]).unwrap());
        let frame = tensors.to_payload().unwrap().bytes;
        let expected = [
            &b"uft\x01\x01\0\0\0"[..],
            b"\x01\0\0\0x",
            b"\x06\x01\0\0\0\x02\0\0\0\0\0\0\0",
            b"\x01\0\xfe\xff",
        ];
        assert_eq!(frame, expected.concat());
    }

    #[test]
    fn a_cut_or_damaged_frame_is_refused_and_never_panics() {
        let whole = all().to_payload().unwrap().bytes;
        let refused = |bytes: Vec<u8>| Tensors::from_payload(&Payload::new(TENSORS, bytes)).unwrap_err();
        for end in 0..whole.len() {
            let error = refused(whole[..end].to_vec());
            assert!(error.to_string().contains("cut or damaged"), "{error}");
        }
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let mut damaged = whole.to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..damaged.len());
                damaged[at] = random.u8(..);
            }
            // What still is a frame is one; no other end is allowed.
            let _ = Tensors::from_payload(&Payload::new(TENSORS, damaged));
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(refused(longer).kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn another_kind_is_named() {
        let error = Tensors::from_payload(&Payload::new("image/png", vec![])).unwrap_err();
        assert!(error.to_string().starts_with("the payload of a job is `image/png`, not tensors"), "{error}");
    }
}
