//! Elements of tensors to and from the bytes that both sides share.

use std::io;

use bytemuck::Pod;
use unruffled_model::{Bytes, DType, Data, Element, Tensor};

/// The element type of this name.
pub(crate) fn dtype_by_name(name: &str) -> Result<DType, String> {
    let known = DType::ALL.into_iter().find(|dtype| dtype.name() == name);
    known.ok_or_else(|| format!("named `{name}`, which is no element type"))
}

/// The bytes that the elements take on their way: byte strings have their length before them.
pub(crate) fn byte_len(tensor: &Tensor) -> usize {
    match tensor.data() {
        Data::Bytes(strings) => strings.iter().map(|string| size_of::<u32>() + string.len()).sum(),
        _ => tensor.byte_len(),
    }
}

/// Has `put` take the bytes of the elements, which are as they are in memory, but for byte strings.
pub(crate) fn put(tensor: &Tensor, put: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
    use bytemuck::cast_slice;
    match tensor.data() {
        Data::Bool(elements) => put(cast_slice(elements)),
        Data::U8(elements) => put(elements),
        Data::U16(elements) => put(cast_slice(elements)),
        Data::U32(elements) => put(cast_slice(elements)),
        Data::U64(elements) => put(cast_slice(elements)),
        Data::I8(elements) => put(cast_slice(elements)),
        Data::I16(elements) => put(cast_slice(elements)),
        Data::I32(elements) => put(cast_slice(elements)),
        Data::I64(elements) => put(cast_slice(elements)),
        Data::F16(elements) => put(cast_slice(elements)),
        Data::BF16(elements) => put(cast_slice(elements)),
        Data::F32(elements) => put(cast_slice(elements)),
        Data::F64(elements) => put(cast_slice(elements)),
        Data::Bytes(strings) => {
            let mut packed = Vec::with_capacity(byte_len(tensor));
            for string in strings.iter() {
                let length = u32::try_from(string.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
                packed.extend_from_slice(&length.to_le_bytes());
                packed.extend_from_slice(string);
            }
            put(&packed)
        }
    }
}

/// A tensor of `shape`, whose `size` bytes `fill` brings. The size must fit the shape, and be known to be there: it is
/// allocated.
pub(crate) fn take(
    dtype: DType,
    shape: &[usize],
    size: usize,
    fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
) -> Result<Tensor, String> {
    let count = unruffled_model::element_count(shape).map_err(|error| error.to_string())?;
    if let Some(each) = dtype.size()
        && count.checked_mul(each) != Some(size)
    {
        return Err(format!("sent {size} bytes for {dtype} {shape:?}"));
    }
    let (count, fill) = (count, Box::new(fill));
    match dtype {
        DType::Bool => {
            let bytes = filled::<u8>(count, fill)?;
            tensor(shape, bytes.into_iter().map(|byte| byte != 0).collect())
        }
        DType::U8 => tensor(shape, filled::<u8>(count, fill)?),
        DType::U16 => tensor(shape, filled::<u16>(count, fill)?),
        DType::U32 => tensor(shape, filled::<u32>(count, fill)?),
        DType::U64 => tensor(shape, filled::<u64>(count, fill)?),
        DType::I8 => tensor(shape, filled::<i8>(count, fill)?),
        DType::I16 => tensor(shape, filled::<i16>(count, fill)?),
        DType::I32 => tensor(shape, filled::<i32>(count, fill)?),
        DType::I64 => tensor(shape, filled::<i64>(count, fill)?),
        DType::F16 => tensor(shape, filled::<half::f16>(count, fill)?),
        DType::BF16 => tensor(shape, filled::<half::bf16>(count, fill)?),
        DType::F32 => tensor(shape, filled::<f32>(count, fill)?),
        DType::F64 => tensor(shape, filled::<f64>(count, fill)?),
        DType::Bytes => tensor(shape, unpacked(&filled::<u8>(size, fill)?, count)?),
    }
}

fn tensor<T: Element>(shape: &[usize], elements: Vec<T>) -> Result<Tensor, String> {
    Tensor::new(shape, elements).map_err(|error| error.to_string())
}

fn filled<T: Pod>(count: usize, fill: impl FnOnce(&mut [u8]) -> io::Result<()>) -> Result<Vec<T>, String> {
    let mut elements = bytemuck::zeroed_vec(count);
    fill(bytemuck::cast_slice_mut(&mut elements))
        .map_err(|error| format!("did not send its tensors: {error}"))?;
    Ok(elements)
}

fn unpacked(bytes: &[u8], count: usize) -> Result<Vec<Bytes>, String> {
    let all = Bytes::copy_from_slice(bytes);
    let mut strings = Vec::with_capacity(count.min(bytes.len() / size_of::<u32>()));
    let mut at = 0;
    while let Some((length, _)) = bytes[at..].split_first_chunk::<4>() {
        let start = at + size_of::<u32>();
        let end = start.saturating_add(u32::from_le_bytes(*length) as usize);
        if end > bytes.len() {
            break;
        }
        strings.push(all.slice(start..end));
        at = end;
    }
    if at == bytes.len() && strings.len() == count {
        Ok(strings)
    } else {
        Err(format!("sent {} whole byte strings of {count}", strings.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unruffled_model::{Bytes, DType, Tensor};

    use super::{byte_len, put, take};

    fn bytes_of(tensor: &Tensor) -> Vec<u8> {
        let mut all = Vec::new();
        put(tensor, |bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        all
    }

    fn round_trip(tensor: &Tensor) -> Result<Tensor, String> {
        let bytes = bytes_of(tensor);
        assert_eq!(bytes.len(), byte_len(tensor));
        take(tensor.dtype(), tensor.shape(), bytes.len(), |into| {
            into.copy_from_slice(&bytes);
            Ok(())
        })
    }

    #[test]
    fn every_element_type_comes_back() {
        for dtype in DType::ALL {
            let tensor = match Tensor::from_number(dtype, 1.0) {
                Ok(scalar) => scalar.repeated(&[2, 3]).unwrap(),
                Err(_) => Tensor::new(&[2], vec![Bytes::from_static(b"a\0b"), Bytes::new()]).unwrap(),
            };
            assert_eq!(round_trip(&tensor), Ok(tensor));
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let refused = take(DType::F32, &[2, 2], 15, |_| Ok(())).unwrap_err();
        assert_eq!(refused, "sent 15 bytes for f32 [2, 2]");
        assert!(take(DType::F32, &[usize::MAX, 2], 16, |_| Ok(())).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_no_byte_string(bytes in prop::collection::vec(any::<u8>(), 0..64), count in 0..usize::MAX) {
            let read = take(DType::Bytes, &[count], bytes.len(), |into| {
                into.copy_from_slice(&bytes);
                Ok(())
            });
            if let Ok(tensor) = read {
                prop_assert_eq!(bytes_of(&tensor), bytes);
            }
        }
    }
}
