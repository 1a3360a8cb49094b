//! The npm package `onnxruntime-node`, which has the library of every system in it.

use std::path::{Path, PathBuf};

use super::library;

/// What Node.js calls this system and this processor.
pub(super) const PLATFORM: (&str, &str) = (
    if cfg!(windows) {
        "win32"
    } else if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    },
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" },
);

/// The libraries in a folder `node_modules`.
pub(super) fn in_modules(modules: &Path) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(modules.join("onnxruntime-node").join("bin"));
    let mut versions: Vec<PathBuf> =
        versions.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_unstable();
    let (system, processor) = PLATFORM;
    let folders = versions.into_iter().rev().map(|version| version.join(system).join(processor));
    folders.flat_map(|folder| library::in_folder(&folder)).collect()
}
