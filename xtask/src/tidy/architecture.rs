//! ARCHITECTURE.md tells the truth: the crates, modules, files and dependencies that it names exist, and it names every
//! crate and every dependency of the product.

use std::collections::{BTreeMap, BTreeSet};

use super::crates::{Crate, Workspace};
use super::finding::Finding;
use super::layers::is_for_development;
use super::markdown::{Document, Spot};
use super::rust::{File, Place};
use super::tree::Tree;

const PATH: &str = "ARCHITECTURE.md";

/// Code that begins so is a path in the repository.
const FOLDERS: &[&str] = &["crates/", "xtask/", "benches/", "assets/", "docs/"];

pub(crate) fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let Some(text) = tree.text(PATH) else {
        return vec![Finding::new(
            PATH,
            0,
            "does not exist",
            "write the map of crates, layers and dependencies",
        )];
    };
    let document = Document::read(text);
    let mut findings = Vec::new();
    check_names(tree, workspace, &document, &mut findings);
    check_mentions(workspace, &document, &mut findings);
    check_dependencies(workspace, &document, &mut findings);
    findings
}

/// Every crate, module and path in backticks exists.
fn check_names(tree: &Tree, workspace: &Workspace, document: &Document, findings: &mut Vec<Finding>) {
    for code in &document.codes {
        let name = code.text.as_str();
        let problem = if FOLDERS.iter().any(|folder| name.starts_with(folder)) {
            let path = without_placeholders(name);
            (!tree.exists(path)).then(|| format!("names `{name}`, which is no file or folder"))
        } else if looks_like_crate(name) {
            let known = workspace.crates.iter().any(|one| one.name == name);
            (!known).then(|| format!("names `{name}`, which is no crate of the workspace"))
        } else {
            missing_module(tree, workspace, name)
        };
        if let Some(problem) = problem {
            findings.push(Finding::new(
                PATH,
                code.line,
                problem,
                "correct the name, or tell of what is there",
            ));
        }
    }
}

/// A path up to its first step that stands for something else: `*`, `NAME`, `<name>`.
fn without_placeholders(path: &str) -> &str {
    let mut end = 0;
    for step in path.split_inclusive('/') {
        let word = step.trim_end_matches('/').trim_end_matches(".rs").trim_end_matches(".toml");
        let stands_for_more = word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if stands_for_more || step.contains(['*', '<', '{']) {
            return &path[..end];
        }
        end += step.len();
    }
    path
}

fn looks_like_crate(name: &str) -> bool {
    let words = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    words && (name.starts_with("unruffled-") || name.ends_with("-unruffled"))
}

/// What is wrong with `unruffled_engine::queue::Key` or `crate::queue`, if it is of that form and something is.
fn missing_module(tree: &Tree, workspace: &Workspace, name: &str) -> Option<String> {
    let mut steps = name.split("::");
    let first = steps.next()?.replace('_', "-");
    let steps: Vec<String> = steps.map(|step| step.trim_end_matches("()").to_owned()).collect();
    if steps.is_empty() {
        return None;
    }
    let crates: Vec<&Crate> = match first.as_str() {
        "crate" => workspace.crates.iter().collect(),
        own if own == "unruffled" || looks_like_crate(own) => {
            let named: Vec<&Crate> = workspace.crates.iter().filter(|one| one.name == own).collect();
            if named.is_empty() {
                return Some(format!("names `{name}`, of no crate of the workspace"));
            }
            named
        }
        _ => return None,
    };
    let exists = crates.iter().any(|one| holds(tree, one, &steps));
    (!exists).then(|| format!("names `{name}`, which is no module or item"))
}

/// Whether the steps lead through modules of a crate to another module or to a word of its sources.
fn holds(tree: &Tree, one: &Crate, steps: &[String]) -> bool {
    one.roots.iter().any(|root| {
        let depth =
            (0..=steps.len()).rev().find(|depth| root.modules.contains_key(&steps[..*depth])).unwrap_or(0);
        let Some(item) = steps.get(depth) else { return true };
        let is_word = |path: &str| {
            let file = tree.text(path).and_then(|text| File::read(text, Place::Product).ok());
            file.is_some_and(|file| file.words.contains(item))
        };
        root.modules.get(&steps[..depth]).is_some_and(|module| is_word(&module.file))
    })
}

/// Every crate is spoken of.
fn check_mentions(workspace: &Workspace, document: &Document, findings: &mut Vec<Finding>) {
    for one in &workspace.crates {
        let Crate { name, folder, .. } = one;
        let is_mentioned = document.codes.iter().any(|code| {
            let code = code.text.trim_end_matches('/');
            code == name || code == folder || code.starts_with(&format!("{folder}/"))
        });
        if !is_mentioned {
            let problem = format!("does not speak of the crate `{name}`");
            findings.push(Finding::new(
                PATH,
                0,
                problem,
                "say in backticks what it holds and what it never knows",
            ));
        }
    }
}

/// The list of dependencies is the list of dependencies.
fn check_dependencies(workspace: &Workspace, document: &Document, findings: &mut Vec<Finding>) {
    let members: BTreeSet<&str> = workspace.crates.iter().map(|one| one.name.as_str()).collect();
    let mut used: BTreeMap<&str, &str> = BTreeMap::new();
    for one in workspace.crates.iter().filter(|one| !is_for_development(&one.name)) {
        for name in one.dependencies.iter().filter(|name| !members.contains(name.as_str())) {
            used.entry(name).or_insert(&one.name);
        }
    }
    let under = document
        .items
        .iter()
        .filter(|item| item.headings.iter().any(|heading| heading.to_lowercase().contains("dependenc")));
    let listed: Vec<&Spot> = under.flat_map(|item| &item.codes).collect();
    for (name, user) in &used {
        if !listed.iter().any(|spot| spot.text == *name) {
            let problem = format!("does not list the dependency `{name}` of `{user}`");
            let remedy = format!("add \"- `{name}`: what for\" under the heading of dependencies");
            findings.push(Finding::new(PATH, 0, problem, remedy));
        }
    }
    for spot in listed.iter().filter(|spot| !used.contains_key(spot.text.as_str())) {
        let problem = format!("lists `{}`, on which no crate of the product depends", spot.text);
        findings.push(Finding::new(
            PATH,
            spot.line,
            problem,
            "remove the line, or correct the package's name",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::assert_findings;
    use super::*;

    const LIST: &str = "`xtask` `unruffled-engine`\n\n## Dependencies\n\n- `tracing`: spans\n";

    #[track_caller]
    fn check_text(text: &str, expected: &[&str]) {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\", \"xtask\"]"),
            (
                "crates/unruffled-engine/Cargo.toml",
                "[package]\nname = \"unruffled-engine\"\n[dependencies]\ntracing = \"1\"",
            ),
            ("crates/unruffled-engine/src/lib.rs", "mod queue; pub struct Engine;"),
            ("crates/unruffled-engine/src/queue.rs", "pub fn push() {}"),
            ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n[dependencies]\nzip = \"1\""),
            (PATH, text),
        ]);
        let (workspace, findings) = Workspace::read(&tree);
        assert!(findings.is_empty(), "{findings:?}");
        assert_findings(&check(&tree, &workspace), expected);
    }

    #[test]
    fn true_names_pass() {
        check_text(LIST, &[]);
        let names = "`unruffled_engine::queue::push` `unruffled_engine::Engine` `crate::queue` `std::fmt` \
            `crates/unruffled-engine/src/queue.rs` `crates/` `crates/NAME/src` `assets`";
        check_text(&format!("{names}\n\n{LIST}"), &[]);
    }

    #[test]
    fn false_names_do_not() {
        check_text(
            &format!("`unruffled-extra` `unruffled_engine::batch` `crates/other/src`\n\n{LIST}"),
            &[
                "ARCHITECTURE.md:1: names `unruffled-extra`, which is no crate of the workspace",
                "ARCHITECTURE.md:1: names `unruffled_engine::batch`, which is no module or item",
                "ARCHITECTURE.md:1: names `crates/other/src`, which is no file or folder",
            ],
        );
    }

    #[test]
    fn every_crate_is_spoken_of() {
        check_text(
            "`crates/unruffled-engine`\n# Dependencies\n- `tracing`",
            &["ARCHITECTURE.md:0: does not speak of the crate `xtask`"],
        );
    }

    #[test]
    fn the_dependencies_are_those_of_the_product() {
        check_text(
            "`xtask` `unruffled-engine`\n\n## Dependencies\n\n- `zip`: archives\n\n## Other\n\n- `tokio`: not here\n",
            &[
                "ARCHITECTURE.md:0: does not list the dependency `tracing` of `unruffled-engine`",
                "ARCHITECTURE.md:5: lists `zip`, on which no crate of the product depends",
            ],
        );
    }

    #[test]
    fn it_exists() {
        let tree = Tree::of(&[("Cargo.toml", "[workspace]\nmembers = []")]);
        let (workspace, _) = Workspace::read(&tree);
        assert_findings(&check(&tree, &workspace), &["ARCHITECTURE.md:0: does not exist"]);
    }
}
