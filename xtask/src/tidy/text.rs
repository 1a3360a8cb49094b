//! What no file may hold, whatever its language: words that belong to one machine, tabs, blanks at line ends, and more
//! lines than one idea needs.

use super::finding::Finding;
use super::tree::Tree;

/// Files that people write, by the end of their name.
const WRITTEN: &[&str] = &[
    ".css", ".html", ".js", ".md", ".proto", ".py", ".pyi", ".rs", ".sh", ".toml", ".ts", ".yaml", ".yml",
    ".ci/run",
];

/// Made by a program, so its words and its length are not ours to choose.
const GENERATED: &[&str] = &["Cargo.lock", "generated.rs"];

const LINES_MAX: usize = 700;

/// Folders of one machine. Written in halves, so that this file does not break its own rule.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];

/// Package registries, by a part of their host's name.
const REGISTRIES: &[&str] = &[concat!("crates", ".io"), "pypi", "npmjs", "pythonhosted", "debian"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        if GENERATED.iter().any(|name| path.rsplit('/').next() == Some(name)) {
            continue;
        }
        check_words(path, text, &mut findings);
        if WRITTEN.iter().any(|end| path.ends_with(end)) {
            check_blanks(path, text, &mut findings);
            check_length(path, text, &mut findings);
        }
    }
    findings
}

fn check_words(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in numbered(text) {
        for machine_path in MACHINE_PATHS.iter().filter(|word| is_absolute_path(line, word)) {
            let problem = format!("holds `{machine_path}`, a path of one machine");
            findings.push(Finding::new(
                path,
                number,
                problem,
                "name it relative to the repository or the home folder",
            ));
        }
        for host in registry_hosts(line) {
            let problem = format!("holds the registry host `{host}`");
            findings.push(Finding::new(
                path,
                number,
                problem,
                "name the package; clients know where to look",
            ));
        }
    }
}

/// Whether the line holds the path as a whole word: `/a/b` does not stand in `x/a/b`.
fn is_absolute_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"_-.*~}".contains(before))
    })
}

/// Hosts of registries: in addresses, and as bare names such as `static.NAME`.
fn registry_hosts(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || ".-:/@_".contains(c)));
    words.filter_map(|word| {
        let (is_address, rest) = match word.split_once("://") {
            Some((_, rest)) => (true, rest),
            None => (false, word),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let host = host.trim_matches('.');
        let is_registry = REGISTRIES.iter().any(|part| host.contains(part));
        // Without a scheme `name.io` alone is the name of a registry, as in a sentence; with something before it, or
        // another registry's name with an ending, it is a host.
        let is_host = match host.strip_suffix(REGISTRIES[0]) {
            Some(before) => before.ends_with('.'),
            None => host.contains('.') && is_domain(host),
        };
        (is_registry && (is_address || is_host)).then_some(host)
    })
}

fn is_domain(host: &str) -> bool {
    host.rsplit('.').next().is_some_and(|end| matches!(end, "com" | "dev" | "io" | "net" | "org"))
}

fn check_blanks(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in numbered(text) {
        if line.contains('\t') {
            findings.push(Finding::new(path, number, "holds a tab", "indent with blanks"));
        }
        if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(path, number, "ends in blanks", "remove them"));
        }
    }
}

fn check_length(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    if path.starts_with("crates/") && lines > LINES_MAX {
        let problem = format!("has {lines} lines, over {LINES_MAX}");
        findings.push(Finding::new(path, 0, problem, "split it by idea, not by size"));
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::finding::assert_findings;
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        assert_findings(&check(&Tree::of(&[(path, text)])), expected);
    }

    #[test]
    fn machine_paths_stay_out() {
        let [first, second, _] = MACHINE_PATHS else { unreachable!("there are three") };
        check_file("a.md", &format!("frame{first}x and ~{first}y and ${{HOME}}{second}z"), &[]);
        let expected = format!("a.md:2: holds `{first}`, a path of one machine");
        check_file("a.md", &format!("\nsee {first}main"), &[expected.as_str()]);
        let expected = format!("data.json:1: holds `{second}`, a path of one machine");
        check_file("data.json", &format!("\"{second}x\""), &[expected.as_str()]);
    }

    #[test]
    fn registry_hosts_stay_out() {
        let [rust, python, node, files, system] = REGISTRIES else { unreachable!("there are five") };
        for good in [
            format!("published on {rust}."),
            format!("registry+https://github.com/rust-lang/{rust}-index"),
            format!("from {python}, for {system} 12"),
            format!("a {system}.control file"),
        ] {
            check_file("a.md", &good, &[]);
            check_file("Cargo.lock", &format!("https://{rust}/x"), &[]);
        }
        for (line, host) in [
            (format!("https://{rust}/crates/x"), (*rust).to_owned()),
            (format!("index.{rust}"), format!("index.{rust}")),
            (format!("(http://user@{python}.org:443/simple)"), format!("{python}.org")),
            (format!("\"registry.{node}.org\""), format!("registry.{node}.org")),
            (format!("https://files.{files}.org/packages"), format!("files.{files}.org")),
            (format!("deb http://deb.{system}.org/x main"), format!("deb.{system}.org")),
        ] {
            check_file("a.json", &line, &[format!("a.json:1: holds the registry host `{host}`").as_str()]);
        }
    }

    #[test]
    fn tabs_and_blanks_stay_out() {
        check_file("a.rs", "fn f() {\n    1\n}\n", &[]);
        check_file("labels.txt", " \t\n ", &[]);
        check_file("a.rs", "\tx\ny \n", &["a.rs:1: holds a tab", "a.rs:2: ends in blanks"]);
    }

    #[test]
    fn files_are_not_too_long() {
        check_file("crates/a/src/lib.rs", &"x\n".repeat(LINES_MAX), &[]);
        let long = "x\n".repeat(LINES_MAX + 1);
        check_file("crates/a/src/lib.rs", &long, &["crates/a/src/lib.rs:0: has 701 lines, over 700"]);
        check_file("assets/labels.toml", &long, &[]);
    }
}
