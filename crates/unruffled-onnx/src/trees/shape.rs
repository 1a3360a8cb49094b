//! What is known of a value before anything runs: its element type and its dimensions.

use std::fmt;

use unruffled_model::DType;

/// One dimension of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// The rows of the batch: as many as the caller gives, and each on its own.
    Rows,
    /// Always this size.
    Size(usize),
    /// Known when it runs.
    Any,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) dtype: DType,
    pub(super) dims: Vec<Dim>,
}

impl Type {
    pub(super) fn new(dtype: DType, dims: impl Into<Vec<Dim>>) -> Self {
        Self { dtype, dims: dims.into() }
    }

    /// The axis along which the rows lie.
    pub(super) fn rows_axis(&self) -> Option<usize> {
        self.dims.iter().position(|dim| *dim == Dim::Rows)
    }

    /// The number of columns of rows by columns; `None` if only a run can tell.
    ///
    /// # Errors
    ///
    /// A reason, if it is of another shape.
    pub(super) fn columns(&self) -> Result<Option<usize>, String> {
        match self.dims[..] {
            [Dim::Rows, Dim::Size(columns)] => Ok(Some(columns)),
            [Dim::Rows, Dim::Any] => Ok(None),
            _ => Err(format!("takes rows of columns, not {self}")),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.dtype)?;
        for (i, dim) in self.dims.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match dim {
                Dim::Rows => write!(f, "{comma}rows")?,
                Dim::Size(size) => write!(f, "{comma}{size}")?,
                Dim::Any => write!(f, "{comma}?")?,
            }
        }
        f.write_str("]")
    }
}

/// The product of the sizes that are known.
pub(super) fn known_size(dims: &[Dim]) -> usize {
    let sizes = dims.iter().map(|dim| if let Dim::Size(size) = dim { *size } else { 1 });
    sizes.fold(1, usize::saturating_mul)
}

/// The dimensions of two values that are brought to one shape element by element.
///
/// # Errors
///
/// A reason, if they do not fit, or if rows would meet something other than themselves.
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let dim = |dims: &[Dim], axis: usize| match (axis + dims.len()).checked_sub(rank) {
        Some(own) => dims[own],
        None => Dim::Size(1),
    };
    (0..rank)
        .map(|axis| match (dim(a, axis), dim(b, axis)) {
            (x, y) if x == y => Ok(x),
            (x, Dim::Size(1)) | (Dim::Size(1), x) => Ok(x),
            (Dim::Any, Dim::Size(size)) | (Dim::Size(size), Dim::Any) => Ok(Dim::Size(size)),
            (Dim::Rows, _) | (_, Dim::Rows) => Err("rows meet something other than rows".into()),
            (x, y) => Err(format!("sizes {x:?} and {y:?} do not fit")),
        })
        .collect()
}

/// An axis counted from the end if it is negative.
///
/// # Errors
///
/// A reason, if there is no such axis.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&counted| counted < rank)
        .ok_or_else(|| format!("there is no axis {axis} among {rank}"))
}

#[cfg(test)]
mod tests {
    use super::{Dim, axis, broadcast};

    #[test]
    fn rows_meet_rows_only() {
        use Dim::{Any, Rows, Size};
        assert_eq!(broadcast(&[Rows, Size(3)], &[Size(3)]), Ok(vec![Rows, Size(3)]));
        assert_eq!(broadcast(&[Rows, Size(1)], &[Size(1), Size(4)]), Ok(vec![Rows, Size(4)]));
        assert_eq!(broadcast(&[], &[Rows]), Ok(vec![Rows]));
        assert_eq!(broadcast(&[Rows, Any], &[Size(2)]), Ok(vec![Rows, Size(2)]));
        assert!(broadcast(&[Rows], &[Rows, Size(3)]).is_err(), "rows would meet columns");
        assert!(broadcast(&[Rows, Size(3)], &[Size(2), Size(3)]).is_err());
        assert!(broadcast(&[Size(2)], &[Size(3)]).is_err());
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!((axis(-1, 2), axis(0, 2)), (Ok(1), Ok(0)));
        assert!(axis(2, 2).is_err() && axis(-3, 2).is_err() && axis(i64::MIN, 0).is_err());
    }
}
