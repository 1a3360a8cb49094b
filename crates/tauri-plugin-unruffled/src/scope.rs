//! Which models a window may use, as its capabilities say.

use serde::Deserialize;
use tauri::ipc::{CommandScope, GlobalScope, ScopeObjectMatch};
use wildmatch::WildMatch;

use crate::error::Error;

/// One entry of a scope: a model, or many by `*` and `?`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name of a model; `*` stands for any letters, `?` for one.
    pub(crate) model: String,
}

impl ScopeObjectMatch for Entry {
    type Input = str;

    fn matches(&self, model: &str) -> bool {
        WildMatch::new(&self.model).matches(model)
    }
}

/// What one command of one window may be about. What says nothing allows all.
pub(crate) struct Scope<'a> {
    pub(crate) command: &'a CommandScope<Entry>,
    pub(crate) global: &'a GlobalScope<Entry>,
}

impl Scope<'_> {
    pub(crate) fn allows(&self, model: &str) -> bool {
        let is_denied = self.global.denies().iter().any(|entry| entry.matches(model));
        let mut allows = self.global.allows().iter().chain(self.command.allows()).peekable();
        let is_allowed = allows.peek().is_none() || allows.any(|entry| entry.matches(model));
        !is_denied && is_allowed && !self.command.denies().iter().any(|entry| entry.matches(model))
    }

    pub(crate) fn check(&self, model: &str) -> Result<(), Error> {
        if self.allows(model) { Ok(()) } else { Err(Error::forbidden(model)) }
    }
}
