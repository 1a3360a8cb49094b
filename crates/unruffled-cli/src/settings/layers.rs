//! [`Layers`]: what was told by flags, variables, a file and nobody, and which of these counts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches as _};
use serde::Deserialize as _;
use toml::{Table, Value};

use super::file;
use super::options::Settings;
use super::{reference, variable};
use crate::exit::{Exit, Failure};

/// Who has said what a setting is; who comes first here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Variable,
    File,
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Flag => "flag",
            Source::Variable => "environment",
            Source::File => "file",
            Source::Default => "default",
        })
    }
}

/// What was told to this process, with a file that may be read again.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    flags: Table,
    variables: Table,
    defaults: Table,
    file: Option<PathBuf>,
}

/// What counts, and who has said it.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) settings: Settings,
    /// The same by names, in their order.
    table: Table,
    sources: BTreeMap<String, Source>,
}

impl Layers {
    /// What the command line and the environment have said, `settings` being what was read of both.
    pub(crate) fn new(settings: &Settings, matches: &ArgMatches, file: Option<PathBuf>) -> Self {
        let mut layers = Self { flags: Table::new(), variables: Table::new(), defaults: Table::new(), file };
        for (key, value) in file::table(settings) {
            // What a variable says of logs or runtimes has no argument here.
            let source = matches.try_contains_id(&key).ok().and_then(|_| matches.value_source(&key));
            let layer = match source {
                Some(ValueSource::CommandLine) => &mut layers.flags,
                Some(ValueSource::EnvVariable) => &mut layers.variables,
                _ => &mut layers.defaults,
            };
            layer.insert(key, value);
        }
        layers
    }

    /// What a file alone says.
    pub(crate) fn of_file(path: &Path) -> Self {
        let matches = reference::command().get_matches_from(["serve"]);
        let settings = Settings::from_arg_matches(&matches).expect("nothing is told that could be wrong");
        Self::new(&settings, &matches, Some(path.to_owned()))
    }

    /// What a variable says that is read elsewhere.
    pub(crate) fn with_variable(mut self, key: &str, value: String) -> Self {
        if !self.flags.contains_key(key) {
            self.variables.insert(key.to_owned(), Value::String(value));
        }
        self
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What counts now: the file is read anew.
    pub(crate) fn resolve(&self) -> Result<Effective, Failure> {
        let from_file = match &self.file {
            Some(path) => file::table(&file::read(path)?),
            None => Table::new(),
        };
        let mut table = Table::new();
        let mut sources = BTreeMap::new();
        // In the order of the list of options, so that people find them where they look.
        for key in reference::keys() {
            let layers = [
                (Source::Flag, &self.flags),
                (Source::Variable, &self.variables),
                (Source::File, &from_file),
                (Source::Default, &self.defaults),
            ];
            let found = layers.into_iter().find_map(|(source, layer)| Some((source, layer.get(&key)?)));
            if let Some((source, value)) = found {
                table.insert(key.clone(), value.clone());
                sources.insert(key, source);
            }
        }
        let settings = Settings::deserialize(Value::Table(table.clone()))
            .map_err(|error| Failure::new(Exit::Usage, error.message().to_owned()))?;
        settings.check().map_err(|problem| {
            let failure = Failure::new(Exit::Usage, problem);
            match &self.file {
                Some(path) => failure.hint(format!("unruffled config show --config {}", path.display())),
                None => failure,
            }
        })?;
        Ok(Effective { settings, table, sources })
    }
}

impl Effective {
    /// The settings, one a line as the file has them, with who has said each.
    pub(crate) fn page(&self) -> String {
        let lines: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| (format!("{key} = {value}"), self.sources[key], key))
            .collect();
        let width = lines.iter().map(|(line, ..)| line.chars().count()).max().unwrap_or(0).min(60);
        let mut page = String::new();
        for (line, source, key) in lines {
            let source = match source {
                Source::Variable => format!("{source}, {}", variable(key)),
                source => source.to_string(),
            };
            page.push_str(&format!("{line:width$}  # {source}\n"));
        }
        page
    }

    /// Who has said what a setting is, if it has a value.
    pub(crate) fn source(&self, key: &str) -> Option<Source> {
        self.sources.get(key).copied()
    }

    /// Takes one setting over.
    pub(crate) fn take(&mut self, new: &Self, key: &str) {
        match new.table.get(key) {
            Some(value) => self.table.insert(key.to_owned(), value.clone()),
            None => self.table.remove(key),
        };
    }

    /// The names of those that are not what they were.
    pub(crate) fn changes(&self, before: &Self) -> Vec<String> {
        let is_changed = |key: &String| self.table.get(key) != before.table.get(key);
        reference::keys().into_iter().filter(is_changed).collect()
    }
}
