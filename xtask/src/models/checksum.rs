//! SHA-256 of files, and what a difference means.

use std::fmt::Write;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Right,
    Missing,
    Wrong(PathBuf),
}

pub(crate) fn state(path: &Path, expected: &str) -> Result<State> {
    match sha256(path) {
        Ok(found) if found == expected => Ok(State::Right),
        Ok(_) => Ok(State::Wrong(path.to_path_buf())),
        Err(error) if is_not_found(&error) => Ok(State::Missing),
        Err(error) => Err(error),
    }
}

/// # Errors
/// Names the file, both checksums and `remedy` when they differ.
pub(crate) fn verify(path: &Path, expected: &str, remedy: &str) -> Result<()> {
    let found = sha256(path)?;
    if found != expected {
        bail!(
            "{} has the wrong checksum\n  expected {expected}\n  found    {found}\n  remedy: {remedy}",
            path.display()
        );
    }
    Ok(())
}

/// Of several byte strings together, also of how they follow each other.
pub(crate) fn of_parts(parts: &[Vec<u8>]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hexadecimal(hasher)
}

fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).with_context(|| format!("failed to read {}", path.display()))? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hexadecimal(hasher))
}

fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn files_are_right_wrong_or_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        assert_eq!(state(&path, ABC).unwrap(), State::Missing);
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(state(&path, ABC).unwrap(), State::Right);
        std::fs::write(&path, "abd").unwrap();
        assert_eq!(state(&path, ABC).unwrap(), State::Wrong(path));
    }

    #[test]
    fn a_difference_names_file_checksums_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abd").unwrap();
        let text = verify(&path, ABC, "fetch it again").unwrap_err().to_string();
        for part in ["abc has the wrong checksum", ABC, "a52d159f262b2c6ddb724a61840befc3", "fetch it again"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
