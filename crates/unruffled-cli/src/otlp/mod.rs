//! [`Otlp`]: sends the spans of requests to a collector, by OTLP over HTTP.
//!
//! Spans wait in a bounded queue, and one thread makes them into messages and sends these: whoever answers requests never
//! waits for it. What finds no room, or nobody who takes it, is lost and counted.

mod client;
mod spans;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::runtime::{Builder, Runtime};
use unruffled_server::{RequestSpan, Tracing, TracingReport};

use self::client::Client;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;

/// How many requests may wait to be told.
const QUEUE: usize = 2048;

/// How many requests are told at once, and how long they wait for company.
const BATCH: usize = 256;
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// How long the program waits for the last spans when it ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Where spans go, by the base of the address, as the standard has it.
const PATH: &str = "/v1/traces";

/// What a service is called that nobody has named.
const SERVICE: &str = "unruffled";

/// The exporter of spans.
pub(crate) struct Otlp {
    queue: SyncSender<Message>,
    /// The bits of a float: which part of the traces that begin here is told.
    ratio: AtomicU64,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

enum Message {
    Span(Box<RequestSpan>),
    /// Sends what there is, and says so.
    Flush(SyncSender<()>),
}

impl Otlp {
    /// The exporter to whoever takes spans, if anybody is named: in the settings, or by the variables of the standard.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Arc<Self>>, Failure> {
        let variable = |name| {
            let url = std::env::var_os(name).and_then(|url| url.into_string().ok());
            url.filter(|url| !url.is_empty())
        };
        // One for traces alone is taken as it is; the others are the bases of several.
        let endpoint = settings
            .otlp
            .as_deref()
            .map(of_traces)
            .or_else(|| variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
            .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT").as_deref().map(of_traces));
        endpoint.map(|endpoint| Self::start(&endpoint, settings.otlp_sample())).transpose()
    }

    /// Starts to export to the collector at `endpoint`. Who it is, is read from the variables of the standard.
    fn start(endpoint: &str, ratio: f64) -> Result<Arc<Self>, Failure> {
        if !endpoint.starts_with("http://") {
            return Err(Failure::new(Exit::Usage, format!("--otlp {endpoint}: only http:// is spoken here"))
                .hint(
                    "--otlp http://127.0.0.1:4318, with a collector beside the server that goes on with TLS",
                ));
        }
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("--otlp {endpoint}: {error}"))
                .hint("--otlp http://127.0.0.1:4318")
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new())
            .with_endpoint(endpoint)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| wrong(&error))?;
        // The exporter is asynchronous by its form only: its client waits on the thread that is there for it.
        let runtime = Builder::new_current_thread().enable_time().build().map_err(|error| wrong(&error))?;
        let (queue, messages) = sync_channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let mut sender = Sender {
            exporter,
            runtime,
            counts: Arc::clone(&counts),
            is_away: false,
            endpoint: endpoint.to_owned(),
        };
        std::thread::Builder::new()
            .name("spans".into())
            .spawn(move || sender.run(&messages))
            .map_err(|error| Failure::new(Exit::Failed, format!("no thread for spans: {error}")))?;
        Ok(Arc::new(Self { queue, ratio: AtomicU64::new(ratio.to_bits()), counts }))
    }

    /// Sends what waits, for as long as the program may wait for it.
    pub(crate) fn finish(&self) {
        let (tell, told) = sync_channel(1);
        // A full queue is about to be sent; its end is given up if it takes too long.
        if self.queue.try_send(Message::Flush(tell)).is_ok() {
            let _ = told.recv_timeout(LAST_WORDS);
        }
    }
}

impl Tracing for Otlp {
    fn samples(&self, trace_id: u128, parent: Option<bool>) -> bool {
        // As the specification has it: the same traces are kept by all who keep as many.
        parent.unwrap_or_else(|| {
            let (ratio, place) = (self.ratio(), (trace_id as u64) >> 1);
            ratio >= 1.0 || place < (ratio * (1_u64 << 63) as f64) as u64
        })
    }

    fn tell(&self, span: RequestSpan) {
        if self.queue.try_send(Message::Span(Box::new(span))).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report(&self) -> TracingReport {
        let Counts { exported, dropped } = &*self.counts;
        TracingReport { exported: exported.load(Ordering::Relaxed), dropped: dropped.load(Ordering::Relaxed) }
    }

    fn ratio(&self) -> f64 {
        f64::from_bits(self.ratio.load(Ordering::Relaxed))
    }

    fn set_ratio(&self, ratio: f64) -> Result<(), String> {
        self.ratio.store(ratio.to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

/// Where the collector at this address takes traces.
fn of_traces(base: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

/// The thread that sends.
struct Sender {
    exporter: SpanExporter,
    runtime: Runtime,
    counts: Arc<Counts>,
    /// Whether it could not be sent the last time: that is told once.
    is_away: bool,
    endpoint: String,
}

impl Sender {
    fn run(&mut self, messages: &Receiver<Message>) {
        self.exporter.set_resource(&resource());
        while let Ok(first) = messages.recv() {
            let until = Instant::now() + BATCH_WAIT;
            let (mut spans, mut waiting) = (Vec::new(), None);
            let mut next = Ok(first);
            loop {
                match next {
                    Ok(Message::Span(span)) => spans.push(*span),
                    Ok(Message::Flush(tell)) => waiting = Some(tell),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
                if waiting.is_some() || spans.len() >= BATCH {
                    break;
                }
                next = messages.recv_timeout(until.saturating_duration_since(Instant::now()));
            }
            self.send(spans);
            // Whoever waited may have gone.
            let _ = waiting.map(|tell| tell.try_send(()));
        }
    }

    fn send(&mut self, requests: Vec<RequestSpan>) {
        if requests.is_empty() {
            return;
        }
        let count = requests.len() as u64;
        let spans = requests.into_iter().flat_map(|request| spans::of(&request)).collect();
        match self.runtime.block_on(self.exporter.export(spans)) {
            Ok(()) => {
                self.counts.exported.fetch_add(count, Ordering::Relaxed);
                if self.is_away {
                    tracing::info!(endpoint = self.endpoint, "spans are taken again");
                }
                self.is_away = false;
            }
            Err(error) => {
                self.counts.dropped.fetch_add(count, Ordering::Relaxed);
                if !self.is_away {
                    tracing::warn!(endpoint = self.endpoint, %error, "spans are not taken, and are lost");
                }
                self.is_away = true;
            }
        }
    }
}

/// Who tells: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, and what is known anyway is added.
fn resource() -> Resource {
    use opentelemetry::KeyValue;

    let named = Resource::builder().build();
    let name = opentelemetry::Key::from_static_str("service.name");
    let is_unnamed = named.get(&name).is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let mut resource = Resource::builder();
    if is_unnamed {
        resource = resource.with_service_name(SERVICE);
    }
    resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::sync_channel;

    use unruffled_server::Tracing as _;

    use super::{Counts, Otlp};

    fn with_ratio(ratio: f64) -> Otlp {
        let (queue, _) = sync_channel(1);
        Otlp { queue, ratio: AtomicU64::new(ratio.to_bits()), counts: Arc::<Counts>::default() }
    }

    #[test]
    fn the_caller_decides_or_else_the_trace() {
        for ratio in [0.0, 0.5, 1.0] {
            let otlp = with_ratio(ratio);
            assert!(otlp.samples(u128::MAX, Some(true)) && !otlp.samples(1, Some(false)), "{ratio}");
        }
        let all = with_ratio(1.0);
        assert!(all.samples(1, None) && all.samples(u128::MAX, None));
        let none = with_ratio(0.0);
        assert!(!none.samples(1, None) && !none.samples(u128::MAX, None));
        let part = with_ratio(0.1);
        let kept = (0..10_000).filter(|_| part.samples(u128::from(fastrand::u64(..)), None)).count();
        assert!((800..1200).contains(&kept), "{kept}");
    }

    #[test]
    fn the_ratio_is_changed_while_it_runs() {
        let otlp = with_ratio(1.0);
        otlp.set_ratio(0.25).unwrap();
        assert_eq!(otlp.ratio(), 0.25);
        assert_eq!(otlp.counts.exported.load(Ordering::Relaxed), 0);
    }
}
