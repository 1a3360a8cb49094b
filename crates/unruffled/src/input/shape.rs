//! Which shape is meant when only the elements, or a part of the shape, are given.

use unruffled_model::{Dim, TensorSpec};

use crate::error::Error;

/// The shape of `count` elements written in a row; see [`TensorSpec::shape_of`].
pub(super) fn of_list(spec: &TensorSpec, count: usize) -> Result<Vec<usize>, Error> {
    spec.shape_of(count).map_err(|error| Error::input(error.to_string()))
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

    use super::of_array;

    fn spec(dims: &[Option<usize>]) -> TensorSpec {
        let names = ["batch", "sequence", "third"];
        let dims = dims.iter().enumerate().map(|(at, size)| match size {
            Some(size) => Dim::Fixed(*size),
            None => Dim::Symbolic(names[at].into()),
        });
        TensorSpec::new("x", DType::F32, dims.collect::<Vec<_>>())
    }

    #[test]
    fn an_array_may_leave_out_the_batch() {
        let digits = spec(&[None, Some(8), Some(8)]);
        assert_eq!(of_array(&digits, vec![8, 8]).unwrap(), [1, 8, 8]);
        assert_eq!(of_array(&digits, vec![3, 8, 8]).unwrap(), [3, 8, 8]);
        assert_eq!(of_array(&digits, vec![64]).unwrap(), [1, 8, 8]);
        assert_eq!(of_array(&spec(&[None, None]), vec![]).unwrap(), [1, 1]);
        let refused = of_array(&digits, vec![63]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "63 numbers do not fill x: f32 [batch, 8, 8]; give 64, or a multiple of it for several rows"
        );
        let refused = of_array(&digits, vec![8, 7]).unwrap_err();
        assert_eq!(refused.to_string(), "has the shape [8, 7]; expected x: f32 [batch, 8, 8]");
    }
}
