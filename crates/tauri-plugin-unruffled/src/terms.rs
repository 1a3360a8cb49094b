//! What a request says besides its inputs.

use std::time::{Duration, Instant};

use serde::Deserialize;
use unruffled::engine::{Request, SessionRequest};
use unruffled::model::TensorCarrier;
use unruffled::{Priority, Tensors};

use crate::error::Error;
use crate::pages::Origin;

/// Puts what all requests have in common on one of a model or of a session.
macro_rules! refined {
    ($terms:expr, $request:expr, $from:expr) => {{
        let terms = $terms;
        let mut request = $request.id(format!("{}/{}", terms.page, terms.call));
        if let Some(deadline) = terms.deadline($from)? {
            request = request.deadline(deadline);
        }
        if let Some(priority) = terms.priority() {
            request = request.priority(priority);
        }
        request
    }};
}

/// Who asks whom, by when and how urgently.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Terms {
    /// When it came: deadlines count from here, the load of the model included.
    #[serde(skip, default = "Instant::now")]
    pub(crate) arrived: Instant,
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

    /// By when the answer is wanted of what came at this moment; what no clock can count is never.
    ///
    /// # Errors
    ///
    /// As [`timeout`](Self::timeout).
    pub(crate) fn deadline(&self, from: Instant) -> Result<Option<Instant>, Error> {
        Ok(self.timeout()?.and_then(|timeout| from.checked_add(timeout)))
    }

    pub(crate) fn priority(&self) -> Option<Priority> {
        self.priority.map(|priority| match priority {
            Urgency::Interactive => Priority::Interactive,
            Urgency::Normal => Priority::Normal,
            Urgency::Bulk => Priority::Bulk,
        })
    }

    /// Refuses what is for single requests: of many, none follows or supersedes another.
    pub(crate) fn check_many(&self) -> Result<(), Error> {
        if self.session.is_some() || self.supersede.is_some() {
            let message =
                "many requests at once stand beside each other: leave `session` and `supersede` out";
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    /// How one of several requests of this call is told.
    pub(crate) fn id_of(&self, item: usize) -> String {
        format!("{}/{}/{item}", self.page, self.call)
    }

    /// What the page calls what it has only one current request for; windows do not share these names.
    fn supersede(&self, webview: &str) -> Option<String> {
        self.supersede.as_ref().map(|key| format!("{webview}/{key}"))
    }

    /// Puts these terms on a request that came at this moment.
    pub(crate) fn on<'a>(
        &self,
        request: Request<'a, Tensors, Tensors>,
        webview: &str,
        from: Instant,
    ) -> Result<Request<'a, Tensors, Tensors>, Error> {
        let request = refined!(self, request, from);
        Ok(match self.supersede(webview) {
            Some(key) => request.supersede(key),
            None => request,
        })
    }

    /// Puts them on a request of a session, whose requests go in order: none supersedes another.
    pub(crate) fn on_session<'a>(
        &self,
        request: SessionRequest<'a, TensorCarrier>,
    ) -> Result<SessionRequest<'a, TensorCarrier>, Error> {
        if self.supersede.is_some() {
            return Err(Error::invalid("requests of a session go in order: leave `supersede` out"));
        }
        Ok(refined!(self, request, self.arrived))
    }
}
