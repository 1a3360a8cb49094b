//! Test data that scripts of the repository make with the Python in `.venv`. What a script has made is made again when the
//! script, those beside it, its arguments or the packages that it may use have changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::checksum;
use super::gather::Folders;
use super::python::Python;
use crate::{command, terminal};

/// The packages that scripts may use.
const REQUIREMENTS: &str = "assets/requirements.txt";

/// Beside what was made: of what it was made.
const STAMP: &str = "stamp";

/// What one script makes, in a folder of the cache that has the same name.
pub(crate) struct Made {
    pub(crate) name: &'static str,
    /// Takes `--out FOLDER`, which does not exist yet.
    script: &'static str,
    arguments: &'static [&'static str],
}

#[rustfmt::skip]
pub(crate) const MADE: &[Made] = &[
    Made { name: "estimators", script: "assets/estimators/make.py", arguments: &[] },
    Made { name: "nodes", script: "assets/nodes/make.py", arguments: &[] },
    Made { name: "pipelines", script: "assets/pipelines/make.py", arguments: &[] },
    Made { name: "trees", script: "assets/estimators/make.py", arguments: &["--bench"] },
];

impl Made {
    /// Runs the script, unless what it makes is there.
    pub(crate) fn make(&self, folders: &Folders) -> Result<()> {
        if self.is_here(folders)? {
            println!("{} is here", self.name);
            return Ok(());
        }
        terminal::heading(self.name);
        println!("  making it with {}", self.script);
        let python = Python::ready(&folders.root)?;
        python.install(&folders.root.join(REQUIREMENTS))?;
        let staging = folders.cache.join("staging").join(self.name);
        remove(&staging)?;
        let mut script = python.run(&[]);
        script.arg(folders.root.join(self.script)).arg("--out").arg(&staging).args(self.arguments);
        command::run(&mut script)?;
        self.put_in_place(&staging, folders)
    }

    /// Whether it has been made of what is there now.
    pub(crate) fn is_here(&self, folders: &Folders) -> Result<bool> {
        let kept = fs::read_to_string(folders.cache.join(self.name).join(STAMP));
        let stamp = self.stamp(&folders.root)?;
        Ok(kept.is_ok_and(|kept| kept == stamp))
    }

    fn stamp(&self, root: &Path) -> Result<String> {
        let mut sources = scripts_beside(&root.join(self.script))?;
        sources.push(root.join(REQUIREMENTS));
        let mut parts = Vec::new();
        for path in &sources {
            parts.push(fs::read(path).with_context(|| format!("failed to read {}", path.display()))?);
        }
        parts.extend(self.arguments.iter().map(|argument| argument.as_bytes().to_vec()));
        Ok(checksum::of_parts(&parts))
    }

    fn put_in_place(&self, staging: &Path, folders: &Folders) -> Result<()> {
        // Last, so that what an interrupted run has left does not pass for the whole.
        fs::write(staging.join(STAMP), self.stamp(&folders.root)?)
            .with_context(|| format!("{} has made nothing", self.script))?;
        let place = folders.cache.join(self.name);
        remove(&place)?;
        fs::rename(staging, &place).with_context(|| format!("failed to put {} in place", place.display()))
    }
}

/// The script and those in its folder, which it may import.
fn scripts_beside(script: &Path) -> Result<Vec<PathBuf>> {
    let folder = script.parent().context("a script lies in a folder")?;
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut scripts = vec![script.to_path_buf()];
    for entry in entries {
        let path = entry?.path();
        if path != script && path.extension().is_some_and(|extension| extension == "py") {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_kept_until_what_it_was_made_of_changes() {
        let root = tempfile::tempdir().unwrap();
        let folders = Folders::below(root.path());
        let made = Made { name: "m", script: "scripts/make.py", arguments: &["--small"] };
        assert!(made.is_here(&folders).is_err(), "there is no script");
        for folder in ["assets", "scripts"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join(REQUIREMENTS), "onnx==1").unwrap();
        fs::write(root.path().join("scripts/make.py"), "print(1)").unwrap();
        assert!(!made.is_here(&folders).unwrap());
        let staging = folders.cache.join("staging/m");
        for content in ["first", "second"] {
            fs::create_dir_all(&staging).unwrap();
            fs::write(staging.join("data"), content).unwrap();
            made.put_in_place(&staging, &folders).unwrap();
            assert_eq!(fs::read_to_string(folders.cache.join("m/data")).unwrap(), content);
        }
        let other = Made { arguments: &[], ..made };
        assert!(!other.is_here(&folders).unwrap(), "other arguments make something else");
        for script in ["scripts/make.py", "scripts/imported.py"] {
            assert!(made.is_here(&folders).unwrap());
            fs::write(root.path().join(script), "print(2)").unwrap();
            assert!(!made.is_here(&folders).unwrap(), "{script} has changed");
            fs::create_dir_all(&staging).unwrap();
            made.put_in_place(&staging, &folders).unwrap();
        }
    }
}
