//! [`Client`]: asks one model of a server over HTTP, by as many connections as it takes.

use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use unruffled_protocol::example::{path_step, request};

use super::super::plan::Broken;
use crate::remote::signature_of;

/// The most numbers of an input that is made up.
const ELEMENTS: usize = 1 << 20;

/// Asks one model. Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub(in super::super) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    server: Arc<str>,
    model: Arc<str>,
    body: Bytes,
    /// How long it says that it waits, in seconds; otherwise nothing.
    says: Option<u32>,
}

/// What a server answered.
pub(in super::super) struct Reply {
    pub(in super::super) status: StatusCode,
    body: Bytes,
}

impl Reply {
    /// Fails unless it is a success.
    pub(in super::super) fn success(self) -> Result<Bytes, Broken> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let text: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        Err(Broken::new(format!("the server answered {}: {text}", self.status)))
    }
}

impl Client {
    /// A client of the model, which is asked what it takes unless a file holds the request.
    pub(in super::super) async fn new(url: &str, model: &str, file: Option<&Path>) -> Result<Self, Broken> {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        let (server, model) = (url.trim_end_matches('/').into(), path_step(model).into());
        let mut client = Self { http, server, model, body: Bytes::new(), says: None };
        client.body = match file {
            Some(file) => std::fs::read(file)
                .map_err(|error| Broken::new(format!("{}: {error}", file.display())))?
                .into(),
            None => client.example().await?,
        };
        Ok(client)
    }

    /// The same, that tells servers that it waits so many seconds.
    pub(in super::super) fn saying(self, seconds: u32) -> Self {
        Self { says: Some(seconds), ..self }
    }

    /// A request of zeros.
    async fn example(&self) -> Result<Bytes, Broken> {
        let metadata = self.get(&format!("/v2/models/{}", self.model)).await?.success()?;
        let signature = signature_of(&metadata).map_err(|error| Broken::new(error.to_string()))?;
        let example = request(&signature, ELEMENTS).ok_or_else(|| {
            Broken::new("no request can be made up for this model; name one: --request FILE")
        })?;
        Ok(example.to_json()?.into())
    }

    /// Asks the model once. Dropped, the connection is cut.
    pub(in super::super) async fn ask(&self) -> Result<Reply, Broken> {
        self.send(Method::POST, &format!("/v2/models/{}/infer", self.model), self.body.clone()).await
    }

    pub(in super::super) async fn get(&self, path: &str) -> Result<Reply, Broken> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Reply, Broken> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(hyper::header::CONTENT_TYPE, "application/json");
        if let Some(seconds) = self.says {
            request = request.header("X-Request-Timeout", seconds);
        }
        let request = request.body(Full::new(body))?;
        let response = self.http.request(request).await.map_err(|error| Broken::new(chain(&error)))?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Reply { status, body })
    }
}

/// An error with its causes: the client's own says little.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
