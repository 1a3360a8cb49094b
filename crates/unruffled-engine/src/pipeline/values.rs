//! [`Values`]: what one call holds, each value until the last who needs it has taken it, and how much that is.

use std::collections::VecDeque;

use unruffled_model::{ModelError, Tensor};

use super::graph::{Graph, Value, ValueAt};

/// The values of one call.
pub(super) struct Values {
    slots: Vec<Slot>,
    /// Bytes of all values, those that steps have taken and work on included.
    held: usize,
    most: usize,
}

#[derive(Default)]
struct Slot {
    whole: Option<Tensor>,
    /// How often it will still be taken as a whole.
    wholes: usize,
    /// Items that somebody still needs, and room for those that are on their way, in order.
    cells: VecDeque<Option<Cell>>,
    /// Items before these: nobody needs them any more.
    gone: usize,
    /// How many items there are, once that is known.
    count: Option<usize>,
    /// How often each item is taken, the joining of all included.
    uses: usize,
    /// Loops that take the items and have not begun.
    not_begun: usize,
}

struct Cell {
    tensor: Tensor,
    uses: usize,
}

/// A value as one who needs it has it, and the bytes that are let go of when he no longer does.
pub(super) struct Taken {
    pub(super) tensor: Tensor,
    pub(super) charge: usize,
}

/// Why a value cannot be kept.
pub(super) enum Refused {
    /// It would be so many bytes with the others, which is more than a call may hold.
    TooMuch(usize),
    /// The items do not fit together.
    Ragged(ModelError),
}

impl Values {
    /// No value is there yet. Where outputs are emitted, somebody takes their items one by one; elsewhere they are joined.
    pub(super) fn new(graph: &Graph, emitting: bool) -> Self {
        let slot = |value: &Value| {
            let emitted = if emitting { value.emitted } else { 0 };
            let wholes = value.wholes + if emitting { 0 } else { value.emitted };
            let uses = value.readers + emitted + usize::from(wholes > 0);
            Slot { wholes, uses, not_begun: value.readers, ..Slot::default() }
        };
        Self { slots: graph.values.iter().map(slot).collect(), held: 0, most: graph.bytes }
    }

    /// A value is there.
    pub(super) fn put(&mut self, at: ValueAt, tensor: Tensor) -> Result<(), Refused> {
        if self.slots[at].wholes == 0 {
            return Ok(());
        }
        self.charge(tensor.byte_len())?;
        self.slots[at].whole = Some(tensor);
        Ok(())
    }

    pub(super) fn has(&self, at: ValueAt) -> bool {
        self.slots[at].whole.is_some()
    }

    /// The value, for one of those who take it as a whole; the last one has it alone.
    pub(super) fn take(&mut self, at: ValueAt) -> Option<Taken> {
        let slot = &mut self.slots[at];
        slot.wholes = slot.wholes.saturating_sub(1);
        match slot.wholes {
            0 => slot.whole.take().map(|tensor| Taken { charge: tensor.byte_len(), tensor }),
            _ => slot.whole.clone().map(|tensor| Taken { tensor, charge: 0 }),
        }
    }

    /// An item is there.
    pub(super) fn put_item(&mut self, at: ValueAt, index: usize, tensor: Tensor) -> Result<(), Refused> {
        self.charge(tensor.byte_len())?;
        let slot = &mut self.slots[at];
        let place = index - slot.gone;
        if slot.cells.len() <= place {
            slot.cells.resize_with(place + 1, || None);
        }
        slot.cells[place] = Some(Cell { tensor, uses: slot.uses });
        Ok(())
    }

    pub(super) fn has_item(&self, at: ValueAt, index: usize) -> bool {
        let slot = &self.slots[at];
        index.checked_sub(slot.gone).and_then(|place| slot.cells.get(place)).is_some_and(Option::is_some)
    }

    /// An item, for one of those who take it, in their order.
    pub(super) fn take_item(&mut self, at: ValueAt, index: usize) -> Option<Taken> {
        let slot = &mut self.slots[at];
        let cell = slot.cells.get_mut(index.checked_sub(slot.gone)?)?;
        let item = cell.as_mut()?;
        item.uses -= 1;
        if item.uses > 0 {
            return Some(Taken { tensor: item.tensor.clone(), charge: 0 });
        }
        let tensor = cell.take()?.tensor;
        // Those who take items do so in order: nobody looks back.
        while slot.cells.front().is_some_and(Option::is_none) && slot.gone <= index {
            slot.cells.pop_front();
            slot.gone += 1;
        }
        Some(Taken { charge: tensor.byte_len(), tensor })
    }

    /// One of the loops that take the items has begun.
    pub(super) fn begun(&mut self, at: ValueAt) {
        self.slots[at].not_begun -= 1;
    }

    /// How many items are kept, or on their way, for loops that go over them. Nothing where all are kept to be joined, or where
    /// a loop has not begun: what it waits for may need all of them first.
    pub(super) fn ahead(&self, at: ValueAt, next: usize) -> Option<usize> {
        let slot = &self.slots[at];
        (slot.wholes == 0 && slot.not_begun == 0).then(|| next - slot.gone)
    }

    /// All items are there: whoever takes them as a whole gets them joined; `none` is what no items are.
    pub(super) fn end(
        &mut self,
        at: ValueAt,
        none: impl FnOnce() -> Result<Tensor, ModelError>,
    ) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        slot.count = Some(slot.gone + slot.cells.len());
        if slot.wholes == 0 {
            return Ok(());
        }
        let joined = joined(&self.slots[at].cells, none).map_err(Refused::Ragged)?;
        self.put(at, joined)?;
        for index in 0..self.slots[at].cells.len() + self.slots[at].gone {
            let taken = self.take_item(at, index);
            self.release(taken.map_or(0, |taken| taken.charge));
        }
        Ok(())
    }

    /// There will be so many items.
    pub(super) fn expect(&mut self, at: ValueAt, count: usize) {
        self.slots[at].count = Some(count);
    }

    /// How many items there are or will be, once that is known.
    pub(super) fn count(&self, at: ValueAt) -> Option<usize> {
        self.slots[at].count
    }

    /// A step no longer holds what it has taken.
    pub(super) fn release(&mut self, charge: usize) {
        self.held -= charge;
    }

    /// The bytes of all values.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// So many bytes more are held, until they are released.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Refused> {
        let held = self.held.saturating_add(bytes);
        if held > self.most {
            return Err(Refused::TooMuch(held));
        }
        self.held = held;
        Ok(())
    }
}

/// Items one behind the other along their rows; single numbers become rows.
fn joined(
    cells: &VecDeque<Option<Cell>>,
    none: impl FnOnce() -> Result<Tensor, ModelError>,
) -> Result<Tensor, ModelError> {
    let row = |cell: &Cell| match cell.tensor.shape() {
        [] => cell.tensor.reshaped(&[1]),
        _ => Ok(cell.tensor.clone()),
    };
    let rows = cells.iter().flatten().map(row).collect::<Result<Vec<_>, _>>()?;
    match rows.as_slice() {
        [] => none(),
        [one] => Ok(one.clone()),
        rows => Tensor::concat(rows.iter()),
    }
}
