//! Elements as raw bytes, the form they have in gRPC messages and behind the JSON of a request over HTTP.
//!
//! Little-endian, packed, in row-major order. BOOL is one byte, 0 or 1; each element of BYTES has its length in four bytes
//! before it. Memory is shared wherever it can be: what is read stays a part of the message, if it happens to begin at an
//! address that suits its type, and what is lent lies where the model has put it.

use bytemuck::{NoUninit, Pod, cast_slice, pod_collect_to_vec, try_cast_slice};
use half::{bf16, f16};
use unruffled_model::{Buffer, Bytes, DType, Data, Element, Tensor, element_count};

use crate::datatype;
use crate::error::{ProtocolError, ProtocolErrorKind};

const _: () = assert!(cfg!(target_endian = "little"), "elements are taken as they lie in memory");

/// The bytes of the length before each element of BYTES.
const LENGTH: usize = size_of::<u32>();

/// The tensor whose elements these bytes are; none is copied that need not be.
///
/// # Errors
///
/// `InvalidTensor` if the product of the shape is too large, there are too few bytes or too many, a BOOL is neither 0 nor
/// 1, or the lengths within BYTES lie. Nothing is allocated by what the shape promises alone.
pub fn read(dtype: DType, shape: &[usize], bytes: &Bytes) -> Result<Tensor, ProtocolError> {
    let count = element_count(shape).map_err(|error| invalid(error.to_string()))?;
    if let Some(size) = dtype.size()
        && count.checked_mul(size) != Some(bytes.len())
    {
        let (name, given) = (datatype::name(dtype), bytes.len());
        let takes =
            count.checked_mul(size).map_or("more than there can be".to_owned(), |takes| takes.to_string());
        return Err(invalid(format!("has {given} bytes of data; {name} of shape {shape:?} takes {takes}")));
    }
    match dtype {
        DType::Bool => tensor(shape, booleans(bytes)?),
        DType::U8 => tensor(shape, numbers::<u8>(bytes)),
        DType::U16 => tensor(shape, numbers::<u16>(bytes)),
        DType::U32 => tensor(shape, numbers::<u32>(bytes)),
        DType::U64 => tensor(shape, numbers::<u64>(bytes)),
        DType::I8 => tensor(shape, numbers::<i8>(bytes)),
        DType::I16 => tensor(shape, numbers::<i16>(bytes)),
        DType::I32 => tensor(shape, numbers::<i32>(bytes)),
        DType::I64 => tensor(shape, numbers::<i64>(bytes)),
        DType::F16 => tensor(shape, numbers::<f16>(bytes)),
        DType::BF16 => tensor(shape, numbers::<bf16>(bytes)),
        DType::F32 => tensor(shape, numbers::<f32>(bytes)),
        DType::F64 => tensor(shape, numbers::<f64>(bytes)),
        DType::Bytes => tensor(shape, strings(bytes, count)?.into()),
    }
}

/// How many bytes [`write()`] appends.
pub fn byte_len(tensor: &Tensor) -> usize {
    match tensor.data() {
        Data::Bytes(strings) => strings.iter().map(|string| LENGTH + string.len()).sum(),
        _ => tensor.byte_len(),
    }
}

/// Appends the elements.
///
/// # Errors
///
/// `Unrepresentable` if an element of BYTES has 4 GiB or more.
pub fn write(tensor: &Tensor, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    match in_memory(tensor.data()) {
        Some(bytes) => out.extend_from_slice(bytes),
        None => out.extend_from_slice(&lend(tensor)?),
    }
    Ok(())
}

/// The elements as bytes that share the tensor's memory; only BYTES are copied, to have their lengths among them.
///
/// # Errors
///
/// As [`write()`].
pub fn lend(tensor: &Tensor) -> Result<Bytes, ProtocolError> {
    /// Keeps the tensor for as long as somebody reads its elements.
    struct Lent(Tensor);

    impl AsRef<[u8]> for Lent {
        fn as_ref(&self) -> &[u8] {
            in_memory(self.0.data()).expect("it is lent only if it has such elements")
        }
    }

    match tensor.elements::<Bytes>() {
        Ok(strings) => packed(strings, byte_len(tensor)),
        Err(_) => Ok(Bytes::from_owner(Lent(tensor.clone()))),
    }
}

/// The elements as they lie in memory, unless they are byte strings.
fn in_memory(data: &Data) -> Option<&[u8]> {
    fn cast<T: NoUninit>(elements: &[T]) -> Option<&[u8]> {
        Some(cast_slice(elements))
    }
    match data {
        Data::Bool(elements) => cast(elements),
        Data::U8(elements) => cast(elements),
        Data::U16(elements) => cast(elements),
        Data::U32(elements) => cast(elements),
        Data::U64(elements) => cast(elements),
        Data::I8(elements) => cast(elements),
        Data::I16(elements) => cast(elements),
        Data::I32(elements) => cast(elements),
        Data::I64(elements) => cast(elements),
        Data::F16(elements) => cast(elements),
        Data::BF16(elements) => cast(elements),
        Data::F32(elements) => cast(elements),
        Data::F64(elements) => cast(elements),
        Data::Bytes(_) => None,
    }
}

fn tensor<T: Element>(shape: &[usize], elements: Buffer<T>) -> Result<Tensor, ProtocolError> {
    Tensor::new(shape, elements).map_err(|error| invalid(error.to_string()))
}

fn invalid(message: String) -> ProtocolError {
    ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)
}

/// The bytes as whole numbers of this type, where they lie if that suits the type.
fn numbers<T: Pod + Send + Sync>(bytes: &Bytes) -> Buffer<T> {
    /// Bytes that begin at an address that suits the type, and are of whole elements.
    struct Aligned(Bytes);

    impl<T: Pod> AsRef<[T]> for Aligned {
        fn as_ref(&self) -> &[T] {
            cast_slice(&self.0)
        }
    }

    match try_cast_slice::<u8, T>(bytes) {
        Ok(_) => Buffer::from_owner(Aligned(bytes.clone())),
        Err(_) => pod_collect_to_vec::<u8, T>(bytes).into(),
    }
}

fn booleans(bytes: &[u8]) -> Result<Buffer<bool>, ProtocolError> {
    let read = |(index, byte): (usize, &u8)| match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(invalid(format!("element {index} is the byte {byte}; BOOL takes 0 or 1"))),
    };
    Ok(bytes.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?.into())
}

/// Byte strings as parts of the message that they come in.
fn strings(bytes: &Bytes, count: usize) -> Result<Vec<Bytes>, ProtocolError> {
    let least = count.checked_mul(LENGTH);
    if least.is_none_or(|least| least > bytes.len()) {
        let given = bytes.len();
        let message = format!(
            "has {given} bytes of data, too few for {count} elements: each of BYTES has its length in {LENGTH} bytes before it"
        );
        return Err(invalid(message));
    }
    let mut strings = Vec::with_capacity(count);
    let mut at = 0;
    for index in 0..count {
        let rest = &bytes[at..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else {
            let left = rest.len();
            return Err(invalid(format!(
                "the data end before element {index} of {count}: {left} bytes are left"
            )));
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > rest.len() {
            let left = rest.len();
            return Err(invalid(format!("element {index} claims {length} bytes, but {left} are left")));
        }
        let start = at + LENGTH;
        at = start + length;
        strings.push(bytes.slice(start..at));
    }
    match bytes.len() - at {
        0 => Ok(strings),
        surplus => Err(invalid(format!("has {surplus} bytes of data after the last of {count} elements"))),
    }
}

fn packed(strings: &[Bytes], byte_len: usize) -> Result<Bytes, ProtocolError> {
    let mut out = Vec::with_capacity(byte_len);
    for (index, string) in strings.iter().enumerate() {
        let length = u32::try_from(string.len()).map_err(|_| {
            let message = format!("element {index} has {} bytes; BYTES takes less than 4 GiB", string.len());
            ProtocolError::new(ProtocolErrorKind::Unrepresentable, message)
        })?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(string);
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;
    use unruffled_model::{Bytes, DType, Tensor};

    use super::{byte_len, lend, read, write};

    fn written(tensor: &Tensor) -> Bytes {
        let mut out = Vec::new();
        write(tensor, &mut out).unwrap();
        assert_eq!(out.len(), byte_len(tensor));
        assert_eq!(lend(tensor).unwrap(), out);
        out.into()
    }

    #[track_caller]
    fn refused(dtype: DType, shape: &[usize], bytes: impl AsRef<[u8]>, message: &str) {
        let refused = read(dtype, shape, &Bytes::copy_from_slice(bytes.as_ref())).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }

    #[test]
    fn every_element_type_has_the_bytes_of_the_protocol() {
        let text = vec![Bytes::from_static(b"a\0\xff"), Bytes::new()];
        let cases: [(Tensor, &[u8]); 14] = [
            (Tensor::new(&[2], vec![true, false]).unwrap(), &[1, 0]),
            (Tensor::scalar(0xfe_u8), &[0xfe]),
            (Tensor::scalar(0x0102_u16), &[2, 1]),
            (Tensor::scalar(0x0102_0304_u32), &[4, 3, 2, 1]),
            (Tensor::scalar(u64::MAX - 1), &[0xfe, 255, 255, 255, 255, 255, 255, 255]),
            (Tensor::scalar(-2_i8), &[0xfe]),
            (Tensor::scalar(-2_i16), &[0xfe, 0xff]),
            (Tensor::scalar(-2_i32), &[0xfe, 0xff, 0xff, 0xff]),
            (Tensor::scalar(i64::MIN), &[0, 0, 0, 0, 0, 0, 0, 0x80]),
            (Tensor::scalar(f16::from_f32(1.0)), &[0, 0x3c]),
            (Tensor::scalar(bf16::from_f32(1.0)), &[0x80, 0x3f]),
            (Tensor::scalar(1.0_f32), &[0, 0, 0x80, 0x3f]),
            (Tensor::scalar(1.0_f64), &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
            (Tensor::new(&[1, 2], text).unwrap(), b"\x03\0\0\0a\0\xff\0\0\0\0"),
        ];
        for ((tensor, bytes), dtype) in cases.iter().zip(DType::ALL) {
            assert_eq!((tensor.dtype(), &written(tensor)[..]), (dtype, *bytes));
            assert_eq!(read(dtype, tensor.shape(), &Bytes::from_static(bytes)).as_ref(), Ok(tensor));
        }
    }

    #[test]
    fn empty_tensors_have_no_bytes() {
        for dtype in DType::ALL {
            let empty = read(dtype, &[0, 4], &Bytes::new()).unwrap();
            assert_eq!((empty.dtype(), empty.shape(), written(&empty).len()), (dtype, &[0, 4][..], 0));
            assert!(read(dtype, &[0, 4], &Bytes::from_static(&[0])).is_err(), "{dtype}");
        }
    }

    #[test]
    fn bytes_are_neither_too_few_nor_too_many() {
        refused(DType::F32, &[2, 2], [0; 15], "has 15 bytes of data; FP32 of shape [2, 2] takes 16");
        refused(DType::F32, &[2, 2], [0; 17], "has 17 bytes of data; FP32 of shape [2, 2] takes 16");
        refused(DType::I8, &[], [], "has 0 bytes of data; INT8 of shape [] takes 1");
        let most = 1 << 62;
        let message = format!("has 8 bytes of data; FP64 of shape [{most}] takes more than there can be");
        refused(DType::F64, &[most], [0; 8], &message);
        let message = format!("shape [{most}, 4] is too large");
        for dtype in DType::ALL {
            refused(dtype, &[most, 4], [0; 8], &message);
        }
    }

    #[test]
    fn a_truth_value_is_0_or_1() {
        refused(DType::Bool, &[3], [0, 1, 2], "element 2 is the byte 2; BOOL takes 0 or 1");
    }

    #[test]
    fn lengths_that_lie_are_found() {
        let few = "too few for 2 elements: each of BYTES has its length in 4 bytes before it";
        refused(DType::Bytes, &[2], b"\0\0\0\0\0\0\0", &format!("has 7 bytes of data, {few}"));
        refused(DType::Bytes, &[1], b"\x02\0\0\0a", "element 0 claims 2 bytes, but 1 are left");
        let all = "element 0 claims 4294967295 bytes, but 4 are left";
        refused(DType::Bytes, &[1], b"\xff\xff\xff\xffabcd", all);
        let end = "the data end before element 1 of 2: 3 bytes are left";
        refused(DType::Bytes, &[2], b"\x04\0\0\0abcd\0\0\0", end);
        let surplus = "has 1 bytes of data after the last of 1 elements";
        refused(DType::Bytes, &[1], b"\x01\0\0\0ab", surplus);
        let many = usize::MAX;
        let message = format!("has 4 bytes of data, too few for {many} elements: each of BYTES");
        let refused = read(DType::Bytes, &[many], &Bytes::from_static(&[0; 4])).unwrap_err();
        assert!(refused.to_string().starts_with(&message), "{refused}");
    }

    #[test]
    fn memory_is_shared_where_the_address_suits() {
        let all = Bytes::from(vec![0_u8; 64]);
        let start = all.as_ptr().align_offset(8);
        let suits = read(DType::F64, &[2], &all.slice(start..start + 16)).unwrap();
        assert_eq!(suits.elements::<f64>().unwrap().as_ptr().cast(), all[start..].as_ptr());
        let copied = read(DType::F64, &[2], &all.slice(start + 1..start + 17)).unwrap();
        assert_eq!(copied, suits);
        assert_eq!(lend(&suits).unwrap().as_ptr(), all[start..].as_ptr());
        let text = read(DType::Bytes, &[1], &Bytes::from_static(b"\x01\0\0\0a")).unwrap();
        assert_eq!(text.elements::<Bytes>().unwrap(), ["a"]);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            dtype in prop::sample::select(&DType::ALL[..]),
            count in 0_usize..20,
        ) {
            let bytes = Bytes::from(bytes);
            if let Ok(tensor) = read(dtype, &[count], &bytes) {
                prop_assert_eq!(written(&tensor), bytes);
            }
        }
    }
}
