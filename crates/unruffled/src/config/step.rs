//! `[step]`: from the values of a TOML table to a step with its options.

use indexmap::IndexMap;
use toml::{Spanned, Value};
use unruffled_steps::{Setting, Settings, Step, StepErrorKind};

use super::check::Checker;
use super::place::line_at;
use super::typed::StepConfig;
use crate::error::Error;

/// The key that says which step is meant.
const KIND: &str = "kind";

impl Checker<'_> {
    pub(super) fn step(
        &self,
        table: &Spanned<IndexMap<String, Spanned<Value>>>,
    ) -> Result<StepConfig, Error> {
        let keys = table.get_ref();
        let expected = || {
            let kinds: Vec<_> = Step::kinds().collect();
            format!("expected one of {}", kinds.join(", "))
        };
        let Some(kind) = keys.get(KIND) else {
            let message = format!("needs `kind`; {}", expected());
            return Err(self.refuse(Some(table.span()), message));
        };
        let Value::String(name) = kind.get_ref() else {
            return Err(self.refuse(Some(kind.span()), format!("is no kind of step; {}", expected())));
        };
        let mut settings = Settings::new();
        for (key, value) in keys.iter().filter(|(key, _)| *key != KIND) {
            let setting = setting(value.get_ref()).map_err(|what| {
                let message = format!("has {what}, which steps have no use for");
                self.refuse(Some(value.span()), message)
            })?;
            settings.insert(key.as_str(), setting);
        }
        let step = Step::parse(name, &settings).map_err(|error| {
            // What is missing has no place of its own: its table is to be completed.
            let key = match error.kind() {
                StepErrorKind::UnknownKind => Some(kind),
                _ => error.key().and_then(|key| keys.get(key)),
            };
            match (key, error.key()) {
                (Some(value), _) => self.refuse(Some(value.span()), error.message()),
                (None, Some(_)) => self.refuse(Some(table.span()), error.to_string()),
                (None, None) => self.refuse(Some(table.span()), error.message()),
            }
        })?;
        let lines = keys.iter().map(|(key, value)| (key.clone(), line_at(self.text, value.span().start)));
        Ok(StepConfig { step, lines: lines.collect() })
    }
}

/// A value as steps take it, or what it is that they do not take.
fn setting(value: &Value) -> Result<Setting, &'static str> {
    Ok(match value {
        Value::String(text) => Setting::Text(text.clone()),
        // Steps count pixels, samples and bytes: what a double cannot hold exactly is out of their range anyway.
        Value::Integer(number) => Setting::Number(*number as f64),
        Value::Float(number) => Setting::Number(*number),
        Value::Boolean(truth) => Setting::Truth(*truth),
        Value::Array(list) => Setting::List(list.iter().map(setting).collect::<Result<_, _>>()?),
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| Ok((key.clone(), setting(value)?)));
            Setting::Table(pairs.collect::<Result<_, &'static str>>()?)
        }
        Value::Datetime(_) => return Err("a date"),
    })
}
