//! Asks a server of the Open Inference Protocol V2 instead of the model itself.

use std::time::Duration;

use unruffled::{Dim, Signature, TensorSpec, Tensors};
use unruffled_protocol::example::path_step;
use unruffled_protocol::{
    ErrorBody, InferRequest, InferResponse, Limits, ModelMetadata, ProtocolError, TensorMetadata,
};

use crate::exit::{Exit, Failure};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// How long the server may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer than the request's own time the answer may take to arrive: the server says why it is late.
const REPLY_GRACE: Duration = Duration::from_secs(2);

/// The variable that holds the key of the server, and the header that takes it there.
const KEY: &str = "UNRUFFLED_KEY";
const API_KEY: &str = "X-API-Key";

/// The variables, and in lower case the headers, by which a trace goes on from the program that started this one.
const TRACE: [(&str, &str); 2] = [("TRACEPARENT", "traceparent"), ("TRACESTATE", "tracestate")];

/// A model on a server, or the server itself.
pub(crate) struct Remote {
    agent: ureq::Agent,
    /// Of the model.
    url: String,
    server: String,
    /// The key that the server asks for. From the environment: arguments are seen by everybody on the machine.
    key: Option<String>,
}

/// What a server answered.
pub(crate) struct Reply {
    pub(crate) version: Option<String>,
    pub(crate) outputs: Tensors,
    /// Where the time went, as the server says it.
    pub(crate) timing: Option<String>,
}

/// What a model takes and gives, as the metadata of a server say it.
pub(crate) fn signature_of(metadata: &[u8]) -> Result<Signature, ProtocolError> {
    ModelMetadata::from_json(metadata).map(|metadata| signature(&metadata))
}

fn signature(metadata: &ModelMetadata) -> Signature {
    let specs = |tensors: &[TensorMetadata]| tensors.iter().map(spec).collect();
    Signature { inputs: specs(&metadata.inputs), outputs: specs(&metadata.outputs) }
}

impl Remote {
    pub(crate) fn new(server: &str, model: &str, timeout: Option<Duration>) -> Result<Self, Failure> {
        let server = Self::server(server, timeout)?;
        let url = format!("{}/v2/models/{}", server.server, path_step(model));
        Ok(Self { url, ..server })
    }

    /// A server, of whose models none is meant.
    pub(crate) fn server(server: &str, timeout: Option<Duration>) -> Result<Self, Failure> {
        if !server.starts_with("http://") {
            return Err(Failure::new(Exit::Usage, format!("--url {server}: only http:// is spoken here"))
                .hint("--url http://127.0.0.1:8000"));
        }
        let server = server.trim_end_matches('/');
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(timeout.map(|timeout| timeout + REPLY_GRACE))
            .build();
        Ok(Self {
            agent: config.new_agent(),
            url: server.to_owned(),
            server: server.to_owned(),
            key: std::env::var_os(KEY).and_then(|key| key.into_string().ok()),
        })
    }

    /// What became of a request: a document.
    pub(crate) fn explain(&self, model: Option<&str>, id: &str) -> Result<Vec<u8>, Failure> {
        let steps: String =
            model.into_iter().chain([id]).map(|step| format!("/{}", path_step(step))).collect();
        let answer = self.get(&format!("{}/v1/explain{steps}", self.server)).call();
        self.body(answer).map(|(body, _)| body)
    }

    fn get(&self, url: &str) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
        let get = self.agent.get(url);
        match &self.key {
            Some(key) => get.header(API_KEY, key),
            None => get,
        }
    }

    /// What the model takes and gives, and what runs it.
    pub(crate) fn describe(&self) -> Result<(Signature, String), Failure> {
        let answer = self.get(&self.url).call();
        let (body, _) = self.body(answer)?;
        let metadata = ModelMetadata::from_json(&body).map_err(|error| self.strange(&error))?;
        Ok((signature(&metadata), metadata.platform))
    }

    pub(crate) fn infer(&self, inputs: Tensors, timeout: Option<Duration>) -> Result<Reply, Failure> {
        let request = InferRequest { inputs, ..InferRequest::default() };
        let body = request.to_json().map_err(|error| Failure::new(Exit::Input, error.to_string()))?;
        let mut post = self.agent.post(format!("{}/infer", self.url)).content_type("application/json");
        if let Some(timeout) = timeout {
            post = post.header("X-Request-Timeout", timeout.as_secs_f64().to_string());
        }
        for (variable, header) in TRACE {
            // What cannot be sent is no trace: a new one begins there.
            let value = std::env::var_os(variable)
                .and_then(|value| value.into_string().ok())
                .filter(|value| value.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
            if let Some(value) = value {
                post = post.header(header, value);
            }
        }
        if let Some(key) = &self.key {
            post = post.header(API_KEY, key);
        }
        let (body, timing) = self.body(post.send(&body))?;
        let response =
            InferResponse::from_json(&body, &Limits::default()).map_err(|error| self.strange(&error))?;
        Ok(Reply { version: response.model_version, outputs: response.outputs, timing })
    }

    /// The body of an answer that is a success.
    fn body(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(Vec<u8>, Option<String>), Failure> {
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        let timing =
            answer.headers().get("server-timing").and_then(|timing| timing.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok((body, timing));
        }
        let said =
            ErrorBody::from_json(&body).map_or_else(|_| format!("it answered {status}"), |body| body.error);
        let exit = match status.as_u16() {
            400 | 413 | 415 | 501 => Exit::Input,
            404 => Exit::Model,
            408 | 429 | 503 | 504 => Exit::Busy,
            _ => Exit::Failed,
        };
        let failure = Failure::new(exit, format!("{}: {said}", self.server));
        Err(if status.as_u16() == 401 {
            failure.hint(format!("{KEY}=unr_... unruffled infer ..."))
        } else {
            failure
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let exit = if matches!(error, ureq::Error::Timeout(_)) { Exit::Busy } else { Exit::Network };
        Failure::new(exit, format!("{}: no answer: {error}", self.server))
            .hint("check the address, and that `unruffled serve` runs there")
    }

    fn strange(&self, error: &unruffled_protocol::ProtocolError) -> Failure {
        let message = format!("{} does not speak the Open Inference Protocol V2: {error}", self.server);
        Failure::new(Exit::Network, message)
    }
}

fn spec(tensor: &TensorMetadata) -> TensorSpec {
    let dim = |size: &i64| usize::try_from(*size).map_or(Dim::Any, Dim::Fixed);
    TensorSpec::new(tensor.name.as_str(), tensor.dtype, tensor.shape.iter().map(dim).collect::<Vec<_>>())
}
