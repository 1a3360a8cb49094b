//! Memory that is freed goes back to the system: this program started anew with an allocator that is told so.
//!
//! glibc learns from what is freed to keep more and more of it: models that are put out of memory would leave it with the
//! process. Its settings are read once, when the program starts, so that it has to start again with them.

/// Large pieces are the system's own, each by itself; little is kept at the end of a heap, and heaps are few.
const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_MMAP_THRESHOLD_", "262144"), ("MALLOC_TRIM_THRESHOLD_", "1048576"), ("MALLOC_ARENA_MAX", "2")];

/// Starts this program again in this very process, with the settings, unless it has them. Comes back if it cannot.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    use std::os::unix::process::CommandExt as _;

    // Whoever has set something of it knows why.
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(SETTINGS).exec();
    crate::terminal::warn(&format!("memory that models give back may stay with this process: {error}"));
}

/// Other allocators give back what is freed, or cannot be told to.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {
    let _ = SETTINGS;
}
