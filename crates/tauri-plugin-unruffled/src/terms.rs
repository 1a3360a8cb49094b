//! What a request says besides its inputs.

use std::time::Duration;

use serde::Deserialize;
use unruffled::engine::{Request, SessionRequest};
use unruffled::model::TensorCarrier;
use unruffled::{Priority, Tensors};

use crate::error::Error;
use crate::pages::Origin;

/// Who asks whom, by when and how urgently.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Terms {
    pub(crate) page: String,
    pub(crate) call: u64,
    pub(crate) model: String,
    timeout_ms: Option<f64>,
    priority: Option<Urgency>,
    supersede: Option<String>,
    pub(crate) session: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    Interactive,
    Normal,
    Bulk,
}

impl Terms {
    pub(crate) fn origin(&self, webview: &str) -> Origin {
        Origin { webview: webview.to_owned(), page: self.page.clone(), call: self.call }
    }

    /// How long the page waits, if it says so.
    ///
    /// # Errors
    ///
    /// `invalid_input` if it is no time.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Error> {
        let Some(milliseconds) = self.timeout_ms else { return Ok(None) };
        Duration::try_from_secs_f64(milliseconds / 1e3).map(Some).map_err(|_| {
            Error::invalid(format!(
                "`timeoutMs` is {milliseconds}; expected milliseconds that are not negative"
            ))
        })
    }

    pub(crate) fn priority(&self) -> Option<Priority> {
        self.priority.map(|priority| match priority {
            Urgency::Interactive => Priority::Interactive,
            Urgency::Normal => Priority::Normal,
            Urgency::Bulk => Priority::Bulk,
        })
    }

    /// Whether it is to supersede another.
    pub(crate) fn has_key(&self) -> bool {
        self.supersede.is_some()
    }

    /// How one of several requests of this call is told.
    pub(crate) fn id_of(&self, item: usize) -> String {
        format!("{}/{}/{item}", self.page, self.call)
    }

    /// What the page calls what it has only one current request for; windows do not share these names.
    fn supersede(&self, webview: &str) -> Option<String> {
        self.supersede.as_ref().map(|key| format!("{webview}/{key}"))
    }

    /// Puts these terms on a request.
    pub(crate) fn on<'a>(
        &self,
        mut request: Request<'a, Tensors, Tensors>,
        webview: &str,
    ) -> Result<Request<'a, Tensors, Tensors>, Error> {
        request = request.id(format!("{}/{}", self.page, self.call));
        if let Some(timeout) = self.timeout()? {
            request = request.timeout(timeout);
        }
        if let Some(priority) = self.priority() {
            request = request.priority(priority);
        }
        if let Some(key) = self.supersede(webview) {
            request = request.supersede(key);
        }
        Ok(request)
    }

    /// Puts them on a request of a session, whose requests go in order: none supersedes another.
    pub(crate) fn on_session<'a>(
        &self,
        mut request: SessionRequest<'a, TensorCarrier>,
    ) -> Result<SessionRequest<'a, TensorCarrier>, Error> {
        if self.supersede.is_some() {
            return Err(Error::invalid("requests of a session go in order: leave `supersede` out"));
        }
        request = request.id(format!("{}/{}", self.page, self.call));
        if let Some(timeout) = self.timeout()? {
            request = request.timeout(timeout);
        }
        if let Some(priority) = self.priority() {
            request = request.priority(priority);
        }
        Ok(request)
    }
}
