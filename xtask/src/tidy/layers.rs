//! Who may import whom: lower rows only, never sideways, and nothing that a crate promises not to know.

use std::collections::BTreeSet;

use super::crates::{Crate, Workspace};
use super::finding::Finding;

/// A crate's place in the design. This table is the design's, in data: a change here is a change there.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    row: Row,
    /// Dependencies it promises not to have, beyond what the rows forbid. `name*` is every name that begins so.
    never: &'static [&'static str],
    /// Parts of the standard library that its sources do not mention, tests aside.
    pub(crate) silent_about: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Ground = 1,
    Sibling,
    Library,
    Edge,
    Program,
    /// Measures and checks all the others; nothing imports it.
    Tool,
    /// For development: imports the ground alone, is imported by tests alone.
    Testing,
}

use Row::{Edge, Ground, Library, Program, Sibling, Testing, Tool};

const RUNTIMES: &str = "tokio*";
const ENVIRONMENT: &[&str] = &["std::env", "std::process::exit"];

#[rustfmt::skip]
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "unruffled-model", row: Ground,
        never: &[RUNTIMES, "async-std", "futures*", "serde*", "smol", "tracing*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled-engine", row: Sibling,
        never: &["axum*", "hyper*", "http", "tonic*", "prost*", "reqwest", "ureq", "serde*", "rten*", "ort", "ort-sys",
            "pyo3*", "tempfile", "process-wrap", "notify", "redb"],
        silent_about: &["std::env", "std::fs", "std::net", "std::process"] },
    Rule { name: "unruffled-onnx", row: Sibling,
        never: &[RUNTIMES, "futures*", "axum*", "hyper*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled-steps", row: Sibling,
        never: &[RUNTIMES, "futures*", "serde*", "rten*", "ort", "ort-sys"],
        silent_about: &["std::env", "std::fs", "std::net", "std::process"] },
    Rule { name: "unruffled-worker", row: Sibling,
        never: &[RUNTIMES, "futures*", "axum*", "hyper*", "pyo3*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled-protocol", row: Sibling,
        never: &[RUNTIMES, "axum*", "hyper*", "tonic*", "tower*"],
        silent_about: &["std::env", "std::net", "std::process::exit"] },
    Rule { name: "unruffled-derive", row: Sibling,
        never: &[RUNTIMES, "futures*", "axum*", "hyper*", "serde*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled", row: Library,
        never: &["axum*", "tonic*", "tauri*", "pyo3*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled-server", row: Edge,
        never: &["unruffled", "unruffled-onnx", "unruffled-worker", "rten*", "ort", "ort-sys", "pyo3*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled-nats", row: Edge,
        never: &["unruffled-onnx", "unruffled-worker", "rten*", "ort", "ort-sys", "axum*"],
        silent_about: ENVIRONMENT },
    Rule { name: "tauri-plugin-unruffled", row: Edge,
        never: &["unruffled-onnx", "unruffled-worker", "rten*", "ort", "ort-sys", "axum*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled-python", row: Edge,
        never: &["unruffled-onnx", "unruffled-worker", "unruffled-protocol", "rten*", "ort", "ort-sys", "axum*"],
        silent_about: ENVIRONMENT },
    Rule { name: "unruffled-cli", row: Program,
        never: &["unruffled-onnx", "unruffled-worker", "rten*", "ort", "ort-sys", "pyo3*"],
        silent_about: &[] },
    Rule { name: "unruffled-demo", row: Program,
        never: &["unruffled", "unruffled-engine", "unruffled-onnx", "unruffled-worker", "rten*", "ort", "ort-sys"],
        silent_about: &[] },
    Rule { name: "unruffled-testing", row: Testing,
        never: &[RUNTIMES],
        silent_about: ENVIRONMENT },
    Rule { name: "benches", row: Tool, never: &[], silent_about: &[] },
    Rule { name: "xtask", row: Tool, never: &[RUNTIMES, "rten*", "axum*"], silent_about: &[] },
];

const TABLE: &str = "xtask/src/tidy/layers.rs";

pub(crate) fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Whether a crate is only for development, so that users never build it.
pub(crate) fn is_for_development(name: &str) -> bool {
    rule(name).is_some_and(|rule| matches!(rule.row, Testing | Tool))
}

pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let members: BTreeSet<&str> = workspace.crates.iter().map(|one| one.name.as_str()).collect();
    let mut findings = Vec::new();
    for one in &workspace.crates {
        let manifest = one.manifest();
        if !one.takes_workspace_lints {
            findings.push(Finding::new(
                &manifest,
                0,
                "does not take the workspace's lints",
                "add `[lints]` with `workspace = true`",
            ));
        }
        match rule(&one.name) {
            Some(rule) => check_crate(one, rule, &members, &mut findings),
            None => findings.push(Finding::new(
                &manifest,
                0,
                format!("`{}` has no place in the layers", one.name),
                format!("give it a row and its promises in {TABLE} and ARCHITECTURE.md"),
            )),
        }
    }
    findings
}

fn check_crate(one: &Crate, own: &Rule, members: &BTreeSet<&str>, findings: &mut Vec<Finding>) {
    let manifest = one.manifest();
    let mut report =
        |problem: String, remedy: &str| findings.push(Finding::new(&manifest, 0, problem, remedy));
    for name in &one.dependencies {
        if own.never.iter().any(|never| matches_name(never, name)) {
            report(
                format!("`{}` depends on `{name}`, which it promises not to know", own.name),
                "move the code that needs it to the crate whose topic it is",
            );
        } else if let Some(other) = rule(name).filter(|_| members.contains(name.as_str()))
            && !may_import(own.row, other.row)
        {
            report(
                format!("`{}` ({:?}) imports `{name}` ({:?})", own.name, own.row, other.row),
                "crates import from lower rows only: pass the thing in through a trait, or move it down",
            );
        }
    }
    for name in &one.dev_dependencies {
        if let Some(other) = rule(name).filter(|_| members.contains(name.as_str()))
            && other.row != Testing
            && !may_import(own.row, other.row)
        {
            report(
                format!("tests of `{}` ({:?}) import `{name}` ({:?})", own.name, own.row, other.row),
                "tests import from lower rows and from `unruffled-testing`: move the test up",
            );
        }
    }
}

fn may_import(importer: Row, imported: Row) -> bool {
    match (importer, imported) {
        (Tool, imported) => imported != Tool,
        (Testing, imported) => imported == Ground,
        (_, Testing | Tool) => false,
        (importer, imported) => imported < importer,
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::assert_findings;
    use super::super::tree::Tree;
    use super::*;

    /// Crates as a name and the lines of their manifest behind the lints.
    #[track_caller]
    fn check_manifests(crates: &[(&str, &str)], expected: &[&str]) {
        let manifests: Vec<(String, String)> = crates
            .iter()
            .map(|(name, lines)| {
                let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{lines}");
                (format!("crates/{name}/Cargo.toml"), text)
            })
            .collect();
        let mut files: Vec<(&str, &str)> =
            manifests.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        files.push(("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]"));
        let (workspace, findings) = Workspace::read(&Tree::of(&files));
        assert!(findings.is_empty(), "{findings:?}");
        assert_findings(&check(&workspace), expected);
    }

    #[test]
    fn imports_go_down() {
        check_manifests(
            &[
                ("unruffled-model", ""),
                ("unruffled-engine", "[dependencies]\nunruffled-model.workspace = true"),
                ("unruffled", "[dependencies]\nunruffled-engine.workspace = true"),
                ("unruffled-cli", "[dependencies]\nunruffled.workspace = true"),
            ],
            &[],
        );
    }

    #[test]
    fn imports_never_go_up_or_sideways() {
        check_manifests(
            &[
                ("unruffled-model", "[dependencies]\nunruffled-engine = \"1\""),
                ("unruffled-engine", "[target.'cfg(unix)'.dependencies]\nunruffled-protocol = \"1\""),
                ("unruffled-protocol", ""),
            ],
            &[
                "crates/unruffled-engine/Cargo.toml:0: `unruffled-engine` (Sibling) imports `unruffled-protocol` (Sibling)",
                "crates/unruffled-model/Cargo.toml:0: `unruffled-model` (Ground) imports `unruffled-engine` (Sibling)",
            ],
        );
    }

    #[test]
    fn promises_not_to_know_are_kept() {
        check_manifests(
            &[
                ("unruffled-model", "[dependencies]\nserde_json = \"1\""),
                ("unruffled-engine", "[dev-dependencies]\nserde_json = \"1\""),
                ("unruffled-onnx", "[build-dependencies]\nx = { package = \"tokio\", version = \"1\" }"),
                ("unruffled-server", "[dependencies]\nunruffled = \"1\""),
                ("unruffled", ""),
            ],
            &[
                "crates/unruffled-model/Cargo.toml:0: `unruffled-model` depends on `serde_json`, which it promises not to know",
                "crates/unruffled-onnx/Cargo.toml:0: `unruffled-onnx` depends on `tokio`, which it promises not to know",
                "crates/unruffled-server/Cargo.toml:0: `unruffled-server` depends on `unruffled`, which it promises not to know",
            ],
        );
    }

    #[test]
    fn the_testing_crate_is_for_tests_and_stays_on_the_ground() {
        check_manifests(
            &[
                ("unruffled-model", "[dev-dependencies]\nunruffled-testing = \"1\""),
                ("unruffled-engine", "[dependencies]\nunruffled-testing = \"1\""),
                ("unruffled-testing", "[dependencies]\nunruffled-engine = \"1\"\nunruffled-model = \"1\""),
            ],
            &[
                "crates/unruffled-engine/Cargo.toml:0: `unruffled-engine` (Sibling) imports `unruffled-testing` (Testing)",
                "crates/unruffled-testing/Cargo.toml:0: `unruffled-testing` (Testing) imports `unruffled-engine` (Sibling)",
            ],
        );
    }

    #[test]
    fn tests_do_not_import_upwards_either() {
        check_manifests(
            &[("unruffled-engine", "[dev-dependencies]\nunruffled = \"1\""), ("unruffled", "")],
            &[
                "crates/unruffled-engine/Cargo.toml:0: tests of `unruffled-engine` (Sibling) import `unruffled` (Library)",
            ],
        );
    }

    #[test]
    fn a_crate_without_a_row_is_a_finding() {
        check_manifests(
            &[("unruffled-extra", "")],
            &["crates/unruffled-extra/Cargo.toml:0: `unruffled-extra` has no place in the layers"],
        );
    }

    #[test]
    fn lints_are_taken_from_the_workspace() {
        let files = [
            ("Cargo.toml", "[workspace]\nmembers = [\"xtask\"]"),
            ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n"),
        ];
        let (workspace, _) = Workspace::read(&Tree::of(&files));
        assert_findings(&check(&workspace), &["xtask/Cargo.toml:0: does not take the workspace's lints"]);
    }
}
