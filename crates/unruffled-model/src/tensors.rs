//! [`Tensors`]: tensors by name, what most models take and give.

use std::fmt;
use std::sync::Arc;

use crate::tensor::Tensor;

/// The name of a model, an input or an output; cheap to clone.
pub type Name = Arc<str>;

/// Tensors by name, in the order they were given.
///
/// ```
/// use unruffled_model::{Tensor, Tensors};
///
/// let inputs = Tensors::new().with("x", Tensor::scalar(1.0_f32)).with("y", Tensor::scalar(2_i64));
/// assert_eq!(inputs.get("y").map(Tensor::len), Some(1));
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Tensors(Vec<(Name, Tensor)>);

impl Tensors {
    /// No tensors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor, replacing one of the same name.
    pub fn insert(&mut self, name: impl Into<Name>, tensor: Tensor) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = tensor,
            None => self.0.push((name, tensor)),
        }
    }

    /// Adds a tensor and returns the whole, for building in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<Name>, tensor: Tensor) -> Self {
        self.insert(name, tensor);
        self
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, tensor)| tensor)
    }

    /// Takes the tensor of that name out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        let at = self.0.iter().position(|(known, _)| **known == *name)?;
        Some(self.0.remove(at).1)
    }

    /// Names and tensors, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name, tensor))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that all elements take.
    pub fn byte_len(&self) -> usize {
        self.0.iter().map(|(_, tensor)| tensor.byte_len()).sum()
    }
}

impl<N: Into<Name>> FromIterator<(N, Tensor)> for Tensors {
    fn from_iter<I: IntoIterator<Item = (N, Tensor)>>(tensors: I) -> Self {
        let mut all = Self::new();
        for (name, tensor) in tensors {
            all.insert(name, tensor);
        }
        all
    }
}

impl IntoIterator for Tensors {
    type Item = (Name, Tensor);
    type IntoIter = std::vec::IntoIter<(Name, Tensor)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Tensors;
    use crate::tensor::Tensor;

    #[test]
    fn keeps_order_and_replaces_by_name() {
        let mut tensors = Tensors::new().with("b", Tensor::scalar(1_u8)).with("a", Tensor::scalar(2_u8));
        tensors.insert("b", Tensor::scalar(3_u8));
        let names: Vec<_> = tensors.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(tensors.remove("b").map(|t| t.elements::<u8>().unwrap()[0]), Some(3));
        assert_eq!((tensors.len(), tensors.byte_len(), tensors.get("b")), (1, 1, None));
    }
}
