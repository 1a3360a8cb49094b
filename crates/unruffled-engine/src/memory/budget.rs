//! [`MemoryBudget`]: how much memory the models of an engine may take, and who measures it. [`MemoryReport`]: who takes it.

use std::fmt;

use unruffled_model::Name;

/// How much memory the models of an engine may take together, and how it is found out what one takes.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct MemoryBudget {
    pub(super) bytes: usize,
    pub(super) probe: Option<fn() -> Option<usize>>,
}

impl MemoryBudget {
    /// So many bytes. Unless it is [measured](Self::measured_by), what a model takes is what was said about it.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, probe: None }
    }

    /// Has `probe` say how much memory the process has, and those that work for it: what a model takes is what that grows by
    /// while it is loaded. Called a few times a load, on the load's own thread; `None` where it cannot be told.
    pub fn measured_by(mut self, probe: fn() -> Option<usize>) -> Self {
        self.probe = Some(probe);
        self
    }

    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn measure(&self) -> Option<usize> {
        self.probe.and_then(|probe| probe())
    }
}

impl PartialEq for MemoryBudget {
    fn eq(&self, other: &Self) -> bool {
        let same_probe = match (self.probe, other.probe) {
            (Some(own), Some(theirs)) => std::ptr::fn_addr_eq(own, theirs),
            (own, theirs) => own.is_none() && theirs.is_none(),
        };
        self.bytes == other.bytes && same_probe
    }
}

impl Eq for MemoryBudget {}

/// Who takes the memory of an engine that has a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryReport {
    /// How many bytes the models may take together.
    pub budget: usize,
    /// How many they take.
    pub used: usize,
    /// Who takes how many; in the order in which they were loaded.
    pub models: Vec<ModelMemory>,
    /// How many loads have come to a good end, the repeated ones included.
    pub loads: u64,
    /// How many models were put out of memory for others.
    pub evictions: u64,
}

/// What one version of a model takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelMemory {
    /// The name of the model.
    pub name: Name,
    /// Which version of it.
    pub version: Name,
    /// How many bytes.
    pub bytes: usize,
}

/// So many bytes, for people.
pub(super) struct Bytes(pub(super) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}
