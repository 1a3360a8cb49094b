//! [`Memo`]: how the answers of a model are remembered, and by what they are found again.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::dtype::Data;
use crate::tensors::Tensors;

/// How the answers of a model are remembered. Inputs with equal keys must have equal answers, whoever asks and whenever.
pub trait Memo<I, O>: Send + Sync {
    /// What tells an input from others. Runs on the caller's thread: a few microseconds for each 64 KiB, no more.
    fn key(&self, input: &I) -> MemoKey;

    /// An output to be given again. It should keep nothing else alive.
    fn keep(&self, output: &O) -> Kept<O>;
}

/// By what an answer is found again: of any type, compared in full.
pub struct MemoKey(Box<dyn AnyKey>);

trait AnyKey: Any + Send + Sync {
    fn hash(&self, state: &mut dyn Hasher);
    fn is_equal(&self, other: &dyn Any) -> bool;
    fn as_any(&self) -> &dyn Any;
}

impl<K: Hash + Eq + Send + Sync + 'static> AnyKey for K {
    fn hash(&self, mut state: &mut dyn Hasher) {
        Hash::hash(self, &mut state);
    }

    fn is_equal(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<K>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl MemoKey {
    /// A key of any type.
    pub fn new<K: Hash + Eq + Send + Sync + 'static>(key: K) -> Self {
        Self(Box::new(key))
    }
}

impl Hash for MemoKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        AnyKey::hash(&*self.0, state);
    }
}

impl PartialEq for MemoKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_equal(other.0.as_any())
    }
}

impl Eq for MemoKey {}

impl fmt::Debug for MemoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoKey")
    }
}

/// An output that can be given several times. Cheap to clone.
pub struct Kept<O> {
    output: Arc<dyn Give<O>>,
    bytes: usize,
}

trait Give<O>: Send + Sync {
    fn give(&self) -> O;
}

impl<O: Clone + Send + Sync> Give<O> for O {
    fn give(&self) -> O {
        self.clone()
    }
}

impl<O> Kept<O> {
    /// An output, and how many bytes it holds.
    pub fn new(output: O, bytes: usize) -> Self
    where
        O: Clone + Send + Sync + 'static,
    {
        Self { output: Arc::new(output), bytes }
    }

    /// The output, once more.
    pub fn give(&self) -> O {
        Give::give(&*self.output)
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<O> Clone for Kept<O> {
    fn clone(&self) -> Self {
        Self { output: Arc::clone(&self.output), bytes: self.bytes }
    }
}

impl<O> fmt::Debug for Kept<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Remembers tensors by their names, types, shapes and elements, bit by bit: no number is taken for another that is equal,
/// and what is not a number is found again.
#[derive(Clone, Copy, Debug, Default)]
pub struct TensorMemo;

impl Memo<Tensors, Tensors> for TensorMemo {
    fn key(&self, input: &Tensors) -> MemoKey {
        MemoKey::new(written(input))
    }

    fn keep(&self, output: &Tensors) -> Kept<Tensors> {
        // A row of a joint run would keep the whole run's output alive.
        let own: Tensors = output.iter().map(|(name, tensor)| (name.clone(), tensor.detached())).collect();
        let bytes = own.iter().map(|(name, tensor)| name.len() + tensor.byte_len()).sum();
        Kept::new(own, bytes)
    }
}

/// All that there is to say of tensors, in one piece: the order in which they are given says nothing.
fn written(tensors: &Tensors) -> Box<[u8]> {
    let mut all: Vec<_> = tensors.iter().collect();
    all.sort_unstable_by_key(|(name, _)| *name);
    let mut bytes = Vec::with_capacity(tensors.byte_len() + 64 * all.len());
    for (name, tensor) in all {
        // Each part with its length, so that no two writings begin alike and differ in where they end.
        for part in [name.as_bytes(), tensor.dtype().name().as_bytes()] {
            bytes.extend_from_slice(&part.len().to_ne_bytes());
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&tensor.shape().len().to_ne_bytes());
        tensor.shape().iter().for_each(|size| bytes.extend_from_slice(&size.to_ne_bytes()));
        write_elements(tensor.data(), &mut bytes);
    }
    bytes.into_boxed_slice()
}

fn write_elements(data: &Data, bytes: &mut Vec<u8>) {
    macro_rules! plain {
        ($($variant:ident),*) => {
            match data {
                $(Data::$variant(elements) => bytes.extend_from_slice(bytemuck::cast_slice(elements)),)*
                Data::Bytes(strings) => {
                    for string in strings.iter() {
                        bytes.extend_from_slice(&string.len().to_ne_bytes());
                        bytes.extend_from_slice(string);
                    }
                }
            }
        };
    }
    plain!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, F16, BF16, F32, F64);
}

/// Remembers by a function of the input.
pub(crate) struct ByKey<I, O, F> {
    pub(crate) key: F,
    pub(crate) bytes: fn(&O) -> usize,
    pub(crate) types: PhantomData<fn(I) -> O>,
}

impl<I, O, K, F> Memo<I, O> for ByKey<I, O, F>
where
    O: Clone + Send + Sync + 'static,
    K: Hash + Eq + Send + Sync + 'static,
    F: Fn(&I) -> K + Send + Sync,
{
    fn key(&self, input: &I) -> MemoKey {
        MemoKey::new((self.key)(input))
    }

    fn keep(&self, output: &O) -> Kept<O> {
        Kept::new(output.clone(), (self.bytes)(output))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Memo as _, MemoKey, TensorMemo};
    use crate::tensor::Tensor;
    use crate::tensors::Tensors;

    #[track_caller]
    fn check(a: &Tensors, b: &Tensors, equal: bool) {
        assert_eq!(TensorMemo.key(a) == TensorMemo.key(b), equal, "{a:?} and {b:?}");
    }

    fn of(tensor: Tensor) -> Tensors {
        Tensors::new().with("x", tensor)
    }

    #[test]
    fn inputs_are_told_apart_by_all_that_they_are() {
        let floats = |shape: &[usize], all: &[f32]| Tensor::new(shape, all.to_vec()).unwrap();
        let x = floats(&[2], &[1.0, 2.0]);
        check(&of(x.clone()), &of(floats(&[3], &[9.0, 1.0, 2.0]).rows(1..3)), true);
        check(&of(x.clone()), &of(floats(&[2, 1], &[1.0, 2.0])), false);
        check(&of(x.clone()), &of(floats(&[2], &[1.0, 2.5])), false);
        check(&of(x.clone()), &Tensors::new().with("y", x.clone()), false);
        check(&of(floats(&[1], &[0.0])), &of(floats(&[1], &[-0.0])), false);
        check(&of(floats(&[1], &[f32::NAN])), &of(floats(&[1], &[f32::NAN])), true);
        let bits = 1.0_f32.to_bits();
        check(&of(Tensor::scalar(1.0_f32)), &of(Tensor::scalar(bits)), false);
        let y = Tensor::scalar(1_u8);
        let (xy, yx) = (of(x.clone()).with("y", y.clone()), Tensors::new().with("y", y).with("x", x));
        check(&xy, &yx, true);
    }

    #[test]
    fn strings_do_not_run_into_each_other() {
        let strings = |all: [&'static str; 2]| Tensor::new(&[2], all.map(Bytes::from).to_vec()).unwrap();
        check(&of(strings(["ab", "c"])), &of(strings(["a", "bc"])), false);
        check(&of(strings(["ab", "c"])), &of(strings(["ab", "c"])), true);
    }

    #[test]
    fn what_is_kept_shares_nothing() {
        let whole = Tensor::new(&[100, 2], vec![1.5_f32; 200]).unwrap();
        let row = of(whole.rows(3..4));
        let kept = TensorMemo.keep(&row);
        let given = kept.give();
        assert_eq!((&given, kept.bytes()), (&row, 9));
        let address = |tensors: &Tensors| tensors.get("x").unwrap().elements::<f32>().unwrap().as_ptr();
        assert_ne!(address(&given), address(&row));
        assert_eq!(address(&given), address(&kept.give()), "given again without a copy");
    }

    #[test]
    fn keys_of_different_types_differ() {
        assert_ne!(MemoKey::new(1_u32), MemoKey::new(1_u64));
        assert_eq!(MemoKey::new("a".to_owned()), MemoKey::new("a".to_owned()));
    }
}
