//! Which shape is meant when only the elements, or a part of the shape, are given.

use unruffled_model::{Dim, TensorSpec};

use crate::error::Error;

/// The shape of `count` elements written in a row: unknown sizes follow from their number, and an unknown first
/// dimension beside others is a batch of one.
pub(super) fn of_list(spec: &TensorSpec, count: usize) -> Result<Vec<usize>, Error> {
    let Some(dims) = &spec.dims else {
        return Ok(vec![count]);
    };
    let unknown: Vec<usize> = (0..dims.len()).filter(|at| !matches!(dims[*at], Dim::Fixed(_))).collect();
    let known: usize = dims.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 }).product();
    let solved = match unknown.as_slice() {
        [] => None,
        [one] => Some(*one),
        [0, other] => Some(*other),
        _ => {
            let message = format!(
                "{count} numbers in a row do not tell the shape; write nested arrays, as in [[1,2],[3,4]], or give an .npy file; expected {spec}"
            );
            return Err(Error::input(message));
        }
    };
    let given = match count {
        1 => "1 number does".into(),
        _ => format!("{count} numbers do"),
    };
    let size = match solved {
        None if count == known => 1,
        Some(_) if known > 0 && count > 0 && count.is_multiple_of(known) => count / known,
        Some(0) => {
            let message =
                format!("{given} not fill {spec}; give {known}, or a multiple of it for several rows");
            return Err(Error::input(message));
        }
        Some(_) => {
            return Err(Error::input(format!("{given} not fill {spec}; give a multiple of {known}")));
        }
        None => {
            return Err(Error::input(format!("{given} not fill {spec}; give {known}")));
        }
    };
    let shape = dims.iter().enumerate().map(|(at, dim)| match dim {
        Dim::Fixed(size) => *size,
        _ if Some(at) == solved => size,
        _ => 1,
    });
    Ok(shape.collect())
}

/// The shape of an array that was given with one: a missing batch dimension is added, and flat lists are filled in.
pub(super) fn of_array(spec: &TensorSpec, given: Vec<usize>) -> Result<Vec<usize>, Error> {
    let Some(dims) = &spec.dims else { return Ok(given) };
    if given.len() == 1 && dims.len() != 1 || given.is_empty() && !dims.is_empty() {
        return of_list(spec, given.iter().product());
    }
    let mut shape = given.clone();
    if shape.len() + 1 == dims.len() && !matches!(dims[0], Dim::Fixed(size) if size != 1) {
        shape.insert(0, 1);
    }
    let fits = shape.len() == dims.len()
        && dims.iter().zip(&shape).all(|(dim, size)| match dim {
            Dim::Fixed(expected) => expected == size,
            _ => true,
        });
    if fits { Ok(shape) } else { Err(Error::input(format!("has the shape {given:?}; expected {spec}"))) }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{DType, Dim, TensorSpec};

    use super::{of_array, of_list};

    fn spec(dims: &[Option<usize>]) -> TensorSpec {
        let names = ["batch", "sequence", "third"];
        let dims = dims.iter().enumerate().map(|(at, size)| match size {
            Some(size) => Dim::Fixed(*size),
            None => Dim::Symbolic(names[at].into()),
        });
        TensorSpec::new("x", DType::F32, dims.collect::<Vec<_>>())
    }

    #[track_caller]
    fn check_list(dims: &[Option<usize>], count: usize, expected: Result<&[usize], &str>) {
        let shape = of_list(&spec(dims), count).map_err(|error| error.to_string());
        assert_eq!(shape.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_list_fills_what_is_not_known() {
        check_list(&[None, Some(8), Some(8)], 64, Ok(&[1, 8, 8]));
        check_list(&[None, Some(8), Some(8)], 128, Ok(&[2, 8, 8]));
        check_list(&[None, None], 5, Ok(&[1, 5]));
        check_list(&[Some(1), Some(4)], 4, Ok(&[1, 4]));
        check_list(&[], 1, Ok(&[]));
        check_list(&[None], 3, Ok(&[3]));
        check_list(
            &[None, Some(8), Some(8)],
            63,
            Err("63 numbers do not fill x: f32 [batch, 8, 8]; give 64, or a multiple of it for several rows"),
        );
        check_list(&[Some(2), Some(3)], 5, Err("5 numbers do not fill x: f32 [2, 3]; give 6"));
        check_list(
            &[None, None, None],
            5,
            Err(
                "5 numbers in a row do not tell the shape; write nested arrays, as in [[1,2],[3,4]], or give an .npy file; expected x: f32 [batch, sequence, third]",
            ),
        );
    }

    #[test]
    fn an_array_may_leave_out_the_batch() {
        let digits = spec(&[None, Some(8), Some(8)]);
        assert_eq!(of_array(&digits, vec![8, 8]).unwrap(), [1, 8, 8]);
        assert_eq!(of_array(&digits, vec![3, 8, 8]).unwrap(), [3, 8, 8]);
        assert_eq!(of_array(&digits, vec![64]).unwrap(), [1, 8, 8]);
        assert_eq!(of_array(&spec(&[None, None]), vec![]).unwrap(), [1, 1]);
        let refused = of_array(&digits, vec![8, 7]).unwrap_err();
        assert_eq!(refused.to_string(), "has the shape [8, 7]; expected x: f32 [batch, 8, 8]");
    }
}
