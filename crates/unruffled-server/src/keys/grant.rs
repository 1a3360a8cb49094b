//! [`Grant`]: what the bearer of a key may do.

use std::num::NonZeroUsize;
use std::sync::Arc;

use unruffled_engine::Caller;
use wildmatch::WildMatchPattern;

use super::rate::RateLimit;
use super::secret::Hash;

/// How much one client may ask; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientLimits {
    pub(crate) rate: Option<RateLimit>,
    pub(crate) concurrency: Option<NonZeroUsize>,
}

impl ClientLimits {
    /// These, and for what they do not say, the others.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { rate: self.rate.or(other.rate), concurrency: self.concurrency.or(other.concurrency) }
    }

    /// Whether there is anything to count.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Names of models, `*` standing for any letters, none included. No character stands for a single one: NUL is in no name.
pub(super) type Pattern = WildMatchPattern<'*', '\0'>;

/// One key of a file, without the key.
pub(crate) struct Grant {
    pub(super) hash: Hash,
    pub(super) infer: Vec<Pattern>,
    pub(crate) metrics: bool,
    pub(crate) admin: bool,
    pub(crate) limits: ClientLimits,
    /// The name of the key and its share, as the engine takes them.
    pub(crate) caller: Caller,
}

impl Grant {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.caller.key
    }

    /// Whether this model may be asked.
    pub(crate) fn may_infer(&self, model: &str) -> bool {
        self.infer.iter().any(|pattern| pattern.matches(model))
    }
}
