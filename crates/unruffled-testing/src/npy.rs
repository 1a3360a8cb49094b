//! Tensors in NumPy's file format (`.npy`): what `numpy.save` writes and `numpy.load` reads.
//!
//! Little-endian booleans, integers and floats in row-major order, and byte strings of one length, which are read without
//! the zeros at their end and not written. NumPy has no `bf16`.

use std::path::Path;

use half::f16;
use unruffled_model::{Bytes, DType, Data, Element, ModelError, Tensor, element_count};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads a tensor from the bytes of a file.
///
/// # Errors
///
/// `InvalidInput` if they are no such file, are cut off, or hold what is not read here.
pub fn read(bytes: &[u8]) -> Result<Tensor, ModelError> {
    let (header, elements) = split(bytes).ok_or_else(|| invalid("it does not begin as a .npy file does"))?;
    let header = std::str::from_utf8(header).map_err(|_| invalid("its header is not text"))?;
    if field(header, "fortran_order")? != "False" {
        return Err(invalid(
            "its elements are in column-major order; save it with `numpy.ascontiguousarray`",
        ));
    }
    let shape = field(header, "shape")?
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().map_err(|_| invalid(format!("it has a dimension of size {size}"))))
        .collect::<Result<Vec<usize>, _>>()?;
    match field(header, "descr")?.trim_matches(['\'', '"']) {
        "|b1" => tensor(&shape, elements, |[byte]| byte != 0),
        "|u1" => tensor(&shape, elements, u8::from_le_bytes),
        "|i1" => tensor(&shape, elements, i8::from_le_bytes),
        "<u2" => tensor(&shape, elements, u16::from_le_bytes),
        "<u4" => tensor(&shape, elements, u32::from_le_bytes),
        "<u8" => tensor(&shape, elements, u64::from_le_bytes),
        "<i2" => tensor(&shape, elements, i16::from_le_bytes),
        "<i4" => tensor(&shape, elements, i32::from_le_bytes),
        "<i8" => tensor(&shape, elements, i64::from_le_bytes),
        "<f2" => tensor(&shape, elements, f16::from_le_bytes),
        "<f4" => tensor(&shape, elements, f32::from_le_bytes),
        "<f8" => tensor(&shape, elements, f64::from_le_bytes),
        other => match other.strip_prefix("|S").and_then(|length| length.parse().ok()) {
            Some(length) => strings(&shape, elements, length),
            None => Err(invalid(format!("its elements are `{other}`, which is not read here"))),
        },
    }
}

/// Strings that were filled up with zeros to one length.
fn strings(shape: &[usize], bytes: &[u8], length: usize) -> Result<Tensor, ModelError> {
    let count = element_count(shape)?;
    if count.checked_mul(length) != Some(bytes.len()) {
        let given = bytes.len();
        return Err(invalid(format!("it has {given} bytes of elements for shape {shape:?}")));
    }
    let string = |i: usize| {
        let filled = &bytes[i * length..(i + 1) * length];
        let end = filled.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Bytes::copy_from_slice(&filled[..end])
    };
    Tensor::new(shape, (0..count).map(string).collect::<Vec<_>>())
}

/// Reads a tensor from a file.
///
/// # Errors
///
/// `InvalidInput` that names the file, also if it cannot be opened.
pub fn read_file(path: &Path) -> Result<Tensor, ModelError> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        ModelError::invalid_input(format!("cannot be read: {error}")).at(&name()).caused_by(error)
    })?;
    read(&bytes).map_err(|error| error.at(&name()))
}

/// The bytes of a file that holds `tensor`.
///
/// # Errors
///
/// `Unsupported` for `bf16` and byte strings.
pub fn write(tensor: &Tensor) -> Result<Vec<u8>, ModelError> {
    fn bytes<T: Copy, const N: usize>(elements: &[T], to_le_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        elements.iter().flat_map(|&element| to_le_bytes(element)).collect()
    }
    let (descr, elements) = match tensor.data() {
        Data::Bool(buffer) => ("|b1", bytes(buffer, |x| [u8::from(x)])),
        Data::U8(buffer) => ("|u1", buffer.to_vec()),
        Data::I8(buffer) => ("|i1", bytes(buffer, i8::to_le_bytes)),
        Data::U16(buffer) => ("<u2", bytes(buffer, u16::to_le_bytes)),
        Data::U32(buffer) => ("<u4", bytes(buffer, u32::to_le_bytes)),
        Data::U64(buffer) => ("<u8", bytes(buffer, u64::to_le_bytes)),
        Data::I16(buffer) => ("<i2", bytes(buffer, i16::to_le_bytes)),
        Data::I32(buffer) => ("<i4", bytes(buffer, i32::to_le_bytes)),
        Data::I64(buffer) => ("<i8", bytes(buffer, i64::to_le_bytes)),
        Data::F16(buffer) => ("<f2", bytes(buffer, f16::to_le_bytes)),
        Data::F32(buffer) => ("<f4", bytes(buffer, f32::to_le_bytes)),
        Data::F64(buffer) => ("<f8", bytes(buffer, f64::to_le_bytes)),
        Data::BF16(_) | Data::Bytes(_) => {
            let dtype: DType = tensor.dtype();
            return Err(ModelError::unsupported(format!("a .npy file holds no {dtype}")));
        }
    };
    let sizes: String = tensor.shape().iter().map(|size| format!("{size}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // The elements begin at a multiple of 64; the header ends with a new line.
    let length = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    let mut file = [MAGIC, &[1, 0], &(length as u16).to_le_bytes()].concat();
    file.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    file.extend(elements);
    Ok(file)
}

fn invalid(why: impl Into<String>) -> ModelError {
    ModelError::invalid_input(format!("not a .npy file that can be read: {}", why.into()))
}

/// The header and the elements.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    match *rest {
        [1, _, a, b, ref rest @ ..] => rest.split_at_checked(u16::from_le_bytes([a, b]).into()),
        [2 | 3, _, a, b, c, d, ref rest @ ..] => {
            rest.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize)
        }
        _ => None,
    }
}

/// The value of one key of the header, which is a Python dictionary of three fixed keys.
fn field<'a>(header: &'a str, key: &str) -> Result<&'a str, ModelError> {
    let find = || {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        let rest = rest.trim_start();
        let end = match rest.starts_with('(') {
            true => rest.find(')')? + 1,
            false => rest.find([',', '}'])?,
        };
        Some(rest[..end].trim_end())
    };
    find().ok_or_else(|| invalid(format!("its header has no `{key}`")))
}

fn tensor<T: Element, const N: usize>(
    shape: &[usize],
    bytes: &[u8],
    from_le_bytes: impl Fn([u8; N]) -> T,
) -> Result<Tensor, ModelError> {
    let (elements, rest) = bytes.as_chunks::<N>();
    if elements.len() != element_count(shape)? || !rest.is_empty() {
        let given = bytes.len();
        return Err(invalid(format!("it has {given} bytes of elements for shape {shape:?}")));
    }
    let elements: Vec<T> = elements.iter().map(|&bytes| from_le_bytes(bytes)).collect();
    Tensor::new(shape, elements)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use unruffled_model::{Bytes, Element, Tensor};

    use super::{read, write};

    #[track_caller]
    fn check_round_trip<T: Element>(shape: &[usize], elements: &[T]) {
        let tensor = Tensor::new(shape, elements.to_vec()).unwrap();
        let file = write(&tensor).unwrap();
        assert_eq!(read(&file).unwrap(), tensor);
        assert_eq!((file.len() - tensor.byte_len()) % 64, 0, "NumPy aligns the elements");
    }

    #[test]
    fn every_type_comes_back() {
        check_round_trip(&[2], &[true, false]);
        check_round_trip(&[1, 2], &[0_u8, 255]);
        check_round_trip(&[2, 1], &[i8::MIN, i8::MAX]);
        check_round_trip(&[], &[u16::MAX]);
        check_round_trip(&[2], &[u32::MAX, 1]);
        check_round_trip(&[2], &[u64::MAX, 1]);
        check_round_trip(&[2], &[i16::MIN, 1]);
        check_round_trip(&[2], &[i32::MIN, 1]);
        check_round_trip(&[2], &[i64::MIN, 1]);
        check_round_trip(&[1], &[f16::MIN]);
        check_round_trip(&[3], &[f32::INFINITY, -0.0, 1e-40]);
        check_round_trip(&[2, 1, 1], &[f64::MAX, 1.0]);
        check_round_trip::<f32>(&[0, 7], &[]);
        assert!(write(&Tensor::scalar(bf16::ONE)).is_err());
    }

    #[test]
    fn strings_lose_what_filled_them_up() {
        let header = "{'descr': '|S3', 'fortran_order': False, 'shape': (3,), }";
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.bytes());
        file.extend(b"abca\0\0\0\0\0");
        let strings = [Bytes::from_static(b"abc"), Bytes::from_static(b"a"), Bytes::new()];
        assert_eq!(read(&file).unwrap(), Tensor::new(&[3], strings.to_vec()).unwrap());
        file.pop();
        assert!(read(&file).is_err());
    }

    #[track_caller]
    fn check_refused(header: &str, elements: &[u8], reason: &str) {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.bytes());
        file.extend(elements);
        let message = read(&file).unwrap_err().to_string();
        assert_eq!(message, format!("not a .npy file that can be read: {reason}"));
    }

    #[test]
    fn what_is_not_read_is_said() {
        let header = |descr, order, shape| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        check_refused(&header("<f4", "False", "(2,)"), &[0; 7], "it has 7 bytes of elements for shape [2]");
        check_refused(
            &header(">f4", "False", "(1,)"),
            &[0; 4],
            "its elements are `>f4`, which is not read here",
        );
        check_refused(&header("<f4", "False", "(-1,)"), &[], "it has a dimension of size -1");
        check_refused("{}", &[], "its header has no `fortran_order`");
        assert!(read(&write(&Tensor::scalar(1_u8)).unwrap()[..40]).is_err());
        assert!(read(b"").is_err());
    }
}
