//! What a scope says for all of its requests.

use std::time::Instant;

use unruffled_model::{Priority, RequestContext};

use crate::request::RequestOptions;

/// What a scope says for all of its requests.
#[derive(Default)]
pub(crate) struct Terms {
    /// The latest at which any of them ends.
    pub(super) deadline: Option<Instant>,
    /// The priority of all.
    pub(super) priority: Option<Priority>,
    /// What they inherit where they say nothing.
    pub(super) context: Option<RequestContext>,
}

impl Terms {
    /// Makes them those of a request.
    pub(super) fn apply(&self, options: &mut RequestOptions) {
        if let Some(scope) = &self.context {
            options.edit(|own| inherit(own, scope));
        }
        if let Some(priority) = self.priority {
            options.edit(|own| own.with_priority(priority));
        }
        if let Some(latest) = self.deadline {
            options.edit(|own| {
                let deadline = own.deadline().map_or(latest, |deadline| deadline.min(latest));
                own.with_deadline(Some(deadline))
            });
        }
    }
}

/// Adds what the scope has and the request has not.
fn inherit(mut own: RequestContext, scope: &RequestContext) -> RequestContext {
    if let (None, Some(trace)) = (own.trace(), scope.trace()) {
        own = own.with_trace(trace.clone());
    }
    if let (None, Some(caller)) = (own.caller(), scope.caller()) {
        own = own.with_caller(caller.clone());
    }
    for (name, value) in scope.baggage() {
        if own.baggage().all(|(known, _)| known != name) {
            own = own.with_baggage(name, value);
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use unruffled_model::{Caller, Priority, RequestContext, RequestId, TraceContext};

    use super::Terms;
    use crate::request::RequestOptions;

    #[test]
    fn a_request_inherits_what_it_does_not_say_itself() {
        let now = Instant::now();
        let scope = RequestContext::new(RequestId::Number(7))
            .with_trace(TraceContext::new(1, 2, true).unwrap())
            .with_caller(Caller::new("scope"))
            .with_baggage("tenant", "scope")
            .with_baggage("page", "3");
        let terms = Terms {
            deadline: Some(now + Duration::from_secs(2)),
            priority: Some(Priority::Bulk),
            context: Some(scope.clone()),
        };
        let mut plain = RequestOptions::default();
        terms.apply(&mut plain);
        let context = plain.context.unwrap();
        assert!(!plain.named, "the engine still numbers it");
        assert_eq!((context.trace(), context.caller()), (scope.trace(), scope.caller()));
        assert_eq!((context.deadline(), context.priority()), (terms.deadline, Priority::Bulk));

        let mut own = RequestOptions::default();
        own.edit(|own| {
            own.with_caller(Caller::new("own"))
                .with_baggage("tenant", "own")
                .with_deadline(Some(now + Duration::from_secs(1)))
        });
        terms.apply(&mut own);
        let context = own.context.unwrap();
        assert_eq!(context.caller(), Some(&Caller::new("own")));
        assert_eq!(context.baggage().collect::<Vec<_>>(), [("tenant", "own"), ("page", "3")]);
        assert_eq!(context.deadline(), Some(now + Duration::from_secs(1)), "the earlier counts");
    }
}
