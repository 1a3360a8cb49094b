//! What an operator sees: metrics, the story of one request, all models at a glance, and a page that shows them live.

mod reading;

mod table;

mod metrics;
mod story;

mod overview;

mod welcome;

mod page;

use axum::extract::State;
use serde_json::json;

pub(crate) use self::metrics::metrics;
pub(crate) use self::page::before_keys;

use self::overview::Watchers;
use crate::access::Identity;
use crate::endpoint::{EndPoint, events as events_of, get};

/// The end points for operators.
pub(crate) fn end_points() -> Vec<EndPoint> {
    let watchers = Watchers::new();
    let events = move |State(service), identity: Identity| {
        let watchers = watchers.clone();
        async move {
            identity.may_read_metrics()?;
            overview::events(service, watchers)
        }
    };
    let group = "Operation";
    let text = || json!({ "type": "string" });
    vec![
        get("/", page::index).says(group, "A live page; a text for whoever does not want HTML.").gives_as(
            200,
            "The page",
            &[("text/html", text()), ("text/plain", text())],
        ),
        get("/page/{file}", page::file)
            .says(group, "A file of the page.")
            .gives_as(200, "It", &[("*/*", text())])
            .refuses(&[404]),
        get("/metrics", metrics)
            .says(group, "Counters, gauges and histograms for Prometheus.")
            .gives_as(200, "Metrics", &[("text/plain", text()), ("application/openmetrics-text", text())])
            .refuses(&[500, 503]),
        get("/v1/explain/{id}", story::of_any)
            .says(group, "What became of a request, and why.")
            .gives("Its story", "Explanation")
            .refuses(&[404]),
        get("/v1/explain/{model}/{id}", story::of_model)
            .says(group, "What became of a request to one model; where it has only a number, too.")
            .gives("Its story", "Explanation")
            .refuses(&[404]),
        get("/v1/overview", overview::once)
            .says(group, "All models at this moment.")
            .gives("They", "Overview")
            .refuses(&[500, 503]),
        get("/v1/overview/events", events)
            .says(group, "The same as events, once a second.")
            .gives_as(200, "Events, once a second", &[events_of("Overview")])
            .refuses(&[503]),
    ]
}
