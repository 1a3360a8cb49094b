//! [`Identity`]: on whose behalf a request is made, and what they may do.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use unruffled_engine::Caller;

use crate::keys::Grant;
use crate::refusal::Refusal;

/// On whose behalf a request is made; an extension of every request that has been let in.
#[derive(Clone)]
pub struct Identity(Who);

#[derive(Clone)]
enum Who {
    /// The bearer of a key.
    Bearer(Arc<Grant>),
    /// Somebody, where there are no keys.
    Anybody(Nearness),
}

/// Where somebody without a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nearness {
    /// On this machine, and not by way of a proxy.
    Here,
    /// Anywhere.
    Elsewhere,
}

impl Identity {
    pub(super) fn bearer(grant: Arc<Grant>) -> Self {
        Self(Who::Bearer(grant))
    }

    pub(super) fn anybody(nearness: Nearness) -> Self {
        Self(Who::Anybody(nearness))
    }

    /// The name of the key; none where there are no keys.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Who::Bearer(grant) => Some(grant.name()),
            Who::Anybody(_) => None,
        }
    }

    /// How the engine calls them, to share models fairly.
    pub(crate) fn caller(&self) -> Option<Caller> {
        match &self.0 {
            Who::Bearer(grant) => Some(grant.caller.clone()),
            Who::Anybody(_) => None,
        }
    }

    /// What they call a thing of theirs, kept apart from what others call the same.
    pub(crate) fn owned(&self, name: &str) -> String {
        match self.name() {
            // A line break is in no key's name.
            Some(key) => format!("{key}\n{name}"),
            None => name.to_owned(),
        }
    }

    /// Whether this model is theirs to ask and to know of.
    pub(crate) fn sees(&self, model: &str) -> bool {
        match &self.0 {
            Who::Bearer(grant) => grant.admin || grant.may_infer(model),
            Who::Anybody(_) => true,
        }
    }

    /// Refuses those who may not ask this model.
    pub(crate) fn may_infer(&self, model: &str) -> Result<(), Refusal> {
        match &self.0 {
            Who::Bearer(grant) if !grant.may_infer(model) => {
                Err(lacks(grant, &format!("`infer` for `{model}`")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses those who may not know of this model: who may neither ask it nor administrate.
    pub(crate) fn may_see(&self, model: &str) -> Result<(), Refusal> {
        if self.sees(model) { Ok(()) } else { self.may_infer(model) }
    }

    /// Refuses those who may not read metrics.
    pub(crate) fn may_read_metrics(&self) -> Result<(), Refusal> {
        match &self.0 {
            Who::Bearer(grant) if !(grant.metrics || grant.admin) => Err(lacks(grant, "`metrics`")),
            _ => Ok(()),
        }
    }

    /// Refuses those who may not see what others have submitted.
    pub(crate) fn may_list_jobs(&self) -> Result<(), Refusal> {
        match &self.0 {
            Who::Bearer(grant) if !grant.admin => Err(lacks(grant, "`admin`")),
            _ => Ok(()),
        }
    }

    /// Refuses those who may not load and unload models, name shared memory of this machine, or change settings.
    pub(crate) fn may_administrate(&self) -> Result<(), Refusal> {
        match &self.0 {
            Who::Bearer(grant) if grant.admin => Ok(()),
            Who::Bearer(grant) => Err(lacks(grant, "`admin`")),
            Who::Anybody(Nearness::Here) => Ok(()),
            Who::Anybody(Nearness::Elsewhere) => Err(Refusal::forbidden(
                "administration is for this machine alone as long as the server has no keys: ask it at 127.0.0.1, \
                 without a proxy, or start it with a file of keys",
            )),
        }
    }
}

fn lacks(grant: &Grant, scope: &str) -> Refusal {
    Refusal::forbidden(format!("key `{}` lacks the scope {scope}", grant.name()))
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Infallible;

    /// Somebody unknown where nothing stands before the end points.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or(Self::anybody(Nearness::Elsewhere)))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Who::Bearer(grant) => f.debug_tuple("Bearer").field(grant.name()).finish(),
            Who::Anybody(nearness) => f.debug_tuple("Anybody").field(nearness).finish(),
        }
    }
}
