//! [`Settings`]: every option of `serve`, in one list. What stands above each is its help, its line in the reference, and its
//! description in the schema.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use unruffled::engine::JobsOptions;
use unruffled::engine::job::JobLimits;
use unruffled_server::ServerOptions;

use super::values::{Address, Amount, Origin, OtherAddress, Part, Rate, Time};

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For machines, an object a line
    Json,
}

const DOORS: &str = "Who may ask";
const LIMITS: &str = "How much is taken in";
const WAITS: &str = "How long is waited";
const JOBS: &str = "Jobs";
const TRACES: &str = "Traces";

/// Every option of `unruffled serve`, by its name; what is left out has its default.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "unruffled serve --config")]
pub(crate) struct Settings {
    /// A model's file or folder
    #[arg(value_name = "FILE|FOLDER")]
    pub(crate) file: Option<PathBuf>,

    /// The folder of models
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,

    /// The address to listen on; port 0 takes a free one, and says which
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub(crate) http: Option<Address>,

    /// A second address, for clients of gRPC that expect one; both addresses speak both, and `none` leaves it out. Without
    /// it, port 8001 beside that of `http`, if it is free; nothing if that is 0
    #[arg(long, value_name = "ADDRESS|none")]
    pub(crate) grpc: Option<OtherAddress>,

    /// Tell health and metrics on this address too, on a thread of their own, until the last request is answered
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health: Option<Address>,

    /// How many requests may wait for each model, instead of what model.toml says; more are refused at once
    #[arg(long, value_name = "N")]
    pub(crate) queue: Option<NonZeroUsize>,

    /// How much memory the models may take together: 2GiB, 500MB, or a number of bytes; without it, all are kept
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: Option<Amount>,

    /// A folder for what outlives the server: jobs that were accepted are run, and their results kept, also after a crash
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Let clients on this machine pass tensors in POSIX shared memory; whoever may ask then has the server use it
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(default_value = "false", hide_default_value = true)]
    pub(crate) shared_memory: Option<bool>,

    /// How long requests in flight have to finish when the server ends: 30s, 500ms, or a number of seconds
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) grace: Option<Time>,

    /// The file of keys, of which everybody needs one: `unruffled keys new` writes it. Read again when it changes
    #[arg(long, value_name = "FILE", help_heading = DOORS)]
    pub(crate) keys: Option<PathBuf>,

    /// The server's certificate in PEM, to speak TLS only. Read again when it changes
    #[arg(long, value_name = "FILE", help_heading = DOORS)]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate in PEM
    #[arg(long, value_name = "FILE", help_heading = DOORS)]
    pub(crate) tls_key: Option<PathBuf>,

    /// The authority in PEM that clients must have a certificate of
    #[arg(long, value_name = "FILE", help_heading = DOORS)]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// The origin of pages that may ask, such as `https://app.example`, or * for all; several are told one by one
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', help_heading = DOORS)]
    pub(crate) cors_origin: Option<Vec<Origin>>,

    /// A name under which the server may be asked for, where it is on loopback without keys, beside localhost; several are
    /// told one by one
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = DOORS)]
    pub(crate) allow_host: Option<Vec<String>>,

    /// How often a client may ask, a key or else an address: 50/s, 600/m or 1000/h
    #[arg(long, value_name = "RATE", help_heading = DOORS)]
    pub(crate) client_rate: Option<Rate>,

    /// How many of these at once, after a rest; without it, as many as the rate says
    #[arg(long, value_name = "N", help_heading = DOORS)]
    pub(crate) client_burst: Option<NonZeroU32>,

    /// How many requests of a client may be in flight
    #[arg(long, value_name = "N", help_heading = DOORS)]
    pub(crate) client_concurrency: Option<NonZeroUsize>,

    /// How many connections an address may have
    #[arg(long, value_name = "N", help_heading = DOORS)]
    pub(crate) client_connections: Option<NonZeroUsize>,

    /// The largest body of a request
    #[arg(long, value_name = "BYTES", default_value = "64MiB", help_heading = LIMITS)]
    pub(crate) body_bytes: Option<Amount>,

    /// How much all bodies that are at work may have together
    #[arg(long, value_name = "BYTES", default_value = "256MiB", help_heading = LIMITS)]
    pub(crate) in_flight_bytes: Option<Amount>,

    /// How many requests may be in flight
    #[arg(long, value_name = "N", default_value = "1024", help_heading = LIMITS)]
    pub(crate) in_flight_requests: Option<NonZeroUsize>,

    /// The largest body that is decoded on the event loop itself
    #[arg(long, value_name = "BYTES", default_value = "16KiB", help_heading = LIMITS)]
    pub(crate) inline_bytes: Option<Amount>,

    /// How many connections there may be
    #[arg(long, value_name = "N", default_value = "2048", help_heading = LIMITS)]
    pub(crate) connections: Option<NonZeroUsize>,

    /// How many requests one connection of HTTP/2 may have in flight
    #[arg(long, value_name = "N", default_value = "256", help_heading = LIMITS)]
    pub(crate) connection_requests: Option<NonZeroU32>,

    /// How many requests one stream of gRPC may have in flight
    #[arg(long, value_name = "N", default_value = "64", help_heading = LIMITS)]
    pub(crate) stream_requests: Option<NonZeroUsize>,

    /// How long a body may take to arrive
    #[arg(long, value_name = "TIME", default_value = "120s", help_heading = WAITS)]
    pub(crate) body_timeout: Option<Time>,

    /// How long a connection may idle, or take over the headers of its next request
    #[arg(long, value_name = "TIME", default_value = "75s", help_heading = WAITS)]
    pub(crate) idle_timeout: Option<Time>,

    /// How long a client may take nothing of its answer
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = WAITS)]
    pub(crate) answer_timeout: Option<Time>,

    /// How long the handshake of TLS may take
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = WAITS)]
    pub(crate) handshake_timeout: Option<Time>,

    /// How often files of keys and certificates are looked at
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = WAITS)]
    pub(crate) reload_interval: Option<Time>,

    /// How many jobs may wait or run
    #[arg(long, value_name = "N", default_value = "10000", help_heading = JOBS)]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// How much their inputs may have together
    #[arg(long, value_name = "BYTES", default_value = "256MiB", help_heading = JOBS)]
    pub(crate) jobs_bytes: Option<Amount>,

    /// How many jobs of each model are with it at a time
    #[arg(long, value_name = "N", default_value = "32", help_heading = JOBS)]
    pub(crate) jobs_in_flight: Option<NonZeroUsize>,

    /// How many jobs that have ended are kept
    #[arg(long, value_name = "N", default_value = "10000", help_heading = JOBS)]
    pub(crate) jobs_kept: Option<NonZeroUsize>,

    /// How much these may have together
    #[arg(long, value_name = "BYTES", default_value = "256MiB", help_heading = JOBS)]
    pub(crate) jobs_kept_bytes: Option<Amount>,

    /// How long a result is kept at most
    #[arg(long, value_name = "TIME", default_value = "7d", help_heading = JOBS)]
    pub(crate) jobs_keep: Option<Time>,

    /// The collector that takes spans of requests, by OTLP over HTTP: http://127.0.0.1:4318; without it,
    /// $OTEL_EXPORTER_OTLP_ENDPOINT, or no spans
    #[arg(long, value_name = "URL", help_heading = TRACES)]
    pub(crate) otlp: Option<String>,

    /// Which part of the traces that begin here is told, from 0 to 1; of others, their callers decide
    #[arg(long, value_name = "PART", default_value = "1", help_heading = TRACES)]
    pub(crate) otlp_sample: Option<Part>,

    /// What to log on standard error: error, warn, info, debug, trace, off, or a filter such as
    /// `warn,unruffled_engine=debug`; without it, warn
    #[arg(skip)]
    pub(crate) log: Option<String>,

    /// How to write it
    #[arg(skip)]
    pub(crate) log_format: Option<LogFormat>,

    /// The library of ONNX Runtime, or its folder, or `none`; without it, what is found
    #[arg(skip)]
    pub(crate) onnxruntime: Option<PathBuf>,

    /// The Python of models that name none, a virtual environment or an interpreter; without it, the active environment,
    /// `.venv`, or `python3`
    #[arg(skip)]
    pub(crate) python: Option<PathBuf>,
}

impl Settings {
    /// The options that count from the moment on that the file is read again.
    pub(crate) const LIVE: [&'static str; 2] = ["log", "otlp_sample"];

    /// Where to listen.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http.as_ref().map_or(SocketAddr::from(([127, 0, 0, 1], 8000)), |address| address.0)
    }

    /// How long requests in flight have at the end.
    pub(crate) fn grace(&self) -> Duration {
        self.grace.as_ref().map_or(Duration::from_secs(30), |grace| grace.0)
    }

    /// What to log.
    pub(crate) fn log(&self) -> &str {
        self.log.as_deref().unwrap_or("warn")
    }

    /// Which part of new traces is told.
    pub(crate) fn otlp_sample(&self) -> f64 {
        self.otlp_sample.as_ref().map_or(1.0, |part| part.0)
    }

    /// What needs another option that is not there, or an address that cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        let needs = |has: bool, key: &str, needed: bool, other: &str| match has && !needed {
            true => Err(format!("`{}` needs `{}` beside it", flag(key), flag(other))),
            false => Ok(()),
        };
        let (cert, key, ca) = (self.tls_cert.is_some(), self.tls_key.is_some(), self.tls_client_ca.is_some());
        needs(cert, "tls_cert", key, "tls_key")?;
        needs(key, "tls_key", cert, "tls_cert")?;
        needs(ca, "tls_client_ca", cert, "tls_cert")?;
        EnvFilter::builder().parse(self.log()).map_err(|error| {
            format!("`log` is `{}`: {error}; try `info` or `warn,unruffled_engine=debug`", self.log())
        })?;
        needs(self.client_burst.is_some(), "client_burst", self.client_rate.is_some(), "client_rate")
    }

    /// Paths of a file are meant from its folder; runtimes may also be names that are found elsewhere.
    pub(super) fn rebase(&mut self, folder: &Path) {
        let paths = [&mut self.file, &mut self.models, &mut self.data, &mut self.keys].into_iter().chain([
            &mut self.tls_cert,
            &mut self.tls_key,
            &mut self.tls_client_ca,
        ]);
        for path in paths.flatten() {
            *path = folder.join(&*path);
        }
        for path in [&mut self.onnxruntime, &mut self.python].into_iter().flatten() {
            let here = folder.join(&*path);
            if here.exists() {
                *path = here;
            }
        }
    }

    /// The server's options, as far as they are said here.
    pub(crate) fn limit(&self, mut options: ServerOptions) -> ServerOptions {
        macro_rules! set {
            ($($with:ident: $value:expr;)+) => {$(
                if let Some(value) = $value {
                    options = options.$with(value);
                }
            )+};
        }
        let amount = |given: &Option<Amount>| given.as_ref().map(|amount| amount.0);
        let time = |given: &Option<Time>| given.as_ref().map(|time| time.0);
        set! {
            with_grace: time(&self.grace);
            with_shared_memory: self.shared_memory;
            with_body_bytes: amount(&self.body_bytes);
            with_in_flight_bytes: amount(&self.in_flight_bytes);
            with_in_flight_requests: self.in_flight_requests.map(NonZeroUsize::get);
            with_inline_bytes: amount(&self.inline_bytes);
            with_connections: self.connections.map(NonZeroUsize::get);
            with_connection_requests: self.connection_requests.map(NonZeroU32::get);
            with_stream_requests: self.stream_requests.map(NonZeroUsize::get);
            with_body_timeout: time(&self.body_timeout);
            with_idle_timeout: time(&self.idle_timeout);
            with_answer_timeout: time(&self.answer_timeout);
            with_handshake_timeout: time(&self.handshake_timeout);
            with_reload_interval: time(&self.reload_interval);
        }
        options
    }

    /// How jobs are kept and run.
    pub(crate) fn job_limits(&self) -> (JobLimits, JobsOptions) {
        let bytes = |given: &Option<Amount>| given.as_ref().map(|amount| amount.0 as u64);
        let (mut limits, mut options) = (JobLimits::default(), JobsOptions::default());
        if let Some(jobs) = self.jobs {
            limits = limits.with_jobs(jobs.get());
        }
        if let Some(bytes) = bytes(&self.jobs_bytes) {
            limits = limits.with_bytes(bytes);
        }
        if let Some(kept) = self.jobs_kept {
            limits = limits.with_kept(kept.get());
        }
        if let Some(bytes) = bytes(&self.jobs_kept_bytes) {
            limits = limits.with_kept_bytes(bytes);
        }
        if let Some(keep) = &self.jobs_keep {
            limits = limits.with_keep_max(keep.0);
        }
        if let Some(jobs) = self.jobs_in_flight {
            options = options.with_in_flight(jobs.get());
        }
        (limits, options)
    }
}

/// The flag of an option.
pub(crate) fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}
