//! Sessions of pages: a model's state, kept from call to call until the page ends it or goes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use unruffled::TensorHandle;
use unruffled::engine::{SequenceOptions, Sequences, Session};
use unruffled::model::{Name, TensorCarrier};

use crate::error::Error;

/// All that are open. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    models: HashMap<Name, Sequences<TensorCarrier>>,
    open: HashMap<Key, Session<TensorCarrier>>,
}

/// Whose session: a page sees its own only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) webview: String,
    pub(crate) page: String,
    pub(crate) model: String,
    pub(crate) session: String,
}

impl Sessions {
    /// Begins one, and gives its name.
    ///
    /// # Errors
    ///
    /// `invalid_input` if the model keeps no state, `overloaded` if there are as many as there may be.
    pub(crate) fn begin(&self, handle: &TensorHandle, webview: &str, page: &str) -> Result<Key, Error> {
        let mut known = self.0.lock();
        let sequences = match known.models.get(handle.name()).filter(|known| known.handle().is_same(handle)) {
            Some(sequences) => sequences.clone(),
            // One that was loaded anew has sessions of its own.
            None => {
                let sequences = handle.sequences(SequenceOptions::default())?;
                known.models.insert(handle.name().clone(), sequences.clone());
                sequences
            }
        };
        let session = sequences.begin()?;
        // Those that were idle for too long have ended by themselves.
        known.open.retain(|key, session| *key.model != **handle.name() || session.snapshot().is_ok());
        let key = Key {
            webview: webview.to_owned(),
            page: page.to_owned(),
            model: handle.name().to_string(),
            session: session.id().to_string(),
        };
        known.open.insert(key.clone(), session);
        Ok(key)
    }

    /// One that is open.
    ///
    /// # Errors
    ///
    /// `not_found` if there is none: it never began, or has ended.
    pub(crate) fn find(&self, key: &Key) -> Result<Session<TensorCarrier>, Error> {
        self.0.lock().open.get(key).cloned().ok_or_else(|| {
            let Key { model, session, .. } = key;
            Error::not_found(format!("model `{model}` has no session `{session}` of this page; begin one"))
        })
    }

    /// Ends one, and its state with it.
    pub(crate) fn end(&self, key: &Key) {
        if let Some(session) = self.0.lock().open.remove(key) {
            session.end();
        }
    }

    /// Ends those of a webview whose page has gone.
    pub(crate) fn leave(&self, webview: &str) {
        self.0.lock().open.retain(|key, session| {
            let stays = key.webview != webview;
            if !stays {
                session.end();
            }
            stays
        });
    }

    /// Ends those of a model that is unloaded: they would keep it in memory.
    pub(crate) fn forget(&self, model: &str) {
        let mut known = self.0.lock();
        let gone = known.models.remove(model);
        known.open.retain(|key, _| key.model != model);
        drop(known);
        drop(gone);
    }
}
