//! [`DurationExt`]: `100.ms()`.

use std::time::Duration;

/// Durations as people say them.
///
/// ```
/// use std::time::Duration;
/// use unruffled_engine::DurationExt as _;
///
/// assert_eq!(100.ms(), Duration::from_millis(100));
/// assert_eq!(2.secs(), Duration::from_secs(2));
/// ```
pub trait DurationExt: sealed::Sealed {
    /// So many milliseconds.
    fn ms(self) -> Duration;

    /// So many seconds.
    fn secs(self) -> Duration;
}

impl DurationExt for u64 {
    fn ms(self) -> Duration {
        Duration::from_millis(self)
    }

    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for u64 {}
}
