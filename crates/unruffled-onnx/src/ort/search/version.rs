//! [`Version`]: which ONNX Runtime a library is, found without loading it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The names of a library's versions stand near its beginning.
const LOOKED_AT: u64 = 1 << 20;

/// A version of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ort) struct Version {
    major: u32,
    minor: u32,
    patch: Option<u32>,
}

impl Version {
    /// The oldest that is fit to be loaded: earlier ones end the process when asked for what they have not.
    pub(in crate::ort) const MIN: Self = Self { major: 1, minor: 23, patch: None };

    /// The version of a library, as far as its file tells.
    pub(in crate::ort) fn of(path: &Path) -> Option<Self> {
        let real = path.canonicalize().ok()?;
        Self::in_name(&real).or_else(|| Self::within(&real))
    }

    /// Whether it is fit to be loaded.
    pub(in crate::ort) fn is_enough(self) -> bool {
        (self.major, self.minor) >= (Self::MIN.major, Self::MIN.minor)
    }

    /// The version in the name of a library: `libonnxruntime.so.1.32.0`.
    pub(super) fn in_name(path: &Path) -> Option<Self> {
        Self::first(path.file_name()?.to_str()?.split('.'))
    }

    /// The version that a library for Linux gives its symbols: `VERS_1.32.0`.
    fn within(path: &Path) -> Option<Self> {
        const MARK: &[u8] = b"VERS_";
        let mut start = Vec::new();
        File::open(path).ok()?.take(LOOKED_AT).read_to_end(&mut start).ok()?;
        let at = start.windows(MARK.len()).position(|part| part == MARK)? + MARK.len();
        let name = start[at..].split(|byte| *byte == 0).next()?;
        Self::first(std::str::from_utf8(name).ok()?.split('.'))
    }

    fn first<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut numbers = parts.filter_map(|part| part.parse().ok());
        Some(Self { major: numbers.next()?, minor: numbers.next()?, patch: numbers.next() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Version;

    #[test]
    fn names_tell_versions() {
        let version = |name| Version::in_name(Path::new(name)).map(|version| version.to_string());
        assert_eq!(version("/a.7.8/libonnxruntime.so.1.22.1").as_deref(), Some("1.22.1"));
        assert_eq!(version("libonnxruntime.1.32.0.dylib").as_deref(), Some("1.32.0"));
        assert_eq!(version("libonnxruntime.so.1"), None);
        assert_eq!(version("onnxruntime.dll"), None);
    }

    #[test]
    fn files_tell_versions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so.1");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Version::of(&path)
        };
        let version = of("\x7fELF and then\0VERS_1.30.1\0more").unwrap();
        assert_eq!((version.to_string().as_str(), version.is_enough()), ("1.30.1", true));
        assert!(!of("VERS_1.22.9").unwrap().is_enough());
        assert_eq!(of("nothing of the kind"), None);
    }
}
