//! The files of the repository: paths with forward slashes from its root, and their text where they are text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// Made by builds and gatherings; skipped where there is no git to ask.
const MADE: &[&str] = &[
    ".git",
    ".venv",
    "fuzz/artifacts",
    "fuzz/corpus",
    "fuzz/coverage",
    "fuzz/target",
    "models",
    "node_modules",
    "target",
];

pub(crate) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// The files that git tracks or would offer to track; without git, all files but those that builds make.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let paths = if root.join(".git").exists() { from_git(root)? } else { from_folder(root)? };
        let mut files = BTreeMap::new();
        for path in paths {
            // A file that is deleted but still in git's index is not part of the tree.
            let Ok(bytes) = fs::read(root.join(&path)) else {
                continue;
            };
            files.insert(path, String::from_utf8(bytes).ok());
        }
        Ok(Tree { files })
    }

    /// A tree that exists only in a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())));
        Tree { files: files.collect() }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether there is a file, or a folder with files in it. A slash at the end asks for a folder.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let holds_files =
            || self.files.range(folder.clone()..).next().is_some_and(|(at, _)| at.starts_with(&folder));
        path.is_empty() || (!path.ends_with('/') && self.files.contains_key(path)) || holds_files()
    }
}

fn from_git(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = command::capture(&mut git)?;
    Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn from_folder(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                let made = MADE.iter().any(|made| path == root.join(made));
                if !made && name != "node_modules" {
                    folders.push(path);
                }
            } else if let Ok(path) = path.strip_prefix(root) {
                paths.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_without_what_builds_make() {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in [
            ("a/b.rs", b"//! B.".as_slice()),
            ("target/x.rs", b""),
            ("fuzz/target/x.rs", b""),
            ("models/m", b""),
            ("logo", &[0xff, 0xfe]),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let tree = Tree::read(folder.path()).unwrap();
        assert_eq!(tree.paths().collect::<Vec<_>>(), ["a/b.rs", "logo"]);
        assert_eq!(tree.text("a/b.rs"), Some("//! B."));
        assert_eq!(tree.text("logo"), None);
    }

    #[test]
    fn files_and_folders_exist() {
        let tree = Tree::of(&[("a/b.md", ""), ("a-c", "")]);
        for (path, expected) in [
            ("a/b.md", true),
            ("a", true),
            ("a/", true),
            ("a-c", true),
            ("a-c/", false),
            ("a/b", false),
            ("", true),
        ] {
            assert_eq!(tree.exists(path), expected, "{path:?}");
        }
    }
}
