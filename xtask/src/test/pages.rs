//! The pages of desktop apps, and the package that they ask models by: checked, tested, built.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::node::Node;
use crate::{command, workspace};

/// The package for pages.
const PACKAGE: &str = "crates/tauri-plugin-unruffled/guest-js";

/// The demo, which is built on it.
const DEMO: &str = "apps/demo";

/// Builds what the programs take in; `test` runs what counts its tests.
pub(super) fn run(mut test: impl FnMut(&mut Command) -> Result<u64>) -> Result<()> {
    let root = workspace::root();
    let node = Node::known(&root);
    let npm = |folder: &str, arguments: &[&str]| {
        let mut npm = node.npm(&root.join(folder), arguments)?;
        command::run(&mut npm).with_context(|| format!("in {folder}"))
    };
    for folder in [PACKAGE, DEMO] {
        npm(folder, &["ci", "--no-audit", "--no-fund"])?;
        npm(folder, &["run", "build"])?;
        npm(folder, &["run", "check"])?;
        let mut tests = node.npm(&root.join(folder), &["test"])?;
        // The one that is read here; the other is for people.
        tests.env("NODE_OPTIONS", "--test-reporter=tap");
        ensure!(test(&mut tests)? > 0, "no test of {folder} ran");
    }
    npm(PACKAGE, &["run", "pack-check"])?;
    npm(PACKAGE, &["run", "script", "--", "--check"]).context("remedy: npm run build, and commit api-iife.js")
}
