//! [`within`]: what a reader may allocate for so many bytes.

/// What is allowed besides the multiple: messages, small vectors that grow, tables of a fixed size.
const CONSTANT: u64 = 64 << 10;

/// Runs a reader of so many bytes, which may hold no more at a time than `times` of them and a constant.
///
/// What its result keeps counts, and what was freed on the way does while it was held; the input itself does not.
#[track_caller]
pub fn within<T>(bytes: usize, times: u64, read: impl FnOnce() -> T) -> T {
    within_and(CONSTANT, bytes, times, read)
}

/// The same with another constant.
#[track_caller]
pub fn within_and<T>(constant: u64, bytes: usize, times: u64, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let held = allocation_counter::measure(|| result = Some(read())).bytes_max;
    let most = constant + times * bytes as u64;
    assert!(held <= most, "reading {bytes} bytes took {held}, more than {most}");
    result.expect("it has run")
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::within;

    #[test]
    fn what_is_held_counts() {
        assert_eq!(within(1 << 20, 1, || vec![0_u8; 1 << 20].len()), 1 << 20);
        assert!(catch_unwind(|| within(1 << 20, 1, || vec![0_u8; 2 << 20])).is_err(), "it was held");
        let freed = || (0..64).map(|_| vec![0_u8; 1 << 16].len()).sum::<usize>();
        assert_eq!(within(64 << 10, 1, freed), 64 << 16);
    }
}
