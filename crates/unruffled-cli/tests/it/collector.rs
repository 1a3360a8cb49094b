//! [`Collector`]: takes spans by OTLP over HTTP, as a collector of OpenTelemetry does.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Given;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// How long a test waits for a span before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Collector {
    address: String,
    taken: Receiver<ExportTraceServiceRequest>,
    /// Those that were taken and not asked for yet.
    spans: Vec<Span>,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, taken) = channel();
        // It ends with the test.
        std::thread::Builder::new()
            .name("collector".into())
            .spawn(move || {
                for stream in listener.incoming() {
                    let tell = tell.clone();
                    std::thread::Builder::new()
                        .name("exporter".into())
                        .spawn(move || serve(stream.unwrap(), &tell))
                        .unwrap();
                }
            })
            .unwrap();
        Self { address, taken, spans: Vec::new(), resource: BTreeMap::new() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the first span that is as wanted.
    #[track_caller]
    pub(crate) fn span(&mut self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        loop {
            if let Some(place) = self.spans.iter().position(&is_it) {
                return self.spans.remove(place);
            }
            let Ok(message) = self.taken.recv_timeout(PATIENCE) else {
                let names: Vec<_> = self.spans.iter().map(|span| &span.name).collect();
                panic!("waited in vain for {what}; there are {names:?}");
            };
            for resource in message.resource_spans {
                let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
                self.resource = texts(&attributes);
                self.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
    }

    /// The span of the request of this name.
    #[track_caller]
    pub(crate) fn request(&mut self, id: &str) -> Span {
        self.span(id, |span| texts(&span.attributes).get("unruffled.request.id").is_some_and(|of| of == id))
    }

    /// The names of the requests that were taken and not asked for yet.
    pub(crate) fn seen(&self) -> Vec<String> {
        let id = |span: &Span| texts(&span.attributes).remove("unruffled.request.id");
        self.spans.iter().filter_map(id).collect()
    }

    /// The part of this name of a request.
    #[track_caller]
    pub(crate) fn part(&mut self, name: &str, request: &Span) -> Span {
        self.span(name, |span| span.name == name && span.parent_span_id == request.span_id)
    }
}

/// Attributes, whatever they are, as text.
pub(crate) fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &AnyValue| match value.value.as_ref()? {
        Given::StringValue(text) => Some(text.clone()),
        Given::IntValue(number) => Some(number.to_string()),
        Given::DoubleValue(number) => Some(number.to_string()),
        Given::BoolValue(is) => Some(is.to_string()),
        _ => None,
    };
    attributes.iter().filter_map(|pair| Some((pair.key.clone(), text(pair.value.as_ref()?)?))).collect()
}

fn serve(stream: TcpStream, tell: &Sender<ExportTraceServiceRequest>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut first = String::new();
        if reader.read_line(&mut first).is_err() || first.is_empty() {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let message = ExportTraceServiceRequest::decode(&*body).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        if tell.send(message).is_err() || reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
