//! Where the repository is.

use std::path::{Path, PathBuf};

/// The repository's root. Cargo names it when it runs us; one target folder may serve several clones, so the path
/// compiled in is only the last resort.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    own.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
