//! The invariants of the source tree, checked. Every rule is a pure function from a [`tree::Tree`] to findings; all
//! findings of all rules are shown at once.

mod tree;

mod finding;

mod rust;

mod crates;

mod layers;

mod order;

mod source;

mod text;

mod markdown;

mod links;

mod architecture;

use anyhow::{Result, bail};

use crate::{terminal, workspace};
use crates::Workspace;
use finding::Finding;
use tree::Tree;

/// Checks the tree that this process was built from.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(&workspace::root())?;
    let (workspace, findings) = check(&tree);
    for finding in &findings {
        anstream::println!("{finding}");
    }
    // The counts show that the rules had something to bite on.
    let crates = workspace.crates.len();
    let modules: usize = workspace.crates.iter().map(crates::Crate::module_count).sum();
    let files = tree.paths().count();
    let summary =
        format!("tidy: {crates} crates, {modules} modules, {files} files, {} findings", findings.len());
    if findings.is_empty() {
        terminal::note(&summary);
        return Ok(());
    }
    bail!("{summary}");
}

fn check(tree: &Tree) -> (Workspace, Vec<Finding>) {
    let (workspace, mut findings) = Workspace::read(tree);
    findings.extend(layers::check(&workspace));
    findings.extend(order::check(&workspace));
    findings.extend(source::check(tree, &workspace));
    findings.extend(text::check(tree));
    findings.extend(links::check(tree));
    findings.extend(architecture::check(tree, &workspace));
    findings.sort();
    findings.dedup();
    (workspace, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_tree_is_read() {
        let tree = Tree::read(&workspace::root()).unwrap();
        let (workspace, _) = check(&tree);
        assert!(workspace.crates.iter().any(|one| one.name == "xtask" && one.module_count() > 10));
    }
}
