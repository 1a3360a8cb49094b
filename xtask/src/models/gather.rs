//! One model: what is missing of it is made in a folder aside, checked, and only then put in place.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive;
use super::checksum::{self, State};
use super::manifest::{Model, ModelFile, Pipeline};
use super::python::Python;
use crate::{command, terminal};

pub(crate) struct Folders {
    pub(crate) root: PathBuf,
    /// Manifest, builds, and for each model its settings and labels.
    pub(crate) described: PathBuf,
    /// The model repository.
    pub(crate) gathered: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Folders {
    pub(crate) fn below(root: &Path) -> Self {
        let gathered = root.join("models");
        let cache = gathered.join(".cache");
        Folders { root: root.to_path_buf(), described: root.join("xtask/models"), gathered, cache }
    }
}

pub(crate) fn gather(model: &Model, folders: &Folders) -> Result<()> {
    let own = folders.gathered.join(&model.name);
    let wanted = wanted_files(model, &own)?;
    if wanted.is_empty() {
        println!("{} is here", model.name);
    } else {
        terminal::heading(&model.name);
        let python = Python::ready(&folders.root)?;
        let archive = archive::fetch(model, &folders.cache, &python)?;
        let staging = folders.cache.join("staging").join(&model.name);
        if staging.exists() {
            fs::remove_dir_all(&staging)?;
        }
        fs::create_dir_all(&staging)?;
        make(model, &wanted, &archive, &staging, folders, &python)?;
        for file in &wanted {
            put_in_place(file, &staging, &own)?;
        }
        fs::remove_dir_all(&staging)?;
    }
    // Settings and labels may have changed though the model has not.
    copy_described(&folders.described.join(&model.name), &own)
}

/// The files that are not there or not right.
fn wanted_files<'a>(model: &'a Model, own: &Path) -> Result<Vec<&'a ModelFile>> {
    let mut wanted = Vec::new();
    for file in &model.files {
        match checksum::state(&own.join(&file.to), &file.sha256)? {
            State::Right => continue,
            State::Missing => {}
            State::Wrong(path) => {
                terminal::note(&format!("{} differs from the manifest and is made again", path.display()));
            }
        }
        wanted.push(file);
    }
    Ok(wanted)
}

fn make(
    model: &Model,
    wanted: &[&ModelFile],
    archive: &Path,
    staging: &Path,
    folders: &Folders,
    python: &Python,
) -> Result<()> {
    for file in wanted {
        if let Some(from) = &file.from {
            archive::extract(archive, from, &staging.join(&file.to))?;
        }
    }
    if let Some(script) = model.build.as_ref().filter(|_| wanted.iter().any(|file| file.from.is_none())) {
        println!("  building with {script}");
        python.install(&folders.described.join("requirements.txt"))?;
        let mut build = python.run(&[]);
        build.arg(folders.described.join(script)).arg(archive).arg(staging);
        command::run(&mut build)?;
    }
    Ok(())
}

fn put_in_place(file: &ModelFile, staging: &Path, own: &Path) -> Result<()> {
    let made = staging.join(&file.to);
    let remedy = match file.from {
        Some(_) => "the manifest does not describe this package: compare `from`, `to` and `sha256`",
        None => {
            "the build made something else: check that requirements.txt is pinned, then correct the manifest"
        }
    };
    checksum::verify(&made, &file.sha256, remedy)?;
    let place = own.join(&file.to);
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::rename(&made, &place).with_context(|| format!("failed to put {} in place", place.display()))?;
    println!("  {} is right", file.to);
    Ok(())
}

/// Puts a pipeline beside the models that it asks, with the files that it takes of theirs.
pub(crate) fn gather_pipeline(pipeline: &Pipeline, folders: &Folders) -> Result<()> {
    let own = folders.gathered.join(&pipeline.name);
    copy_described(&folders.described.join(&pipeline.name), &own)?;
    for file in &pipeline.files {
        copy_if_changed(&folders.gathered.join(&file.from), &own.join(&file.to))?;
    }
    println!("{} is here", pipeline.name);
    Ok(())
}

/// Copies a model's settings and labels, and whatever else lies beside them. What is equal keeps its time stamp.
fn copy_described(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else {
        return Ok(());
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_described(&entry.path(), &target)?;
        } else {
            copy_if_changed(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// The page about the models goes beside them.
pub(crate) fn copy_page(folders: &Folders) -> Result<()> {
    let page = folders.described.join("README.md");
    if page.exists() {
        copy_if_changed(&page, &folders.gathered.join("README.md"))?;
    }
    Ok(())
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("failed to read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).with_context(|| format!("failed to write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_copied_and_follow_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("samples")).unwrap();
        fs::write(from.join("model.toml"), "a = 1").unwrap();
        fs::write(from.join("samples/x.json"), "{}").unwrap();
        copy_described(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("samples/x.json")).unwrap(), "{}");
        fs::write(from.join("model.toml"), "a = 2").unwrap();
        copy_described(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("model.toml")).unwrap(), "a = 2");
        copy_described(&folder.path().join("none"), &to).unwrap();
    }

    #[test]
    fn a_model_that_is_there_needs_no_python() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::below(folder.path());
        let own = folders.gathered.join("m");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("abc"), "abc").unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        let file = ModelFile { from: Some("x".into()), to: "abc".into(), sha256: sha256.clone() };
        let model = Model {
            name: "m".into(),
            package: "none".into(),
            version: "0".into(),
            archive: "none.whl".into(),
            sha256,
            license: "MIT".into(),
            build: None,
            files: vec![file],
        };
        gather(&model, &folders).unwrap();
        assert!(!folder.path().join(".venv").exists());
    }
}
