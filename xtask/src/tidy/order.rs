//! The order of modules: a list of `mod`s names the bottom layer first, and a module uses only those listed above it.
//! The list is therefore the reading order.
//!
//! The same holds at every level. A module may use what stands in the modules around it, and its own children; an
//! import that goes through a re-export counts as one of the module that it leads to.

use super::crates::{Module, Root, Workspace};
use super::finding::Finding;
use super::rust::{Mention, Place};

/// Re-exports followed before giving up: no sane chain is longer, and a cycle ends.
const REEXPORTS_MAX: usize = 8;

pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for root in workspace.crates.iter().flat_map(|one| &one.roots) {
        for (place, module) in &root.modules {
            let product = module.mentions.iter().filter(|mention| mention.place == Place::Product);
            for mention in product {
                findings.extend(check_mention(root, place, module, mention));
            }
        }
    }
    findings
}

fn check_mention(root: &Root, from: &[String], module: &Module, mention: &Mention) -> Option<Finding> {
    let path = absolute(from, &mention.segments)?;
    for target in modules_passed(root, &path) {
        let Some((parent, own, used)) = siblings(from, &target) else {
            continue;
        };
        let list = &root.modules.get(parent)?.children;
        let position = |name: &String| list.iter().position(|listed| listed == name);
        if position(used) > position(own) {
            let written = mention.segments.join("::");
            let place = if parent.is_empty() { "crate".to_owned() } else { parent.join("::") };
            let list_file = &root.modules.get(parent)?.file;
            return Some(Finding::new(
                &module.file,
                mention.line,
                format!("`{own}` uses `{written}`, but `{place}` lists `{used}` below `{own}`"),
                format!("move what is shared down, or change the order of the `mod`s in {list_file}"),
            ));
        }
    }
    None
}

/// The path from the root of the crate; none for paths that begin with a plain name, which stay inside the module or go
/// through an import that is checked itself.
fn absolute(from: &[String], segments: &[String]) -> Option<Vec<String>> {
    let mut base: Vec<String> = match segments.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => from.to_vec(),
        _ => return None,
    };
    for segment in segments {
        match segment.as_str() {
            "crate" | "self" => {}
            "super" => {
                base.pop();
            }
            _ => base.push(segment.clone()),
        }
    }
    Some(base)
}

/// The module in which a path ends, and if a re-export leads on from there, the one where that ends, and so on.
fn modules_passed(root: &Root, path: &[String]) -> Vec<Vec<String>> {
    let mut passed = Vec::new();
    let mut path = path.to_vec();
    for _ in 0..REEXPORTS_MAX {
        let depth =
            (0..=path.len()).rev().find(|depth| root.modules.contains_key(&path[..*depth])).unwrap_or(0);
        let (place, rest) = path.split_at(depth);
        passed.push(place.to_vec());
        let Some(name) = rest.first() else { break };
        let Some(import) = root.modules.get(place).and_then(|module| module.import(name)) else {
            break;
        };
        let Some(target) = absolute(place, import).or_else(|| child_path(root, place, import)) else {
            break;
        };
        path = [target.as_slice(), &rest[1..]].concat();
    }
    passed
}

/// `use child::Thing` in a module means its own child.
fn child_path(root: &Root, place: &[String], import: &[String]) -> Option<Vec<String>> {
    let children = &root.modules.get(place)?.children;
    children.contains(import.first()?).then(|| [place, import].concat())
}

/// Where two modules part: their nearest common parent, and under it the names that lead to the one and to the other.
/// None if one holds the other.
fn siblings<'a>(from: &'a [String], target: &'a [String]) -> Option<(&'a [String], &'a String, &'a String)> {
    let common = from.iter().zip(target).take_while(|(a, b)| a == b).count();
    Some((&from[..common], from.get(common)?, target.get(common)?))
}

#[cfg(test)]
mod tests {
    use super::super::finding::assert_findings;
    use super::super::tree::Tree;
    use super::*;

    /// Files below `crates/a/src/`.
    #[track_caller]
    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<(String, &str)> =
            files.iter().map(|(path, text)| (format!("crates/a/src/{path}"), *text)).collect();
        let mut tree: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        tree.push(("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]"));
        tree.push(("crates/a/Cargo.toml", "[package]\nname = \"a\""));
        let (workspace, findings) = Workspace::read(&Tree::of(&tree));
        assert!(findings.is_empty(), "{findings:?}");
        assert_findings(&check(&workspace), expected);
    }

    #[test]
    fn modules_above_may_be_used() {
        check_files(
            &[
                ("lib.rs", "mod low; mod high; pub use high::H; fn f() { low::x(); crate::high::y() }"),
                ("low.rs", "use std::fmt; #[cfg(test)] mod tests { use crate::high::H; }"),
                ("high.rs", "use crate::low::L; use self::x; mod x { use super::Y; use crate::low::L; }"),
            ],
            &[],
        );
    }

    #[test]
    fn modules_below_may_not() {
        check_files(
            &[
                ("lib.rs", "mod low;\nmod high;"),
                (
                    "low.rs",
                    "use crate::{high::H, low::L};\nfn f() { super::high::x() }\nfn g() { vec![crate::high::y()] }",
                ),
                ("high.rs", ""),
            ],
            &[
                "crates/a/src/low.rs:1: `low` uses `crate::high::H`, but `crate` lists `high` below `low`",
                "crates/a/src/low.rs:2: `low` uses `super::high::x`, but `crate` lists `high` below `low`",
                "crates/a/src/low.rs:3: `low` uses `crate::high::y`, but `crate` lists `high` below `low`",
            ],
        );
    }

    #[test]
    fn nested_modules_are_checked_at_their_own_level_and_above() {
        check_files(
            &[
                ("lib.rs", "mod a; mod b; mod c;"),
                ("a.rs", ""),
                ("b/mod.rs", "mod one; mod two; pub(crate) struct Shared;"),
                (
                    "b/one.rs",
                    "use super::two::T; use super::Shared; use crate::a::A;\nuse super::super::c::C;",
                ),
                ("b/two.rs", "use super::one::O;"),
                ("c.rs", "use crate::b::two::T;"),
            ],
            &[
                "crates/a/src/b/one.rs:1: `one` uses `super::two::T`, but `b` lists `two` below `one`",
                "crates/a/src/b/one.rs:2: `b` uses `super::super::c::C`, but `crate` lists `c` below `b`",
            ],
        );
    }

    #[test]
    fn a_reexport_is_no_way_around() {
        check_files(
            &[
                (
                    "lib.rs",
                    "mod low; mod mid; mod high; pub use high::inner::H as Renamed; pub use crate::low::L;",
                ),
                ("low.rs", "use crate::Renamed;"),
                ("mid.rs", "use crate::L;"),
                ("high.rs", "pub mod inner;"),
                ("high/inner.rs", ""),
            ],
            &["crates/a/src/low.rs:1: `low` uses `crate::Renamed`, but `crate` lists `high` below `low`"],
        );
    }

    #[test]
    fn programs_have_their_own_order() {
        check_files(
            &[("main.rs", "mod x; mod y;"), ("x.rs", "use crate::y::Y;"), ("y.rs", ""), ("lib.rs", "")],
            &["crates/a/src/x.rs:1: `x` uses `crate::y::Y`, but `crate` lists `y` below `x`"],
        );
    }
}
