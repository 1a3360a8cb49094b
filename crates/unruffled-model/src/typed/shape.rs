//! Which shape is meant when only the elements are given.

use crate::error::ModelError;
use crate::signature::{Dim, TensorSpec};

impl TensorSpec {
    /// The shape of `count` elements in a row: unknown sizes follow from their number, and an unknown first dimension beside
    /// others is a batch of one.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that says how many elements would do, or that their number alone does not tell.
    pub fn shape_of(&self, count: usize) -> Result<Vec<usize>, ModelError> {
        let Some(dims) = &self.dims else {
            return Ok(vec![count]);
        };
        let unknown: Vec<usize> = (0..dims.len()).filter(|at| !matches!(dims[*at], Dim::Fixed(_))).collect();
        let known: usize =
            dims.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 }).product();
        let solved = match unknown.as_slice() {
            [] => None,
            [one] => Some(*one),
            [0, other] => Some(*other),
            _ => {
                return Err(ModelError::invalid_input(format!(
                    "{count} numbers in a row do not tell the shape; give an array that has one, as in [[1,2],[3,4]]; \
                     expected {self}"
                )));
            }
        };
        let given = match count {
            1 => "1 number does".into(),
            _ => format!("{count} numbers do"),
        };
        let wanted = match solved {
            None if count == known => None,
            Some(_) if known > 0 && count > 0 && count.is_multiple_of(known) => None,
            Some(0) => Some(format!("{known}, or a multiple of it for several rows")),
            Some(_) => Some(format!("a multiple of {known}")),
            None => Some(known.to_string()),
        };
        if let Some(wanted) = wanted {
            return Err(ModelError::invalid_input(format!("{given} not fill {self}; give {wanted}")));
        }
        let shape = dims.iter().enumerate().map(|(at, dim)| match dim {
            Dim::Fixed(size) => *size,
            _ if Some(at) == solved => count / known,
            _ => 1,
        });
        Ok(shape.collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::dtype::DType;
    use crate::signature::{Dim, TensorSpec};

    #[track_caller]
    fn check(dims: &[Option<usize>], count: usize, expected: Result<&[usize], &str>) {
        let names = ["batch", "sequence", "third"];
        let dims = dims.iter().enumerate().map(|(at, size)| match size {
            Some(size) => Dim::Fixed(*size),
            None => Dim::Symbolic(names[at].into()),
        });
        let spec = TensorSpec::new("x", DType::F32, dims.collect::<Vec<_>>());
        let shape = spec.shape_of(count).map_err(|error| error.to_string());
        assert_eq!(shape.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_list_fills_what_is_not_known() {
        check(&[None, Some(8), Some(8)], 64, Ok(&[1, 8, 8]));
        check(&[None, Some(8), Some(8)], 128, Ok(&[2, 8, 8]));
        check(&[None, None], 5, Ok(&[1, 5]));
        check(&[Some(1), Some(4)], 4, Ok(&[1, 4]));
        check(&[], 1, Ok(&[]));
        check(&[None], 3, Ok(&[3]));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        check(
            &[None, Some(8), Some(8)],
            63,
            Err("63 numbers do not fill x: f32 [batch, 8, 8]; give 64, or a multiple of it for several rows"),
        );
        check(&[Some(2), Some(3)], 5, Err("5 numbers do not fill x: f32 [2, 3]; give 6"));
        check(
            &[None, Some(2), None],
            1,
            Err("1 number does not fill x: f32 [batch, 2, third]; give a multiple of 2"),
        );
        check(
            &[None, None, None],
            5,
            Err(
                "5 numbers in a row do not tell the shape; give an array that has one, as in [[1,2],[3,4]]; expected x: f32 \
                 [batch, sequence, third]",
            ),
        );
    }
}
