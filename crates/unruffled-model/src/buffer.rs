//! [`Buffer`]: shared, immutable elements that may live in anybody's memory.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Shared, immutable elements: cheap to clone and to slice, whoever owns the memory.
///
/// The owner can be a `Vec`, a result that another library allocated, or a mapped file: anything that lends a slice.
/// A slice keeps the whole owner alive.
pub struct Buffer<T> {
    owner: Arc<dyn AsRef<[T]> + Send + Sync>,
    range: Range<usize>,
}

impl<T: Send + Sync + 'static> Buffer<T> {
    /// Takes over a `Vec` without copying its elements.
    pub fn new(elements: Vec<T>) -> Self {
        Self::from_owner(elements)
    }

    /// Shares the elements that `owner` lends.
    ///
    /// `owner` must lend the same slice every time it is asked; one that shrinks makes later accesses panic.
    pub fn from_owner(owner: impl AsRef<[T]> + Send + Sync + 'static) -> Self {
        let range = 0..owner.as_ref().len();
        Self { owner: Arc::new(owner), range }
    }

    /// A part of this buffer, sharing its memory.
    ///
    /// # Panics
    ///
    /// If `range` does not lie within the buffer.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.range.len(),
            "slice {range:?} of a buffer of {} elements",
            self.range.len()
        );
        let start = self.range.start;
        Self { owner: Arc::clone(&self.owner), range: start + range.start..start + range.end }
    }

    /// Whether it is all that its owner lends.
    pub(crate) fn is_whole(&self) -> bool {
        self.range.len() == (*self.owner).as_ref().len()
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl<T> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner), range: self.range.clone() }
    }
}

impl<T: PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let mut list = f.debug_list();
        list.entries(self.iter().take(SHOWN));
        if self.len() > SHOWN { list.finish_non_exhaustive() } else { list.finish() }
    }
}

impl<T: Send + Sync + 'static> From<Vec<T>> for Buffer<T> {
    fn from(elements: Vec<T>) -> Self {
        Self::new(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::Buffer;

    #[test]
    fn slices_share_memory() {
        let whole = Buffer::new(vec![1, 2, 3, 4, 5]);
        let part = whole.slice(1..4).slice(1..3);
        assert_eq!(*part, [3, 4]);
        assert!(std::ptr::eq(&whole[2], &part[0]), "a slice must not copy");
    }

    #[test]
    #[should_panic(expected = "slice 3..6 of a buffer of 5 elements")]
    fn slice_outside_panics() {
        Buffer::new(vec![0_u8; 5]).slice(3..6);
    }

    #[test]
    fn debug_is_short() {
        assert_eq!(format!("{:?}", Buffer::new(vec![0_u8; 100])), "[0, 0, 0, 0, 0, 0, 0, 0, ..]");
    }
}
