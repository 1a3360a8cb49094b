//! Cargo, as the toolchain that runs us has it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, workspace};

/// Cargo of the running toolchain, in the repository's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace::root());
    command
}

/// Where Cargo builds: `CARGO_TARGET_DIR`, its configuration or its default.
pub(crate) fn target_folder() -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let text = command::capture(&mut cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Metadata = serde_json::from_str(&text).context("failed to read cargo's metadata")?;
    Ok(metadata.target_directory)
}
