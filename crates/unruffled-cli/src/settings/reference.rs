//! What is known of each option: its name, its default, its schema.

use clap::{Args as _, Command};
use schemars::schema_for;
use serde_json::Value;

use super::options::Settings;

/// The names of all settings, in the order in which they are listed.
pub(crate) fn keys() -> Vec<String> {
    properties().into_iter().map(|(key, _)| key).collect()
}

/// The JSON Schema of a file of settings.
pub(crate) fn schema() -> String {
    let mut schema = value();
    for (key, property) in schema["properties"].as_object_mut().into_iter().flatten() {
        // What is left out has no value; nothing is written as null.
        if let Some(kinds) = property["type"].as_array_mut() {
            kinds.retain(|kind| kind != "null");
            if let [only] = &**kinds {
                property["type"] = only.clone();
            }
        }
        if let Some(default) = default(key) {
            let is_text = property["type"] != "integer"
                && property["type"] != "number"
                && property["type"] != "boolean";
            property["default"] =
                if is_text { default.into() } else { default.parse().expect("a number, true or false") };
        }
    }
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}

fn value() -> Value {
    schema_for!(Settings).to_value()
}

/// Each setting and its schema.
pub(super) fn properties() -> Vec<(String, Value)> {
    let schema = value();
    let properties = schema["properties"].as_object().expect("settings have names");
    let mut all: Vec<_> = properties.iter().map(|(key, of)| (key.clone(), of.clone())).collect();
    // Maps of JSON may be sorted by name; the list of options is in the order of its struct.
    let order = order();
    all.sort_by_key(|(key, _)| order.iter().position(|known| known == key));
    all
}

/// The names in the order of the struct: serde asks for them by this list.
fn order() -> Vec<String> {
    const ANY: &str = " ";
    let error = toml::from_str::<Settings>(&format!("\"{ANY}\" = 1")).expect_err("no setting is called so");
    let named = error.message().split('`').skip(3).step_by(2);
    named.map(str::to_owned).collect()
}

pub(super) fn command() -> Command {
    Settings::augment_args(Command::new("serve"))
}

pub(super) fn default(key: &str) -> Option<String> {
    if key == "log_format" {
        // An option of all subcommands, of which this list only has the name.
        return Some("text".to_owned());
    }
    let command = command();
    let argument = command.get_arguments().find(|argument| argument.get_id() == key)?;
    argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned())
}
