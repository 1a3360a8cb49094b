//! Relative links in Markdown lead somewhere: to a file or folder of the tree, and to a heading in it.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::markdown::Document;
use super::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let documents: BTreeMap<&str, Document> = tree
        .texts()
        .filter(|(path, _)| path.ends_with(".md"))
        .map(|(path, text)| (path, Document::read(text)))
        .collect();
    let mut findings = Vec::new();
    for (path, document) in &documents {
        for link in document.links.iter().filter(|link| is_relative(&link.text)) {
            let (file, anchor) = link.text.split_once('#').unwrap_or((&link.text, ""));
            let Some(target) = resolve(path, file) else {
                let problem = format!("links to `{}`, outside the repository", link.text);
                findings.push(Finding::new(path, link.line, problem, "link inside the repository"));
                continue;
            };
            if !tree.exists(&target) {
                let problem = format!("links to `{}`, which does not exist", link.text);
                findings.push(Finding::new(
                    path,
                    link.line,
                    problem,
                    "correct the path from this file's folder",
                ));
            } else if let Some(other) = documents.get(target.as_str())
                && !anchor.is_empty()
                && !other.anchors.contains(anchor)
            {
                let problem = format!("links to `{}`, but {target} has no such heading", link.text);
                findings.push(Finding::new(
                    path,
                    link.line,
                    problem,
                    "take the anchor from the heading's words",
                ));
            }
        }
    }
    findings
}

fn is_relative(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:") && !link.starts_with("data:")
}

/// The path from the root of the repository; none if it leads out of it.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut steps: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for step in link.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop()?;
            }
            step => steps.push(step),
        }
    }
    let slash = if link.ends_with('/') && !steps.is_empty() { "/" } else { "" };
    Some(steps.join("/") + slash)
}

#[cfg(test)]
mod tests {
    use super::super::finding::assert_findings;
    use super::*;

    #[track_caller]
    fn check_link(link: &str, expected: &[&str]) {
        let text = format!("# Own heading\n\n[x]({link})\n");
        let tree =
            Tree::of(&[("docs/a.md", &text), ("docs/b.md", "## The Other: one\n"), ("assets/x/y.png", "")]);
        assert_findings(&check(&tree), expected);
    }

    #[test]
    fn links_that_lead_somewhere() {
        for link in [
            "b.md",
            "./b.md#the-other-one",
            "#own-heading",
            "../assets/x/y.png",
            "../assets/x/",
            "..",
            "/docs/b.md",
            "https://example.org/nowhere",
            "mailto:someone@example.org",
        ] {
            check_link(link, &[]);
        }
    }

    #[test]
    fn links_that_do_not() {
        check_link("c.md", &["docs/a.md:3: links to `c.md`, which does not exist"]);
        check_link("b.md#one", &["docs/a.md:3: links to `b.md#one`, but docs/b.md has no such heading"]);
        check_link("#other", &["docs/a.md:3: links to `#other`, but docs/a.md has no such heading"]);
        check_link("../../x.md", &["docs/a.md:3: links to `../../x.md`, outside the repository"]);
    }
}
