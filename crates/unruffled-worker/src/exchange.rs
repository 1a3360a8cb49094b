//! Tensors on their way to a worker and back: small ones in the frame, large ones in shared memory.

use unruffled_model::{ModelError, Tensors};

use crate::batch::Gathered;
use crate::element::{self, dtype_by_name};
use crate::message::{Entry, INLINE, OwnedEntry, SHARED};
use crate::shared::{SharedFile, TENSORS_START, aligned};

/// Up to this size the tensors of a run travel in its frame.
pub(crate) const INLINE_MAX: u64 = 64 << 10;

/// Where tensors go, and how much of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    shared: &'a SharedFile,
    limit: u64,
}

/// Inputs that are ready for the worker.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) body: Vec<u8>,
    /// How far they go in shared memory.
    pub(crate) end: u64,
}

/// Outputs that have come.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) tensors: Tensors,
    /// How far they went in shared memory.
    pub(crate) end: u64,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(shared: &'a SharedFile, limit: u64) -> Self {
        Self { shared, limit }
    }

    /// Writes the inputs where the worker will find them.
    pub(crate) fn put<'b>(&self, inputs: &'b [Gathered<'b>]) -> Result<Placed<'b>, ModelError> {
        let size = |input: &Gathered<'_>| -> u64 {
            input.parts.iter().map(|part| element::byte_len(part) as u64).sum()
        };
        let total: u64 = inputs.iter().map(size).sum();
        let is_inline = total <= INLINE_MAX;
        let limit = self.limit;
        if !is_inline && TENSORS_START + total > limit {
            return Err(ModelError::invalid_input(format!(
                "inputs of {total} bytes do not fit into {limit} bytes of shared memory: raise `shared_memory_max`"
            )));
        }
        let (place, mut at) = if is_inline { (INLINE, 0) } else { (SHARED, TENSORS_START) };
        let mut placed = Placed { entries: Vec::with_capacity(inputs.len()), body: Vec::new(), end: 0 };
        for input in inputs {
            let start = at;
            for part in &input.parts {
                let put = element::put(part, |bytes| {
                    at += bytes.len() as u64;
                    if is_inline {
                        placed.body.extend_from_slice(bytes);
                        Ok(())
                    } else {
                        self.shared.write(at - bytes.len() as u64, bytes)
                    }
                });
                put.map_err(|error| {
                    ModelError::failed(format!("cannot write to shared memory: {error}")).caused_by(error)
                })?;
            }
            placed.entries.push((input.name, input.dtype.name(), &input.shape, place, start, at - start));
            if !is_inline {
                at = aligned(at);
            }
        }
        placed.end = if is_inline { TENSORS_START } else { at };
        Ok(placed)
    }

    /// Reads the outputs. Nothing is allocated that is not there.
    pub(crate) fn take(&self, entries: &[OwnedEntry], body: &[u8]) -> Result<Taken, String> {
        let mut taken = Taken { tensors: Tensors::new(), end: TENSORS_START };
        let there = self.shared.len().map_err(|error| format!("shares no memory: {error}"))?.min(self.limit);
        let mut left = there.max(body.len() as u64);
        for (name, dtype, shape, place, offset, size) in entries {
            let dtype = dtype_by_name(dtype)?;
            let end = offset.checked_add(*size).ok_or("sent an offset that is no offset")?;
            // Each byte is sent once, so that together they cannot be more than there are.
            left = left
                .checked_sub(*size)
                .ok_or_else(|| format!("sent more bytes than there are for `{name}`"))?;
            let bytes = usize::try_from(*size).map_err(|error| error.to_string())?;
            let tensor = match *place {
                INLINE => {
                    let range = usize::try_from(*offset).ok().zip(usize::try_from(end).ok());
                    let part = range.and_then(|(start, end)| body.get(start..end));
                    let part = part.ok_or_else(|| format!("sent no bytes for `{name}`"))?;
                    element::take(dtype, shape, bytes, |into| {
                        into.copy_from_slice(part);
                        Ok(())
                    })
                }
                SHARED if end <= there => {
                    taken.end = taken.end.max(end);
                    element::take(dtype, shape, bytes, |into| self.shared.read(*offset, into))
                }
                SHARED => Err(format!("sent `{name}` beyond the end of shared memory")),
                other => Err(format!("sent `{name}` to the unknown place {other}")),
            };
            taken.tensors.insert(name.as_str(), tensor?);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::{Exchange, INLINE_MAX};
    use crate::batch::Gathered;
    use crate::message::{INLINE, OwnedEntry, SHARED};
    use crate::shared::{SharedFile, TENSORS_START};
    use unruffled_model::{DType, Name, Tensor};

    fn entry(place: u8, offset: u64, size: u64) -> OwnedEntry {
        ("y".into(), "u8".into(), vec![usize::try_from(size).unwrap()], place, offset, size)
    }

    #[track_caller]
    fn check_refused(entries: &[OwnedEntry], message: &str) {
        let shared = SharedFile::new().unwrap();
        let taken = Exchange::new(&shared, 1 << 20).take(entries, &[0; 8]);
        assert_eq!(taken.map(|_| ()).unwrap_err(), message);
    }

    #[test]
    fn nothing_is_read_that_is_not_there() {
        check_refused(&[entry(INLINE, 4, 5)], "sent no bytes for `y`");
        check_refused(&[entry(INLINE, u64::MAX, 5)], "sent an offset that is no offset");
        check_refused(&[entry(SHARED, TENSORS_START, 1)], "sent `y` beyond the end of shared memory");
        check_refused(&[entry(SHARED, 0, 1 << 40)], "sent more bytes than there are for `y`");
        check_refused(&vec![entry(SHARED, 0, 10_000); 2], "sent more bytes than there are for `y`");
        check_refused(&[entry(7, 0, 1)], "sent `y` to the unknown place 7");
    }

    #[test]
    fn parts_are_joined_where_they_are_written() {
        let shared = SharedFile::new().unwrap();
        let exchange = Exchange::new(&shared, 1 << 20);
        let (name, name_b): (Name, Name) = ("x".into(), "b".into());
        for rows in [1_usize, 4096] {
            let a = Tensor::filled(&[rows, 4], 1_f32).unwrap();
            let b = Tensor::filled(&[2 * rows, 4], 2_f32).unwrap();
            let inputs = [
                Gathered { name: &name, dtype: DType::F32, shape: vec![3 * rows, 4], parts: vec![&a, &b] },
                Gathered { name: &name_b, dtype: DType::F32, shape: vec![rows, 4], parts: vec![&a] },
            ];
            let placed = exchange.put(&inputs).unwrap();
            assert_eq!(placed.body.is_empty(), rows as u64 * 64 > INLINE_MAX);
            let entries: Vec<OwnedEntry> = placed
                .entries
                .iter()
                .map(|(name, dtype, shape, place, at, size)| {
                    ((*name).into(), (*dtype).into(), shape.to_vec(), *place, *at, *size)
                })
                .collect();
            let back = exchange.take(&entries, &placed.body).unwrap().tensors;
            assert_eq!(back.get("x"), Some(&Tensor::concat([&a, &b].into_iter()).unwrap()));
            assert_eq!(back.get("b"), Some(&a));
        }
    }
}
