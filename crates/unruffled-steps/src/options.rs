//! [`Reader`]: settings become options, each checked, each key known.

use crate::error::StepError;
use crate::settings::{Setting, Settings};

/// Reads the settings of one step, and remembers which keys there are.
pub(crate) struct Reader<'a> {
    settings: &'a Settings,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self { settings, known: Vec::new() }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Setting> {
        self.known.push(key);
        self.settings.get(key)
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, StepError> {
        match self.get(key) {
            None => Ok(None),
            Some(Setting::Text(text)) => Ok(Some(text.clone())),
            Some(other) => Err(expected(key, "a text", other)),
        }
    }

    /// A text that must be there.
    pub(crate) fn file(&mut self, key: &'static str, example: &str) -> Result<String, StepError> {
        let needed = || StepError::setting(key, format!("is missing; add {key} = \"{example}\""));
        self.text(key)?.ok_or_else(needed)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> Result<T, StepError> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            StepError::setting(key, format!("is \"{text}\"; expected {}", words.join(" or ")))
        })
    }

    pub(crate) fn truth(&mut self, key: &'static str, default: bool) -> Result<bool, StepError> {
        match self.get(key) {
            None => Ok(default),
            Some(Setting::Truth(truth)) => Ok(*truth),
            Some(other) => Err(expected(key, "true or false", other)),
        }
    }

    /// A finite number within bounds.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        default: f64,
        (least, most): (f64, f64),
    ) -> Result<f64, StepError> {
        match self.get(key) {
            None => Ok(default),
            Some(Setting::Number(number)) if (least..=most).contains(number) => Ok(*number),
            Some(Setting::Number(number)) => {
                Err(StepError::setting(key, format!("is {number}; expected {least} to {most}")))
            }
            Some(other) => Err(expected(key, "a number", other)),
        }
    }

    /// A whole number, at least `least`; `None` if it is not set.
    pub(crate) fn count(&mut self, key: &'static str, least: usize) -> Result<Option<usize>, StepError> {
        let most = u32::MAX;
        match self.get(key) {
            None => Ok(None),
            Some(Setting::Number(number))
                if number.fract() == 0.0 && (least as f64..=f64::from(most)).contains(number) =>
            {
                Ok(Some(*number as usize))
            }
            Some(Setting::Number(number)) => {
                let message = format!("is {number}; expected a whole number from {least} to {most}");
                Err(StepError::setting(key, message))
            }
            Some(other) => Err(expected(key, "a whole number", other)),
        }
    }

    /// Numbers in a row; none if they are not set.
    #[cfg(feature = "image")]
    pub(crate) fn numbers(&mut self, key: &'static str) -> Result<Vec<f32>, StepError> {
        let list = match self.get(key) {
            None => return Ok(Vec::new()),
            Some(Setting::List(list)) => list,
            Some(other) => return Err(expected(key, "a list of numbers", other)),
        };
        let number = |value: &Setting| match value {
            Setting::Number(number) if number.is_finite() => Ok(*number as f32),
            Setting::Number(number) => {
                Err(StepError::setting(key, format!("has {number}; expected finite numbers")))
            }
            other => Err(expected(key, "a list of numbers", other)),
        };
        list.iter().map(number).collect()
    }

    /// Says so if a key was set that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), StepError> {
        match self.settings.iter().find(|(key, _)| !self.known.contains(key)) {
            None => Ok(()),
            Some((key, _)) => {
                let known: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
                let known = if known.is_empty() { "no settings".into() } else { known.join(", ") };
                Err(StepError::setting(key, format!("there is no such setting; the step has {known}")))
            }
        }
    }
}

/// Options need not have been read: whoever writes them down in Rust can leave a 0 where it would divide.
pub(crate) fn at_least_one(options: &[(&str, usize)]) -> Result<(), StepError> {
    match options.iter().find(|(_, value)| *value == 0) {
        None => Ok(()),
        Some((key, _)) => Err(StepError::setting(key, "is 0; expected at least 1")),
    }
}

fn expected(key: &str, what: &str, given: &Setting) -> StepError {
    StepError::setting(key, format!("is {}; expected {what}", given.noun()))
}

#[cfg(test)]
mod tests {
    use super::Reader;
    use crate::error::StepError;
    use crate::settings::{Setting, Settings};

    #[track_caller]
    fn check<T: std::fmt::Debug>(
        value: impl Into<Setting>,
        read: impl Fn(&mut Reader<'_>) -> Result<T, StepError>,
        expected: &str,
    ) {
        let settings = Settings::new().with("key", value);
        let outcome = read(&mut Reader::new(&settings));
        let told = outcome.map_or_else(|error| error.to_string(), |value| format!("{value:?}"));
        assert_eq!(told, expected);
    }

    #[test]
    fn values_are_checked_and_named() {
        check("a", |reader| reader.text("key"), "Some(\"a\")");
        check(1.0, |reader| reader.text("key"), "`key`: is a number; expected a text");
        check(true, |reader| reader.file("other", "x.json"), "`other`: is missing; add other = \"x.json\"");
        check(3.0, |reader| reader.count("key", 1), "Some(3)");
        check(
            0.0,
            |reader| reader.count("key", 1),
            "`key`: is 0; expected a whole number from 1 to 4294967295",
        );
        check(
            1.5,
            |reader| reader.count("key", 0),
            "`key`: is 1.5; expected a whole number from 0 to 4294967295",
        );
        check(f64::NAN, |reader| reader.number("key", 0.5, (0.0, 1.0)), "`key`: is NaN; expected 0 to 1");
        check("x", |reader| reader.truth("key", true), "`key`: is a text; expected true or false");
        let choice = |reader: &mut Reader<'_>| reader.choice("key", 1, &[("one", 1), ("two", 2)]);
        check("two", choice, "2");
        check("three", choice, "`key`: is \"three\"; expected \"one\" or \"two\"");
    }

    #[test]
    fn unknown_keys_are_refused_with_those_that_there_are() {
        let settings = Settings::new().with("tpo", 3.0);
        let mut reader = Reader::new(&settings);
        assert_eq!(reader.count("top", 1).unwrap(), None);
        let refused = reader.finish().unwrap_err();
        assert_eq!(refused.to_string(), "`tpo`: there is no such setting; the step has `top`");
    }
}
