//! [`Scope`]: which models a window may use, as its capabilities say.

use std::sync::Arc;

use serde::Deserialize;
use tauri::Runtime;
use tauri::ipc::{CommandArg, CommandItem, CommandScope, GlobalScope, InvokeError};
use wildmatch::WildMatch;

use crate::error::Error;

/// One entry of a scope: a model, or many by `*` and `?`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name of a model; `*` stands for any letters, `?` for one.
    pub(crate) model: String,
}

impl Entry {
    fn means(&self, model: &str) -> bool {
        WildMatch::new(&self.model).matches(model)
    }
}

/// What one command of one window may be about: what stands at its permission, and at the plugin as a whole. Without an entry that
/// allows, it is all models; one that denies goes before.
#[derive(Debug)]
pub(crate) struct Scope {
    allowed: Vec<Arc<Entry>>,
    denied: Vec<Arc<Entry>>,
}

impl Scope {
    pub(crate) fn allows(&self, model: &str) -> bool {
        let has = |entries: &[Arc<Entry>]| entries.iter().any(|entry| entry.means(model));
        !has(&self.denied) && (self.allowed.is_empty() || has(&self.allowed))
    }

    pub(crate) fn check(&self, model: &str) -> Result<(), Error> {
        if self.allows(model) { Ok(()) } else { Err(Error::forbidden(model)) }
    }
}

impl<'a, R: Runtime> CommandArg<'a, R> for Scope {
    fn from_command(command: CommandItem<'a, R>) -> Result<Self, InvokeError> {
        let CommandItem { plugin, name, key, message, acl } = command;
        let of_plugin = CommandItem { plugin, name, key, message, acl };
        let of_plugin = GlobalScope::<Entry>::from_command(of_plugin)?;
        let own = CommandScope::<Entry>::from_command(CommandItem { plugin, name, key, message, acl })?;
        Ok(Self {
            allowed: [&own.allows()[..], of_plugin.allows()].concat(),
            denied: [&own.denies()[..], of_plugin.denies()].concat(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Entry, Scope};

    fn allowed(allowed: &[&str], denied: &[&str]) -> Vec<&'static str> {
        let entries = |models: &[&str]| {
            models.iter().map(|model| Arc::new(Entry { model: (*model).to_owned() })).collect::<Vec<_>>()
        };
        let scope = Scope { allowed: entries(allowed), denied: entries(denied) };
        ["ocr", "ocr-2", "speech"].into_iter().filter(|model| scope.allows(model)).collect()
    }

    #[test]
    fn who_denies_goes_before_who_allows() {
        assert_eq!(allowed(&[], &[]), ["ocr", "ocr-2", "speech"]);
        assert_eq!(allowed(&["ocr"], &[]), ["ocr"]);
        assert_eq!(allowed(&["ocr*", "speech"], &["ocr-?"]), ["ocr", "speech"]);
        assert_eq!(allowed(&[], &["*"]), [""; 0]);
        assert_eq!(allowed(&["ocr"], &["ocr"]), [""; 0]);
    }

    #[test]
    fn a_refusal_names_the_model() {
        let scope = Scope { allowed: vec![], denied: vec![Arc::new(Entry { model: "o*".into() })] };
        let error = scope.check("ocr").unwrap_err();
        assert_eq!(error.code(), "forbidden");
        assert!(error.to_string().contains("`ocr`"));
    }
}
