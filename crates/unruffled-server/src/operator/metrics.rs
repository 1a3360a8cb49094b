//! `GET /metrics`: the [`TABLE`] as OpenMetrics, or in Prometheus' own text form for whoever does not ask for that.

use std::fmt;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::reading::Reading;
use super::table::{Kind, TABLE, Value};
use crate::access::Identity;
use crate::refusal::Refusal;
use crate::service::Service;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn metrics(
    State(service): State<Service>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    identity.may_read_metrics()?;
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let open = accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text"));
    let reader = service.clone();
    let read = move || {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Reading::take(&reader)));
        let mut body = String::new();
        let write = if open { text::encode } else { prometheus_text::encode };
        write(&mut body, &registry).map(|()| body)
    };
    // Never on the event loop, whatever its size.
    let body =
        service.offload().run(usize::MAX, read).await?.map_err(|_| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written")
        })?;
    let form = if open { OPEN_METRICS } else { prometheus_text::CONTENT_TYPE };
    let form = [
        (header::CONTENT_TYPE, HeaderValue::from_static(form)),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    Ok((form, body).into_response())
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in TABLE {
            // The encoder adds the ending of counters itself.
            let name = metric.name.trim_end_matches("_total");
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(name, metric.help, None, kind)?;
            let mut outcome = Ok(());
            (metric.read)(self, &mut |values, value| {
                let labels: Vec<_> = metric.labels.iter().copied().zip(values.iter().copied()).collect();
                let sample = family.encode_family(&labels);
                outcome = outcome.and(sample.and_then(|sample| encode(sample, metric.kind, &value)));
            });
            outcome?;
        }
        Ok(())
    }
}

fn encode(mut sample: MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match value {
        Value::Number(number) if kind == Kind::Counter => {
            sample.encode_counter::<NoLabelSet, _, u64>(number, None)
        }
        Value::Number(number) => sample.encode_gauge(number),
        Value::Buckets { sum, count, at_most } => {
            let mut buckets = at_most.clone();
            buckets.push((f64::INFINITY, *count));
            // The encoder adds them up itself.
            for at in (1..buckets.len()).rev() {
                buckets[at].1 = buckets[at].1.saturating_sub(buckets[at - 1].1);
            }
            sample.encode_histogram::<NoLabelSet>(*sum, *count, &buckets, None)
        }
    }
}
