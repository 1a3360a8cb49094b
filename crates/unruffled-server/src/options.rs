//! [`ServerOptions`]: every bound of the server, in one place.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;

use crate::catalog::{Catalog, Unversioned};
use crate::keys::{ClientLimits, Keys, RateLimit};
use crate::logging::Logging;
use crate::spans::Tracing;
use crate::tls::Tls;

/// How much the server takes in, how long it waits, and what it knows of versions.
///
/// Memory stays below `connections` times 64 KiB of socket buffers, or 1 MiB where they speak HTTP/2, plus a small multiple
/// of `in_flight_bytes` for bodies and what is decoded from them, plus the answers that clients are reading, at most one per
/// connection, or `connection_requests` over HTTP/2.
#[derive(Clone)]
#[must_use]
pub struct ServerOptions {
    pub(crate) body_bytes: usize,
    pub(crate) inline_bytes: usize,
    pub(crate) in_flight_bytes: usize,
    pub(crate) in_flight_requests: usize,
    pub(crate) connections: usize,
    pub(crate) connection_requests: u32,
    pub(crate) stream_requests: usize,
    pub(crate) connections_per_peer: Option<NonZeroUsize>,
    pub(crate) body_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) shared_memory: bool,
    pub(crate) handshake_timeout: Duration,
    pub(crate) reload_interval: Duration,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) tls: Option<Tls>,
    pub(crate) keys: Option<Keys>,
    pub(crate) cors_origins: Vec<HeaderValue>,
    pub(crate) hosts: Vec<String>,
    pub(crate) client_limits: ClientLimits,
    pub(crate) tracing: Option<Arc<dyn Tracing>>,
    pub(crate) logging: Option<Arc<dyn Logging>>,
}

impl Default for ServerOptions {
    /// Bodies of 64 MiB, 256 MiB of them at a time, 1,024 requests in flight, 2,048 connections; 30 seconds to drain.
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            inline_bytes: 16 << 10,
            in_flight_bytes: 256 << 20,
            in_flight_requests: 1024,
            connections: 2048,
            connection_requests: 256,
            stream_requests: 64,
            connections_per_peer: None,
            body_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(75),
            answer_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            shared_memory: false,
            handshake_timeout: Duration::from_secs(10),
            reload_interval: Duration::from_secs(5),
            catalog: Arc::new(Unversioned),
            tls: None,
            keys: None,
            cors_origins: Vec::new(),
            hosts: Vec::new(),
            client_limits: ClientLimits::default(),
            tracing: None,
            logging: None,
        }
    }
}

impl ServerOptions {
    /// The most bytes of one request body; above it, 413. 64 MiB unless set.
    pub fn with_body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// The largest body that is decoded, and about the largest answer that is encoded, on the event loop itself; what
    /// is larger goes to a blocking thread, as many at a time as there are cores. 16 KiB unless set.
    pub fn with_inline_bytes(mut self, bytes: usize) -> Self {
        self.inline_bytes = bytes;
        self
    }

    /// The most bytes of request bodies at a time, each counted from its arrival until its request is answered; above it, 503. A single
    /// body may be no larger either. 256 MiB unless set.
    pub fn with_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.in_flight_bytes = bytes;
        self
    }

    /// The most inference requests at a time, from the end of their bodies to their answers; above it, 503. Other end points
    /// answer regardless. 1,024 unless set.
    pub fn with_in_flight_requests(mut self, requests: usize) -> Self {
        self.in_flight_requests = requests;
        self
    }

    /// The most connections at a time. When there are as many, the one that has idled longest makes way for a new one, so
    /// that idlers lock nobody out; if none idles, the new one waits.
    ///
    /// Above [`in_flight_requests`](Self::with_in_flight_requests), so that health can still be asked for when as many
    /// requests wait as may. Does not count where a router is embedded. 2,048 unless set.
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// The most requests at a time of one connection that speaks HTTP/2, gRPC included; its client keeps further ones back.
    /// Does not count where a router is embedded. 256 unless set.
    pub fn with_connection_requests(mut self, requests: u32) -> Self {
        self.connection_requests = requests.max(1);
        self
    }

    /// The most requests at a time of one `ModelStreamInfer`; while there are as many, no further one is read. 64 unless set.
    pub fn with_stream_requests(mut self, requests: usize) -> Self {
        self.stream_requests = requests.max(1);
        self
    }

    /// The most connections of one address at a time, a /64 network counting as one in IPv6; further ones are closed at
    /// once. For servers that clients reach without a proxy between them. Does not count where a router is embedded. No
    /// limit unless set.
    pub fn with_connections_per_peer(mut self, connections: NonZeroUsize) -> Self {
        self.connections_per_peer = Some(connections);
        self
    }

    /// How long a body may take to arrive; after it, 408. 120 seconds unless set.
    pub fn with_body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// How long a connection may take over the headers of its next request, idling included, or have no request if it
    /// speaks HTTP/2; then it is closed. Does not count where a router is embedded. 75 seconds unless set.
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a client may take nothing of its answer; then its connection is closed. Does not count where a router is
    /// embedded. 30 seconds unless set.
    pub fn with_answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// How long requests in flight have to finish once the server is told to end. 30 seconds unless set.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether clients on the same machine may pass tensors in POSIX shared memory. Whoever may ask then has the server read
    /// and write shared memory that the server's user may use. Off unless set.
    pub fn with_shared_memory(mut self, allowed: bool) -> Self {
        self.shared_memory = allowed;
        self
    }

    /// Which versions the models have; without it, none.
    pub fn with_catalog(mut self, catalog: impl Catalog + 'static) -> Self {
        self.catalog = Arc::new(catalog);
        self
    }

    /// Speaks TLS only. Does not count where a router is embedded.
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long the handshake of TLS may take; then the connection is closed. 10 seconds unless set.
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Asks everybody for a key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`; without, only health and
    /// the files of the live page may be asked for.
    ///
    /// Without keys, everything but administration is open to all who can connect, and administration to this machine.
    pub fn with_keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// How often files of keys and certificates are looked at, and read again when they have changed. Does not count where
    /// a router is embedded. 5 seconds unless set.
    pub fn with_reload_interval(mut self, interval: Duration) -> Self {
        self.reload_interval = interval;
        self
    }

    /// Lets pages of these origins ask (CORS): `https://app.example` or `tauri://localhost`, or `*` for all pages. None
    /// unless set.
    ///
    /// # Panics
    ///
    /// If an origin has characters that no header may have.
    pub fn with_cors_origins<I: AsRef<str>>(mut self, origins: impl IntoIterator<Item = I>) -> Self {
        let value = |origin: I| {
            let origin = origin.as_ref();
            HeaderValue::from_str(origin).unwrap_or_else(|_| panic!("{origin:?} is no origin"))
        };
        self.cors_origins = origins.into_iter().map(value).collect();
        self
    }

    /// More names under which this server is asked for, beside those of loopback. They count where names are checked: on
    /// a loopback address without keys, since a page can give this machine a name of its own.
    pub fn with_hosts<I: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = I>) -> Self {
        self.hosts = hosts.into_iter().map(|host| host.as_ref().to_ascii_lowercase()).collect();
        self
    }

    /// How often each client may ask: a key, or where there are none, an address. Above it, 429. A key's own rate goes
    /// before. Health is not counted. No limit unless set.
    pub fn with_client_rate(mut self, rate: RateLimit) -> Self {
        self.client_limits.rate = Some(rate);
        self
    }

    /// How many requests each client may have in flight: a key, or where there are none, an address. Above it, 429. A
    /// key's own limit goes before. No limit unless set.
    pub fn with_client_concurrency(mut self, requests: NonZeroUsize) -> Self {
        self.client_limits.concurrency = Some(requests);
        self
    }

    /// Tells of each request that is sampled, in terms of traces. Without it, a trace that a request comes with is passed on as
    /// it is, and no span is made.
    pub fn with_tracing(mut self, tracing: Arc<dyn Tracing>) -> Self {
        self.tracing = Some(tracing);
        self
    }

    /// Lets operators see and change what is logged. Without it, they are told that it is not theirs to set.
    pub fn with_logging(mut self, logging: Arc<dyn Logging>) -> Self {
        self.logging = Some(logging);
        self
    }

    /// The largest body that can be taken in at all.
    pub(crate) fn body_limit(&self) -> usize {
        self.body_bytes.min(self.in_flight_bytes)
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("body_bytes", &self.body_bytes)
            .field("inline_bytes", &self.inline_bytes)
            .field("in_flight_bytes", &self.in_flight_bytes)
            .field("in_flight_requests", &self.in_flight_requests)
            .field("connections", &self.connections)
            .field("connection_requests", &self.connection_requests)
            .field("stream_requests", &self.stream_requests)
            .field("body_timeout", &self.body_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .field("grace", &self.grace)
            .field("shared_memory", &self.shared_memory)
            .field("tls", &self.tls)
            .field("keys", &self.keys)
            .field("cors_origins", &self.cors_origins)
            .field("hosts", &self.hosts)
            .field("client_limits", &self.client_limits)
            .finish_non_exhaustive()
    }
}
