//! The Python that tasks use: a virtual environment of the repository's own, with a pinned pip.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, terminal};

/// The first with machine-readable progress is 24.1.
const PIP: &str = "25.3";

const PROGRAMS: &[&str] = &["python3", "python"];

pub(crate) struct Python {
    program: PathBuf,
}

/// What keeps us from making an environment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Python,
    Venv,
}

impl Missing {
    /// The packages that bring it, as Debian names them.
    pub(crate) fn packages(&self) -> &'static [&'static str] {
        match self {
            Missing::Python => &["python3", "python3-venv"],
            Missing::Venv => &["python3-venv"],
        }
    }
}

/// What is missing on this system, if anything.
pub(crate) fn missing() -> Option<Missing> {
    let Some(program) = system_program() else {
        return Some(Missing::Python);
    };
    let mut probe = Command::new(program);
    // Debian ships `venv` without what it needs; asking for both tells.
    let result = command::capture(probe.args(["-c", "import venv, ensurepip"]));
    result.is_err().then_some(Missing::Venv)
}

fn system_program() -> Option<&'static str> {
    let works = |program: &&&str| {
        let probe = "import sys; sys.exit(sys.version_info < (3, 9))";
        command::capture(Command::new(**program).args(["-c", probe])).is_ok()
    };
    PROGRAMS.iter().find(works).copied()
}

impl Python {
    /// The environment in `.venv`, made or mended if need be.
    pub(crate) fn ready(root: &Path) -> Result<Self> {
        let folder = root.join(".venv");
        let program = match cfg!(windows) {
            true => folder.join("Scripts/python.exe"),
            false => folder.join("bin/python"),
        };
        let python = Python { program };
        let found = python.pip_version();
        if found.as_deref() == Some(PIP) {
            return Ok(python);
        }
        if found.is_none() {
            make(&folder)?;
        }
        println!("installing pip {PIP} into .venv");
        let mut install = python.pip(&["install", "--quiet"]);
        install.arg(format!("pip=={PIP}"));
        command::capture(&mut install)
            .context("failed to set up .venv; remedy: remove it and run this again")?;
        Ok(python)
    }

    fn pip_version(&self) -> Option<String> {
        let probe = command::capture(&mut self.pip(&["--version"])).ok()?;
        Some(probe.split_whitespace().nth(1)?.to_owned())
    }

    pub(crate) fn pip(&self, arguments: &[&str]) -> Command {
        let mut pip = self.run(&["-m", "pip", "--disable-pip-version-check", "--no-input"]);
        pip.args(arguments);
        pip
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut python = Command::new(&self.program);
        python.args(arguments);
        python
    }

    /// Installs what a file of requirements names.
    pub(crate) fn install(&self, requirements: &Path) -> Result<()> {
        let mut install = self.pip(&["install", "--quiet", "--requirement"]);
        command::run(install.arg(requirements))
            .with_context(|| format!("failed to install {}", requirements.display()))
    }
}

impl Python {
    /// Installs what a file of requirements names into a folder of its own, unless it is there; with or without what these
    /// depend on.
    pub(crate) fn install_apart(
        &self,
        requirements: &Path,
        folder: &Path,
        with_dependencies: bool,
    ) -> Result<()> {
        let wanted = std::fs::read_to_string(requirements)?;
        let installed = folder.join("installed.txt");
        if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            return Ok(());
        }
        let mut install = self.pip(&["install", "--quiet", "--upgrade", "--requirement"]);
        install.arg(requirements).arg("--target").arg(folder);
        if !with_dependencies {
            install.arg("--no-deps");
        }
        command::run(&mut install)
            .with_context(|| format!("failed to install {}", requirements.display()))?;
        Ok(std::fs::write(installed, wanted)?)
    }
}

fn make(folder: &Path) -> Result<()> {
    if let Some(missing) = missing() {
        let what = match missing {
            Missing::Python => "Python 3.9 or newer is not installed",
            Missing::Venv => "Python's venv module is not installed",
        };
        bail!("{what}; remedy: apt-get install {}", missing.packages().join(" "));
    }
    let program = system_program().context("Python went away")?;
    println!("making .venv with {program}");
    let mut venv = Command::new(program);
    command::capture(venv.args(["-m", "venv", "--clear"]).arg(folder)).context("failed to make .venv")?;
    terminal::note("made .venv; it may be removed at any time");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_names_packages() {
        assert_eq!(Missing::Venv.packages(), ["python3-venv"]);
        assert!(Missing::Python.packages().contains(&"python3"));
    }
}
