//! From an `.npy` file, as NumPy writes them, to elements and their shape.

use npyz::{DType as NpyDType, Deserialize, NpyFile, Order, TypeChar};

use super::elements::{Elements, Number};
use crate::error::Error;

/// How deep a header may nest, which is read by recursion: types of records may have records in them.
const NESTING_MAX: usize = 16;

/// The numbers of a file and their shape.
pub(super) fn read(bytes: &[u8]) -> Result<(Elements, Vec<usize>), Error> {
    let refused = |error: std::io::Error| {
        Error::input(format!("is not an .npy file that can be read: {error}; write it with numpy.save"))
            .caused_by(error)
    };
    let Some(header) = header(bytes) else {
        return Err(Error::input("is cut off; copy it again"));
    };
    if nesting(header) > NESTING_MAX {
        return Err(Error::input("has a header that no array has; write it with numpy.save"));
    }
    let file = NpyFile::new(bytes).map_err(refused)?;
    let shape: Vec<usize> =
        file.shape().iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
    let count = unruffled_model::element_count(&shape)?;
    if file.order() == Order::Fortran && shape.len() > 1 {
        let message = "is in Fortran order; save it with numpy.save(file, numpy.ascontiguousarray(array))";
        return Err(Error::input(message));
    }
    let dtype = file.dtype();
    let NpyDType::Plain(kind) = &dtype else {
        return Err(Error::input("holds records; give an array of numbers"));
    };
    let size = usize::try_from(kind.size_field()).unwrap_or(usize::MAX);
    // A header may promise more than there is: nothing is allocated by its word.
    if count.saturating_mul(size) > bytes.len() {
        return Err(Error::input("is cut off; copy it again"));
    }
    let numbers = match (kind.type_char(), size) {
        (TypeChar::Bool, 1) => integers::<bool>(file),
        (TypeChar::Int, 1) => integers::<i8>(file),
        (TypeChar::Int, 2) => integers::<i16>(file),
        (TypeChar::Int, 4) => integers::<i32>(file),
        (TypeChar::Int, 8) => integers::<i64>(file),
        (TypeChar::Uint, 1) => integers::<u8>(file),
        (TypeChar::Uint, 2) => integers::<u16>(file),
        (TypeChar::Uint, 4) => integers::<u32>(file),
        (TypeChar::Uint, 8) => integers::<u64>(file),
        (TypeChar::Float, 2) => floats(file, half::f16::to_f64),
        (TypeChar::Float, 4) => floats(file, |float: f32| f64::from(float)),
        (TypeChar::Float, 8) => floats(file, |float: f64| float),
        _ => {
            let message =
                format!("holds elements of type {}; give integers, floats or truth values", dtype.descr());
            return Err(Error::input(message));
        }
    };
    Ok((Elements::Numbers(numbers.map_err(refused)?), shape))
}

/// The text behind the magic bytes, the version and its own length, which has two bytes in the first version and four since. None if
/// the file ends before: whoever reads it makes room for what the length says. Empty if it is no such file.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = match bytes.strip_prefix(b"\x93NUMPY") {
        Some([1, _, a, b, rest @ ..]) => (u32::from_le_bytes([*a, *b, 0, 0]), rest),
        Some([_, _, a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => return Some(&[]),
    };
    rest.get(..length as usize)
}

/// How deep brackets nest at most; those within texts count too, which makes no difference for a header.
fn nesting(header: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in header {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn integers<T: Deserialize + Into<i128>>(file: NpyFile<&[u8]>) -> std::io::Result<Vec<Number>> {
    let values = file.into_vec::<T>()?;
    Ok(values.into_iter().map(|value| Number::Integer(value.into())).collect())
}

fn floats<T: Deserialize>(file: NpyFile<&[u8]>, wide: impl Fn(T) -> f64) -> std::io::Result<Vec<Number>> {
    let values = file.into_vec::<T>()?;
    Ok(values.into_iter().map(|value| Number::Float(wide(value))).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use unruffled_model::DType;

    use super::read;

    #[test]
    fn recorded_arrays_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/conformance");
        let bytes = std::fs::read(folder.join("ints/wide/in.large.npy")).unwrap();
        let (elements, shape) = read(&bytes).unwrap();
        let tensor = elements.into_tensor(DType::I64, &shape).unwrap();
        assert_eq!(
            (tensor.shape(), tensor.elements::<i64>().unwrap()),
            (&[1, 3][..], &[1 << 40, -(1 << 40), 1 << 31][..])
        );
    }

    #[test]
    fn what_is_no_array_is_refused() {
        assert!(read(b"hello").unwrap_err().to_string().contains("numpy.save"));
        let mut text = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        text.extend(
            format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999,), }").bytes(),
        );
        assert_eq!(read(&text).unwrap_err().to_string(), "is cut off; copy it again");
        let long = b"\x93NUMPY\x03\x00\x76\x00\x0d\x7b'descr'";
        assert_eq!(read(long).unwrap_err().to_string(), "is cut off; copy it again");
        let mut deep = b"\x93NUMPY\x02\x00\x40\x42\x0f\x00".to_vec();
        deep.extend(vec![b'('; 1_000_000]);
        let told = read(&deep).unwrap_err().to_string();
        assert_eq!(told, "has a header that no array has; write it with numpy.save");
    }
}
