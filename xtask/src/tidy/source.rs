//! What Rust sources must not hold: the environment where a crate promised silence, unfinished or ignored code, sleeps
//! that wait in tests, and files that no crate knows.

use std::collections::BTreeSet;

use super::crates::{Crate, Workspace};
use super::finding::Finding;
use super::layers;
use super::rust::{File, Mention, MentionKind, Place};
use super::tree::Tree;

const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// All of this crate is test code, though it is compiled like any other.
const TESTING: &str = "crates/unruffled-testing/";

/// The comment that allows a sleep, on its line or the line above, followed by the reason.
const ALLOWED: &str = "// tidy: ";

pub(crate) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let test_modules = test_module_files(tree);
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".rs")) {
        let is_test = path.contains("/tests/") || test_modules.contains(path);
        let place = if is_test { Place::Test } else { Place::Product };
        // What does not parse inside a crate has been reported when its modules were read.
        let Ok(file) = File::read(text, place) else {
            continue;
        };
        check_documentation(path, text, &mut findings);
        check_unfinished(path, &file, &mut findings);
        check_sleeps(path, text, &file, &mut findings);
        if let Some(owner) = owner(workspace, path)
            && !is_test
        {
            check_silence(path, &file, owner, &mut findings);
            check_belongs(path, owner, &mut findings);
        }
    }
    findings
}

/// The crate whose `src/` a file is in.
fn owner<'a>(workspace: &'a Workspace, path: &str) -> Option<&'a Crate> {
    workspace.crates.iter().find(|one| path.starts_with(&format!("{}/src/", one.folder)))
}

fn check_documentation(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !text.trim_start_matches('\u{feff}').starts_with("//!") {
        findings.push(Finding::new(
            path,
            1,
            "does not begin with `//!`",
            "begin with a sentence that says what this file is for",
        ));
    }
}

fn check_unfinished(path: &str, file: &File, findings: &mut Vec<Finding>) {
    for call in file.macros.iter().filter(|call| UNFINISHED.contains(&call.name.as_str())) {
        let problem = format!("holds `{}!`", call.name);
        findings.push(Finding::new(path, call.line, problem, "finish it, or open an issue and leave it out"));
    }
    for attribute in file.attributes.iter().filter(|attribute| attribute.name == "ignore") {
        findings.push(Finding::new(
            path,
            attribute.line,
            "holds an ignored test",
            "assert today's behaviour and say why it is wrong",
        ));
    }
}

fn check_sleeps(path: &str, text: &str, file: &File, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = text.lines().collect();
    let is_allowed = |line: usize| {
        let near = [line.checked_sub(1), line.checked_sub(2)].into_iter().flatten();
        near.filter_map(|at| lines.get(at))
            .any(|line| line.split_once(ALLOWED).is_some_and(|(_, why)| !why.trim().is_empty()))
    };
    let is_for_tests = path.starts_with(TESTING);
    for mention in file.mentions.iter().filter(|mention| is_for_tests || mention.place == Place::Test) {
        if is_sleep(mention) && !is_allowed(mention.line) {
            findings.push(Finding::new(
                path,
                mention.line,
                "a test sleeps",
                "wait for an event, or say why not behind `// tidy: ` on this line or the line above",
            ));
        }
    }
}

/// `thread::sleep`, `tokio::time::sleep_until`, or a call of the bare name.
fn is_sleep(mention: &Mention) -> bool {
    let [.., last] = mention.segments.as_slice() else {
        return false;
    };
    if last != "sleep" && last != "sleep_until" {
        return false;
    }
    match mention.kind {
        MentionKind::Call => true,
        MentionKind::Code => {
            mention.segments.iter().rev().nth(1).is_some_and(|module| module == "thread" || module == "time")
        }
        MentionKind::Import { .. } => false,
    }
}

fn check_silence(path: &str, file: &File, owner: &Crate, findings: &mut Vec<Finding>) {
    let Some(rule) = layers::rule(&owner.name) else {
        return;
    };
    for mention in file.mentions.iter().filter(|mention| mention.place == Place::Product) {
        let broken = rule.silent_about.iter().find(|silent| mentions(&mention.segments, silent));
        if let Some(silent) = broken {
            findings.push(Finding::new(
                path,
                mention.line,
                format!("`{}` promises silence about `{silent}`", owner.name),
                "let the command line read it and pass a checked value in",
            ));
        }
    }
}

/// Whether a path leads to `std::a::b` or into it. `process::exit` behind an import of `std::process` counts.
fn mentions(segments: &[String], silent: &str) -> bool {
    let silent: Vec<&str> = silent.split("::").collect();
    let is_whole = segments.len() >= silent.len() && segments.iter().zip(&silent).all(|(a, b)| a == b);
    let tail = &silent[1..];
    is_whole
        || (tail.len() > 1 && segments.len() == tail.len() && segments.iter().zip(tail).all(|(a, b)| a == b))
}

fn check_belongs(path: &str, owner: &Crate, findings: &mut Vec<Finding>) {
    if !owner.roots.iter().any(|root| root.modules.values().any(|module| module.file == path)) {
        let problem = "belongs to no crate: no `mod` names it";
        findings.push(Finding::new(path, 0, problem, "declare it where it belongs, or remove it"));
    }
}

/// Files of modules that are declared for tests only, and what those declare in turn.
fn test_module_files(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".rs")) {
        let Ok(file) = File::read(text, Place::Product) else {
            continue;
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => path.trim_end_matches(".rs").to_owned(),
        };
        for declared in file.modules.iter().filter(|declared| declared.place == Place::Test) {
            let steps: Vec<&str> = std::iter::once(stem.as_str())
                .chain(declared.within.iter().map(String::as_str))
                .chain(std::iter::once(declared.name.as_str()))
                .collect();
            let module = steps.join("/");
            let below = format!("{module}/");
            let files = tree.paths().filter(|at| **at == format!("{module}.rs") || at.starts_with(&below));
            found.extend(files.map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::finding::assert_findings;
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let mut files = files.to_vec();
        files.push(("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]"));
        let names = ["unruffled-cli", "unruffled-engine", "unruffled-testing"];
        let manifests =
            names.map(|name| (format!("crates/{name}/Cargo.toml"), format!("[package]\nname = \"{name}\"")));
        files.extend(manifests.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        let tree = Tree::of(&files);
        let (workspace, findings) = Workspace::read(&tree);
        assert!(findings.is_empty(), "{findings:?}");
        assert_findings(&check(&tree, &workspace), expected);
    }

    #[track_caller]
    fn check_engine(text: &str, expected: &[&str]) {
        check_files(&[("crates/unruffled-engine/src/lib.rs", text)], expected);
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        check_engine("//! The engine.\nfn f() {}", &[]);
        check_engine("fn f() {}", &["crates/unruffled-engine/src/lib.rs:1: does not begin with `//!`"]);
    }

    #[test]
    fn nothing_is_unfinished_or_ignored() {
        check_engine(
            "//! E.\nfn f() { todo!(\"x\") }\n#[test]\n#[ignore = \"slow\"]\nfn g() { unimplemented!() }\n// dbg!(x) todo!()",
            &[
                "crates/unruffled-engine/src/lib.rs:2: holds `todo!`",
                "crates/unruffled-engine/src/lib.rs:5: holds `unimplemented!`",
                "crates/unruffled-engine/src/lib.rs:4: holds an ignored test",
            ],
        );
    }

    #[test]
    fn promised_silence_is_kept() {
        check_engine("//! Reads no `std::env`.\nuse std::fmt;\n#[cfg(test)] mod tests { use std::fs; }", &[]);
        check_engine(
            "//! E.\nuse std::{env, fs::File};\nfn f() { std::process::abort() }\nconst A: &str = env!(\"A\");",
            &[
                "crates/unruffled-engine/src/lib.rs:2: `unruffled-engine` promises silence about `std::env`",
                "crates/unruffled-engine/src/lib.rs:2: `unruffled-engine` promises silence about `std::fs`",
                "crates/unruffled-engine/src/lib.rs:3: `unruffled-engine` promises silence about `std::process`",
            ],
        );
        check_files(
            &[
                (
                    "crates/unruffled-cli/src/main.rs",
                    "//! Reads it.\nuse std::env;\nfn f() { std::process::exit(1) }",
                ),
                (
                    "crates/unruffled-testing/src/lib.rs",
                    "//! T.\nuse std::process;\nfn f() { process::exit(1) }",
                ),
            ],
            &[
                "crates/unruffled-testing/src/lib.rs:3: `unruffled-testing` promises silence about `std::process::exit`",
            ],
        );
    }

    #[test]
    fn tests_do_not_sleep_without_a_reason() {
        check_files(
            &[
                (
                    "crates/unruffled-engine/tests/it/main.rs",
                    "//! T.\nasync fn f() {\n    tokio::time::sleep(d).await;\n    // tidy: the load is the test\n    \
                     sleep(d);\n    std::thread::sleep(d); // tidy: as above\n    engine.sleep(d);\n    sleep(d);\n}",
                ),
                (
                    "crates/unruffled-engine/src/lib.rs",
                    "//! E.\nfn f() { thread::sleep(d) }\n#[cfg(test)] mod t;",
                ),
                ("crates/unruffled-engine/src/t.rs", "//! T.\nfn f() { thread::sleep(d) }"),
                ("crates/unruffled-testing/src/lib.rs", "//! S.\nfn f() { thread::sleep(d) } // tidy:"),
            ],
            &[
                "crates/unruffled-engine/src/t.rs:2: a test sleeps",
                "crates/unruffled-engine/tests/it/main.rs:3: a test sleeps",
                "crates/unruffled-engine/tests/it/main.rs:8: a test sleeps",
                "crates/unruffled-testing/src/lib.rs:2: a test sleeps",
            ],
        );
    }

    #[test]
    fn every_file_belongs_to_a_crate() {
        check_files(
            &[
                ("crates/unruffled-engine/src/lib.rs", "//! E.\nmod a;\n#[cfg(test)]\nmod t;"),
                ("crates/unruffled-engine/src/a.rs", "//! A."),
                ("crates/unruffled-engine/src/t.rs", "//! T.\nmod u;"),
                ("crates/unruffled-engine/src/t/u.rs", "//! U."),
                ("crates/unruffled-engine/src/lost.rs", "//! L."),
            ],
            &["crates/unruffled-engine/src/lost.rs:0: belongs to no crate: no `mod` names it"],
        );
    }
}
