//! The demo as a package, installed where nothing else is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::node::Node;
use crate::{command, workspace};

/// Makes the package of what has been built in `target`, and installs it below a root of its own: the program there.
pub(super) fn install(target: &Path) -> Result<PathBuf> {
    let repository = workspace::root();
    let bundles = target.join("debug/bundle/deb");
    clear(&bundles)?;
    let arguments = ["exec", "--", "tauri", "bundle", "--debug", "--bundles", "deb", "--ci"];
    let mut bundle = Node::known(&repository).npm(&repository.join("apps/demo"), &arguments)?;
    let library = onnxruntime(&repository.join(".venv"))?;
    let resources = serde_json::json!({ "bundle": { "resources": { library: "lib/libonnxruntime.so" } } });
    bundle.arg("--config").arg(resources.to_string());
    command::run(bundle.env("CARGO_TARGET_DIR", target))?;
    let mut packages = fs::read_dir(&bundles).with_context(|| format!("{}", bundles.display()))?;
    let package = packages.find_map(|entry| {
        let path = entry.ok()?.path();
        path.extension().is_some_and(|end| end == "deb").then_some(path)
    });
    let package = package.with_context(|| format!("no package in {}", bundles.display()))?;

    let root = target.join("tmp/installed");
    clear(&root)?;
    // What makes a folder a system for dpkg.
    for folder in ["updates", "info"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(folder))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    let mut dpkg = Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.display()));
    // Its libraries are those of the machine, and any user may own that root.
    dpkg.args(["--force-depends", "--force-not-root", "--log=/dev/null", "-i"]).arg(&package);
    command::run(&mut dpkg)?;
    fs::remove_file(package)?;
    Ok(root.join("usr/bin/unruffled-demo"))
}

/// The library of ONNX Runtime, from its Python package.
fn onnxruntime(environment: &Path) -> Result<String> {
    let remedy =
        || format!("no library of ONNX Runtime in {}; remedy: cargo xtask test setup", environment.display());
    let python =
        fs::read_dir(environment.join("lib")).with_context(remedy)?.next().with_context(remedy)??;
    let folder = python.path().join("site-packages/onnxruntime/capi");
    let is_library = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
    };
    let files = fs::read_dir(folder).with_context(remedy)?;
    let library = files.filter_map(|entry| Some(entry.ok()?.path())).find(is_library).with_context(remedy)?;
    library.into_os_string().into_string().ok().with_context(remedy)
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}", folder.display()))
        }
        _ => Ok(()),
    }
}
