//! The workspace as the rules see it: crates with their dependencies, and each crate's modules in listed order.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::finding::Finding;
use super::rust::{self, Declared, Form, MentionKind, Place};
use super::tree::Tree;

pub(crate) struct Workspace {
    pub(crate) crates: Vec<Crate>,
}

pub(crate) struct Crate {
    pub(crate) name: String,
    /// Its folder, without a slash at the end.
    pub(crate) folder: String,
    /// What the product is made of: ordinary, build and target dependencies.
    pub(crate) dependencies: BTreeSet<String>,
    pub(crate) dev_dependencies: BTreeSet<String>,
    pub(crate) takes_workspace_lints: bool,
    /// One for the library and one for each program.
    pub(crate) roots: Vec<Root>,
}

/// A library or a program: a tree of modules that call each other `crate::...`.
pub(crate) struct Root {
    /// Modules by their path from the root, which itself is the empty path.
    pub(crate) modules: BTreeMap<Vec<String>, Module>,
}

pub(crate) struct Module {
    pub(crate) file: String,
    /// Product modules in the order listed: bottom layer first.
    pub(crate) children: Vec<String>,
    pub(crate) mentions: Vec<rust::Mention>,
}

impl Crate {
    pub(crate) fn module_count(&self) -> usize {
        self.roots.iter().map(|root| root.modules.len() - 1).sum()
    }

    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl Module {
    /// What a name of this module stands for, if an import binds it.
    pub(crate) fn import(&self, name: &str) -> Option<&[String]> {
        let bound = self.mentions.iter().find(|one| match &one.kind {
            MentionKind::Import { name: bound } => bound == name,
            MentionKind::Code | MentionKind::Call => false,
        });
        bound.map(|one| one.segments.as_slice())
    }
}

#[derive(Deserialize)]
struct RootManifest {
    workspace: Members,
}

#[derive(Deserialize)]
struct Members {
    members: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Manifest {
    package: Package,
    lints: toml::Table,
    #[serde(flatten)]
    own: Dependencies,
    target: BTreeMap<String, Dependencies>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Package {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Dependencies {
    dependencies: toml::Table,
    build_dependencies: toml::Table,
    dev_dependencies: toml::Table,
}

impl Workspace {
    pub(crate) fn read(tree: &Tree) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut crates = Vec::new();
        for folder in folders(tree, &mut findings) {
            let path = format!("{folder}/Cargo.toml");
            let text = tree.text(&path).unwrap_or_default();
            match toml::from_str::<Manifest>(text) {
                Ok(manifest) => crates.push(read_crate(tree, &folder, &manifest, &mut findings)),
                Err(error) => findings.push(unreadable(&path, error.message())),
            }
        }
        (Workspace { crates }, findings)
    }
}

fn unreadable(path: &str, message: &str) -> Finding {
    Finding::new(path, 0, format!("cannot be read: {message}"), "make `cargo metadata` accept it first")
}

/// The members' folders. A member may end in `/*`.
fn folders(tree: &Tree, findings: &mut Vec<Finding>) -> BTreeSet<String> {
    let members = match toml::from_str::<RootManifest>(tree.text("Cargo.toml").unwrap_or_default()) {
        Ok(manifest) => manifest.workspace.members,
        Err(error) => {
            findings.push(unreadable("Cargo.toml", error.message()));
            return BTreeSet::new();
        }
    };
    let manifests = tree.paths().filter_map(|path| path.strip_suffix("/Cargo.toml"));
    let is_member = |folder: &str| {
        members.iter().any(|member| match member.strip_suffix("/*") {
            Some(parent) => folder.rsplit_once('/').is_some_and(|(above, _)| above == parent),
            None => folder == member,
        })
    };
    manifests.filter(|folder| is_member(folder)).map(str::to_owned).collect()
}

fn read_crate(tree: &Tree, folder: &str, manifest: &Manifest, findings: &mut Vec<Finding>) -> Crate {
    let mut dependencies = BTreeSet::new();
    let mut dev_dependencies = BTreeSet::new();
    for group in std::iter::once(&manifest.own).chain(manifest.target.values()) {
        dependencies.extend(package_names(&group.dependencies));
        dependencies.extend(package_names(&group.build_dependencies));
        dev_dependencies.extend(package_names(&group.dev_dependencies));
    }
    let roots = root_files(tree, folder).map(|path| read_root(tree, path, findings)).collect();
    let takes_workspace_lints = manifest.lints.get("workspace") == Some(&toml::Value::Boolean(true));
    let name = manifest.package.name.clone();
    Crate { name, folder: folder.to_owned(), dependencies, dev_dependencies, takes_workspace_lints, roots }
}

/// Packages, not the names that a crate gives them.
fn package_names(table: &toml::Table) -> impl Iterator<Item = String> {
    table.iter().map(|(key, value)| {
        let renamed = value.get("package").and_then(toml::Value::as_str);
        renamed.unwrap_or(key).to_owned()
    })
}

/// `src/lib.rs`, `src/main.rs`, `src/bin/NAME.rs` and `src/bin/NAME/main.rs`.
fn root_files<'a>(tree: &'a Tree, folder: &'a str) -> impl Iterator<Item = &'a str> {
    tree.paths().filter(move |path| {
        let Some(path) = path.strip_prefix(folder).and_then(|path| path.strip_prefix("/src/")) else {
            return false;
        };
        match path.strip_prefix("bin/") {
            Some(program) => {
                (program.ends_with(".rs") && !program.contains('/')) || program.ends_with("/main.rs")
            }
            None => path == "lib.rs" || path == "main.rs",
        }
    })
}

fn read_root(tree: &Tree, path: &str, findings: &mut Vec<Finding>) -> Root {
    let mut root = Root { modules: BTreeMap::new() };
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    read_module(tree, &mut root, &[], path, folder, findings);
    root
}

/// Reads a file into the modules that it holds: itself and those inline in it; then the files that it declares.
/// `folder` is where the files of its children are.
fn read_module(
    tree: &Tree,
    root: &mut Root,
    place: &[String],
    path: &str,
    folder: &str,
    findings: &mut Vec<Finding>,
) {
    let file = match rust::File::read(tree.text(path).unwrap_or_default(), Place::Product) {
        Ok(file) => file,
        Err(problem) => {
            findings.push(Finding::new(path, 0, problem, "make `cargo check` accept it first"));
            rust::File::default()
        }
    };
    let product: Vec<Declared> =
        file.modules.into_iter().filter(|declared| declared.place == Place::Product).collect();
    let at = |within: &[String]| [place, within].concat();
    let blank = || Module { file: path.to_owned(), children: Vec::new(), mentions: Vec::new() };
    root.modules.entry(place.to_owned()).or_insert_with(blank);
    for declared in &product {
        let parent = root.modules.entry(at(&declared.within)).or_insert_with(blank);
        parent.children.push(declared.name.clone());
        if declared.form == Form::Inline {
            let inner = [declared.within.as_slice(), std::slice::from_ref(&declared.name)].concat();
            root.modules.entry(at(&inner)).or_insert_with(blank);
        }
    }
    for mention in file.mentions {
        if let Some(module) = root.modules.get_mut(&at(&mention.within)) {
            module.mentions.push(mention);
        }
    }
    for declared in product.iter().filter(|declared| declared.form == Form::Own) {
        let mut steps = vec![folder.to_owned()];
        steps.extend(declared.within.iter().cloned());
        steps.push(declared.name.clone());
        let stem = steps.join("/");
        let file =
            [format!("{stem}.rs"), format!("{stem}/mod.rs")].into_iter().find(|file| tree.exists(file));
        if let Some(file) = file {
            let place = [at(&declared.within), vec![declared.name.clone()]].concat();
            read_module(tree, root, &place, &file, &stem, findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> (Workspace, Vec<Finding>) {
        let mut files = files.to_vec();
        files.push(("Cargo.toml", "[workspace]\nmembers = [\"crates/*\", \"xtask\"]"));
        Workspace::read(&Tree::of(&files))
    }

    #[test]
    fn members_dependencies_and_lints_are_read() {
        let manifest = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n[dependencies]\nb.workspace = true\n\
            c = { package = \"real-c\", version = \"1\" }\n[build-dependencies]\nd = \"1\"\n\
            [target.'cfg(unix)'.dependencies]\ne = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\nf = \"1\"\n";
        let (workspace, findings) = read(&[
            ("crates/a/Cargo.toml", manifest),
            ("xtask/Cargo.toml", "[package]\nname = \"xtask\""),
            ("fuzz/Cargo.toml", "[package]\nname = \"fuzz\""),
        ]);
        assert!(findings.is_empty(), "{findings:?}");
        let names: Vec<_> = workspace.crates.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "xtask"]);
        let dependencies: Vec<_> = workspace.crates[0].dependencies.iter().map(String::as_str).collect();
        assert_eq!(dependencies, ["b", "d", "e", "real-c"]);
        assert_eq!(workspace.crates[0].dev_dependencies.iter().collect::<Vec<_>>(), ["f"]);
        assert!(workspace.crates[0].takes_workspace_lints && !workspace.crates[1].takes_workspace_lints);
    }

    #[test]
    fn modules_are_found_in_files_folders_and_inline() {
        let (workspace, findings) = read(&[
            ("crates/a/Cargo.toml", "[package]\nname = \"a\""),
            ("crates/a/src/lib.rs", "mod one; mod two { mod deep; } mod three; #[cfg(test)] mod tests;"),
            ("crates/a/src/one.rs", "mod inner;"),
            ("crates/a/src/one/inner.rs", ""),
            ("crates/a/src/two/deep.rs", ""),
            ("crates/a/src/three/mod.rs", "mod leaf;"),
            ("crates/a/src/three/leaf.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
        ]);
        assert!(findings.is_empty(), "{findings:?}");
        let library = workspace.crates[0].roots.iter().find(|root| root.modules.len() > 1).unwrap();
        let places: Vec<String> = library.modules.keys().map(|place| place.join("::")).collect();
        assert_eq!(places, ["", "one", "one::inner", "three", "three::leaf", "two", "two::deep"]);
        assert_eq!(library.modules[&Vec::new()].children, ["one", "two", "three"]);
        assert_eq!(workspace.crates[0].module_count(), 6);
        assert_eq!(workspace.crates[0].roots.len(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_a_finding() {
        let (_, findings) = read(&[
            ("crates/a/Cargo.toml", "[package"),
            ("crates/b/Cargo.toml", ""),
            ("crates/b/src/lib.rs", "fn f( {"),
        ]);
        assert_eq!(findings.len(), 2);
        assert!(findings[1].problem.contains("is no Rust"), "{}", findings[1].problem);
    }
}
