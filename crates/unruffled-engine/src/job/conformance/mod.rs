//! What every [`JobQueue`] promises, as checks that any of them can be put through.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::SystemTime;
//!
//! use unruffled_engine::job::conformance::{self, Store};
//! use unruffled_engine::job::{JobLimits, JobQueue, MemoryJobs};
//!
//! struct Memory(Arc<MemoryJobs>);
//!
//! impl Store for Memory {
//!     fn queue(&self) -> Arc<dyn JobQueue> {
//!         self.0.clone()
//!     }
//!
//!     fn reopen(&mut self, _: SystemTime) -> bool {
//!         false // nothing is left to be opened again
//!     }
//! }
//!
//! let mut make = |limits: JobLimits| -> Box<dyn Store> { Box::new(Memory(Arc::new(MemoryJobs::new(limits)))) };
//! conformance::check_cases(&mut make);
//! conformance::check_histories(&mut make, 1..=3);
//! ```

mod bench;

mod cases;

mod reference;

mod history;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::SystemTime;

use super::limits::JobLimits;
use super::queue::JobQueue;

/// A queue under test, and what it is kept in.
pub trait Store {
    /// The queue.
    fn queue(&self) -> Arc<dyn JobQueue>;

    /// Has the process that has the queue die and another open it at this time. False: it would not be there any more.
    fn reopen(&mut self, now: SystemTime) -> bool;
}

/// Makes a queue without jobs, with these limits.
pub type MakeStore<'a> = dyn FnMut(JobLimits) -> Box<dyn Store> + 'a;

/// Puts a queue through every single check.
///
/// # Panics
///
/// If it fails one.
pub fn check_cases(make: &mut MakeStore<'_>) {
    for (name, case) in cases::CASES {
        // So that a panic says which it was.
        println!("jobs: {name}");
        case(make);
    }
}

/// Puts a queue through random histories, one per seed, beside a plain reference that is slow and obviously right.
///
/// # Panics
///
/// If they differ; the seed is in the message.
pub fn check_histories(make: &mut MakeStore<'_>, seeds: RangeInclusive<u64>) {
    for seed in seeds {
        history::check(make, seed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::{MakeStore, Store, check_cases, check_histories};
    use crate::job::{JobLimits, JobQueue, MemoryJobs};

    struct Memory(Arc<MemoryJobs>);

    impl Store for Memory {
        fn queue(&self) -> Arc<dyn JobQueue> {
            self.0.clone()
        }

        fn reopen(&mut self, _: SystemTime) -> bool {
            false
        }
    }

    fn make() -> Box<MakeStore<'static>> {
        Box::new(|limits: JobLimits| -> Box<dyn Store> {
            Box::new(Memory(Arc::new(MemoryJobs::new(limits))))
        })
    }

    #[test]
    fn memory_keeps_what_every_queue_promises() {
        check_cases(&mut *make());
    }

    #[test]
    fn memory_does_what_the_reference_does() {
        check_histories(&mut *make(), 1..=300);
    }
}
