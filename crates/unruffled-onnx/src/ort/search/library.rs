//! What the library of ONNX Runtime is called on each system.

use std::path::{Path, PathBuf};

/// The oldest version that is fit to be loaded: earlier ones have been seen to end the process when asked for less than they
/// have.
pub(in crate::ort) const VERSION_MIN: (u32, u32) = (1, 23);

/// What the system may know it as.
pub(super) const SYSTEM_NAMES: &[&str] = if cfg!(windows) {
    &["onnxruntime.dll"]
} else if cfg!(target_vendor = "apple") {
    &["libonnxruntime.dylib"]
} else {
    &["libonnxruntime.so.1", "libonnxruntime.so"]
};

/// The libraries in a folder, the newest first.
pub(super) fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_library(path)).collect();
    found.sort_by_key(|path| (std::cmp::Reverse(version_in_name(path)), path.clone()));
    found
}

fn is_library(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    if cfg!(windows) {
        name.eq_ignore_ascii_case("onnxruntime.dll")
    } else if cfg!(target_vendor = "apple") {
        name.strip_prefix("libonnxruntime.").is_some_and(|rest| rest.ends_with("dylib"))
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    }
}

/// The version in the name of a library, `libonnxruntime.so.1.32.0` say, as far as it is there.
pub(in crate::ort) fn version_in_name(path: &Path) -> Option<(u32, u32)> {
    let name = path.file_name()?.to_str()?;
    let mut numbers = name.split('.').filter_map(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{in_folder, version_in_name};

    #[test]
    fn names_tell_versions() {
        let version = |name| version_in_name(Path::new(name));
        assert_eq!(version("/a.7.8/libonnxruntime.so.1.22.1"), Some((1, 22)));
        assert_eq!(version("libonnxruntime.1.32.0.dylib"), Some((1, 32)));
        assert_eq!(version("libonnxruntime.so.1"), None);
        assert_eq!(version("onnxruntime.dll"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so",
            "libonnxruntime.so.1.32.0",
            "libonnxruntime_providers_shared.so",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = in_folder(folder.path());
        let found: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.9.0", "libonnxruntime.so"]);
    }
}
