//! [`Settings`]: what is set about a step, as plain values from wherever they were written.

/// One value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Setting {
    /// A text.
    Text(String),
    /// A number, whole or not.
    Number(f64),
    /// Yes or no.
    Truth(bool),
    /// Values in a row.
    List(Vec<Setting>),
    /// Values by name.
    Table(Settings),
}

impl Setting {
    /// What it is, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Setting::Text(_) => "a text",
            Setting::Number(_) => "a number",
            Setting::Truth(_) => "a truth value",
            Setting::List(_) => "a list",
            Setting::Table(_) => "a table",
        }
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Setting::Text(text.to_owned())
    }
}

impl From<String> for Setting {
    fn from(text: String) -> Self {
        Setting::Text(text)
    }
}

impl From<f64> for Setting {
    fn from(number: f64) -> Self {
        Setting::Number(number)
    }
}

impl From<bool> for Setting {
    fn from(truth: bool) -> Self {
        Setting::Truth(truth)
    }
}

impl<S: Into<Setting>> From<Vec<S>> for Setting {
    fn from(list: Vec<S>) -> Self {
        Setting::List(list.into_iter().map(Into::into).collect())
    }
}

impl From<Settings> for Setting {
    fn from(table: Settings) -> Self {
        Setting::Table(table)
    }
}

/// Values by name, in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Vec<(String, Setting)>);

impl Settings {
    /// Nothing is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value, in place of one of the same name.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Setting>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((key, value)),
        }
    }

    /// Sets a value and returns the whole, for building in one expression.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Setting>) -> Self {
        self.insert(key, value);
        self
    }

    /// The value of that name.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<Setting>> FromIterator<(K, V)> for Settings {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(settings: I) -> Self {
        let mut all = Self::new();
        for (key, value) in settings {
            all.insert(key, value);
        }
        all
    }
}
