//! The page of the guide and the schema that are checked in are what the list of options says.

use std::fs;
use std::path::Path;

use clap::FromArgMatches as _;
use unruffled::engine::JobsOptions;
use unruffled::engine::job::JobLimits;
use unruffled_server::ServerOptions;

use super::options::Settings;
use super::reference::{command, default, keys, properties, schema};

/// The page, and the line after which it is made.
const PAGE: &str = "docs/guide/configuration.md";
const MADE: &str = "## Every setting\n";

const SCHEMA: &str = "docs/configuration.schema.json";

/// The headings of what has none in the help.
const FIRST: &str = "Models and addresses";
const LOG: &str = "Log";
const RUNTIMES: &str = "Runtimes";

/// The tables of the page.
fn tables() -> String {
    let command = command();
    let mut page = String::new();
    let mut last = String::new();
    for (key, property) in properties() {
        let argument = command.get_arguments().find(|argument| *argument.get_id() == *key);
        let heading = match (argument, key.as_str()) {
            (Some(argument), _) => argument.get_help_heading().unwrap_or(FIRST),
            (None, "log" | "log_format") => LOG,
            (None, _) => RUNTIMES,
        };
        if heading != last {
            page.push_str(&format!("\n### {heading}\n\n| key | default | meaning |\n| --- | --- | --- |\n"));
            last = heading.to_owned();
        }
        let default = default(&key).map_or(String::new(), |default| format!("`{default}`"));
        let meaning = property["description"].as_str().unwrap_or_default().replace(['\n', '|'], " ");
        let live = if Settings::LIVE.contains(&key.as_str()) { ". Live" } else { "" };
        page.push_str(&format!("| `{key}` | {default} | {meaning}{live} |\n"));
    }
    page
}

#[test]
fn the_page_and_the_schema_are_made_from_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let written = fs::read_to_string(root.join(PAGE)).unwrap();
    let (head, _) = written.split_once(MADE).expect("the page has the heading");
    let made = [(PAGE, format!("{head}{MADE}{}", tables())), (SCHEMA, schema())];
    let stale: Vec<_> = made
        .into_iter()
        .filter(|(path, content)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(content))
        .map(|(path, content)| {
            fs::write(root.join(path), content).unwrap();
            path
        })
        .collect();
    assert!(stale.is_empty(), "{stale:?} were not made from the list of options; they are now: commit them");
}

#[test]
fn the_list_is_whole_and_in_order() {
    let keys = keys();
    assert_eq!((&*keys[0], &*keys[1], keys.last().unwrap().as_str()), ("file", "models", "python"));
    for argument in command().get_arguments() {
        assert!(keys.contains(&argument.get_id().to_string()), "{argument}");
    }
}

/// What is told as a default is what counts where nothing is told.
#[test]
fn defaults_are_those_of_the_server() {
    let matches = command().get_matches_from(["serve"]);
    let settings = Settings::from_arg_matches(&matches).unwrap();
    let said = format!("{:?}", settings.limit(ServerOptions::default()));
    assert_eq!(said, format!("{:?}", ServerOptions::default()));
    let (limits, options) = settings.job_limits();
    assert_eq!(limits, JobLimits::default());
    let of = |options: JobsOptions| format!("{:?}", options.with_seed(1));
    assert_eq!(of(options), of(JobsOptions::default()));
}
