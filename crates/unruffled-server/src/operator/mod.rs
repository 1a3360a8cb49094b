//! What an operator sees: metrics, the story of one request, all models at a glance, and a page that shows them live.

mod reading;

mod table;

mod metrics;
mod story;

mod overview;

mod welcome;

mod page;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::routing::get;

pub(crate) use self::metrics::metrics;
pub(crate) use self::page::before_keys;

use self::overview::Watchers;
use crate::access::Identity;
use crate::refusal::Refusal;
use crate::service::Service;

/// What a path names, decoded, if it can be.
type Named<T> = Result<Path<T>, PathRejection>;

fn named<T>(path: Named<T>) -> Result<T, Refusal> {
    path.map(|Path(named)| named).map_err(|_| Refusal::not_found("the path is not UTF-8 when decoded"))
}

/// The end points for operators.
pub(crate) fn router() -> Router<Service> {
    let watchers = Watchers::new();
    let events = move |State(service), identity: Identity| {
        let watchers = watchers.clone();
        async move {
            identity.may_read_metrics()?;
            overview::events(service, watchers)
        }
    };
    Router::new()
        .route("/", get(page::index))
        .route("/page/{file}", get(page::file))
        .route("/metrics", get(metrics))
        .route("/v1/explain/{id}", get(story::of_any))
        .route("/v1/explain/{model}/{id}", get(story::of_model))
        .route("/v1/overview", get(overview::once))
        .route("/v1/overview/events", get(events))
}
