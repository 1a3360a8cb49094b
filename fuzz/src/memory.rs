//! [`within`]: what a reader may allocate for so many bytes.

/// What is allowed besides the multiple: messages, small vectors that grow, tables of a fixed size.
const CONSTANT: u64 = 64 << 10;

/// Runs a reader of so many bytes, which may hold no more at a time than `times` of them and a constant.
///
/// What its result keeps counts, and what was freed on the way does while it was held; the input itself does not.
#[track_caller]
pub fn within<T>(bytes: usize, times: u64, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let held = allocation_counter::measure(|| result = Some(read())).bytes_max;
    let most = CONSTANT + times * bytes as u64;
    assert!(held <= most, "reading {bytes} bytes took {held}, more than {most}");
    result.expect("it has run")
}
