//! What the steps need of the system. As root on Debian it is installed; elsewhere it is named.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::models::python::{self, Python};
use crate::node::Node;
use crate::{command, terminal, workspace};

/// Programs, how to ask whether they run, and the package that brings each, as Debian names it.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("WebKitWebDriver", "--version", "webkit2gtk-driver"),
    ("Xvfb", "-help", "xvfb"),
    ("cc", "--version", "gcc"),
    ("chromedriver", "--version", "chromium-driver"),
    ("chromium", "--version", "chromium"),
    ("curl", "--version", "curl"),
    ("espeak-ng", "--version", "espeak-ng"),
    ("git", "--version", "git"),
    ("openssl", "version", "openssl"),
    ("pkg-config", "--version", "pkg-config"),
];

/// What windows are built with, as `pkg-config` knows it, and the package that brings its headers.
const WEBVIEW: (&str, &str) = ("webkit2gtk-4.1", "libwebkit2gtk-4.1-dev");

/// Where the wheel of perf_analyzer is for.
const HAS_PERF_ANALYZER: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// A library that it needs, where Debian puts it, and the package that brings it.
const LIBRARY: (&str, &str) = ("/usr/lib/x86_64-linux-gnu/libb64.so.0d", "libb64-0d");

pub(crate) fn run() -> Result<()> {
    let missing = missing_packages();
    if !missing.is_empty() {
        install(&missing)?;
        let still = missing_packages();
        if !still.is_empty() {
            bail!("{} still missing after the installation", still.join(", "));
        }
    }
    let root = workspace::root();
    // Asks nobody when all is there already.
    let python = Python::ready(&root)?;
    python.install(&root.join("assets/requirements.txt"))?;
    Node::ready(&root, &python)?;
    let apart = |name: &str, with_dependencies| {
        let requirements = root.join(format!("assets/clients/{name}.txt"));
        python.install_apart(&requirements, &root.join(".venv/clients").join(name), with_dependencies)
    };
    apart("mlserver", true)?;
    if HAS_PERF_ANALYZER { apart("perf_analyzer", false) } else { Ok(()) }
}

fn missing_packages() -> Vec<&'static str> {
    let absent = PROGRAMS.iter().filter(|(program, probe, _)| !command::exists(program, probe));
    let mut packages: Vec<&str> = absent.map(|(_, _, package)| *package).collect();
    if HAS_PERF_ANALYZER && !Path::new(LIBRARY.0).exists() {
        packages.push(LIBRARY.1);
    }
    let has_webview = || command::capture(Command::new("pkg-config").args(["--exists", WEBVIEW.0])).is_ok();
    if cfg!(target_os = "linux") && !has_webview() {
        packages.push(WEBVIEW.1);
    }
    packages.extend(python::missing().iter().flat_map(super::super::models::python::Missing::packages));
    packages
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !may_install() {
        bail!("not installed: {list} (Debian's names); remedy: sudo apt-get install {list}");
    }
    terminal::note(&format!("installing {list}"));
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn may_install() -> bool {
    let user = command::capture(Command::new("id").arg("-u"));
    Path::new("/etc/debian_version").exists() && user.is_ok_and(|id| id.trim() == "0")
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command::run(&mut apt).context("failed to install what the tests need")
}
