//! A file of settings, in TOML: what stands in it, or where it is wrong.

use std::path::Path;

use toml::Table;

use super::options::Settings;
use crate::exit::{Exit, Failure};

/// How unlike a key may be for which another was meant.
const LIKENESS: f64 = 0.75;

/// Reads a file of settings. What is wrong with it is told with its line, the key and the value.
pub(super) fn read(path: &Path) -> Result<Settings, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("{}: cannot be read: {error}", path.display()))
            .hint("unruffled config check FILE")
    })?;
    let mut settings =
        parse(&text).map_err(|problem| Failure::new(Exit::Usage, format!("{}:{problem}", path.display())))?;
    settings.rebase(path.parent().unwrap_or(Path::new("")));
    Ok(settings)
}

/// The settings of a text; or the line, and what is wrong there.
fn parse(text: &str) -> Result<Settings, String> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let message = error.message().replace('\n', " ");
        if let Some(key) = unknown(&message) {
            return format!("{line}: `{key}`: there is no such setting{}", meant(key));
        }
        match key_of_line(text, line) {
            Some(key) => format!("{line}: `{key}`: {message}"),
            None => format!("{line}: {message}"),
        }
    })
}

/// The key that is not known.
fn unknown(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// The setting that may have been meant.
fn meant(key: &str) -> String {
    // As flags, variables and other programs write them.
    let plain = key.to_lowercase().replace('-', "_");
    let near = super::reference::keys()
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&plain, &known), known))
        .filter(|(likeness, _)| *likeness > LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match near {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => "; `unruffled config schema` lists them".to_owned(),
    }
}

/// The key that stands on a line.
fn key_of_line(text: &str, line: usize) -> Option<&str> {
    let (key, _) = text.lines().nth(line - 1)?.split_once('=')?;
    Some(key.trim()).filter(|key| !key.is_empty())
}

/// Settings as the file writes them: only those that are set.
pub(super) fn table(settings: &Settings) -> Table {
    Table::try_from(settings).expect("settings are texts, numbers and lists of these")
}

#[cfg(test)]
mod tests {
    use super::{parse, table};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse(text).map(|_| ()), Err(expected.to_owned()));
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        check("htpp = \"a\"", "1: `htpp`: there is no such setting; did you mean `http`?");
        check("\n\ntls-cert = \"a\"", "3: `tls-cert`: there is no such setting; did you mean `tls_cert`?");
        check(
            "[server]\nport = 1",
            "1: `server`: there is no such setting; `unruffled config schema` lists them",
        );
        check("# a\ngrace = \"soon\"", "2: `grace`: is `soon`; expected a time such as 250ms, 30s or 2m");
        check("queue = \"many\"", "1: `queue`: invalid type: string \"many\", expected a nonzero usize");
        check("queue = 0", "1: `queue`: invalid value: integer `0`, expected a nonzero usize");
        check(
            "memory = true",
            "1: `memory`: invalid type: boolean `true`, expected an amount such as 2GiB, 500MB or 1073741824",
        );
        check("allow_host = \"a\"", "1: `allow_host`: invalid type: string \"a\", expected a sequence");
        assert!(parse("queue = 1\nqueue = 2").unwrap_err().starts_with("2: `queue`: duplicate key"));
        assert!(parse("queue").unwrap_err().starts_with("1: "));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "http = \"0.0.0.0:80\"\nmemory = \"2GiB\"\ngrace = 1.5\notlp_sample = 0.5\nlog_format = \"json\"\n\
                    cors_origin = [\"*\"]\nshared_memory = true\nclient_rate = \"5/s\"\ngrpc = \"none\"\n";
        let read = table(&parse(text).unwrap());
        assert_eq!(read["memory"].as_str(), Some("2GiB"));
        assert_eq!(read["grace"].as_str(), Some("1500ms"));
        assert_eq!(table(&parse(&read.to_string()).unwrap()), read);
        assert_eq!(read.len(), 9, "what is not set is not there");
    }
}
