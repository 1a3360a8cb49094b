//! [`Grpc`]: a client of gRPC that waits for each answer, or does not.

use axum::http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{IntoRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use unruffled_model::{Tensor, Tensors};
use unruffled_protocol::grpc::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse, SERVICE};
use unruffled_protocol::{InferRequest, InferResponse, Limits};

use crate::support::TestServer;

pub(crate) struct Grpc<'a> {
    server: &'a TestServer,
    channel: Channel,
    coding: Option<CompressionEncoding>,
}

impl<'a> Grpc<'a> {
    pub(crate) fn connect(server: &'a TestServer) -> Self {
        let _context = server.runtime.enter();
        let channel = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect_lazy();
        Self { server, channel, coding: None }
    }

    /// Compresses what it sends.
    pub(crate) fn compressing(mut self, coding: CompressionEncoding) -> Self {
        self.coding = Some(coding);
        self
    }

    /// Calls and waits.
    pub(crate) fn call<Q, A>(&self, call: &str, request: impl IntoRequest<Q>) -> Result<Response<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let request = request.into_request();
        self.server.runtime.block_on(unary(self.channel.clone(), self.coding, call.to_owned(), request))
    }

    /// Asks the model of this request and waits.
    pub(crate) fn infer(&self, request: ModelInferRequest) -> Result<InferResponse, Status> {
        let answer: ModelInferResponse = self.call("ModelInfer", request)?.into_inner();
        assert_eq!(answer.raw_output_contents.len(), answer.outputs.len(), "answers are raw");
        Ok(InferResponse::from_grpc(answer, &Limits::default()).unwrap())
    }

    /// Asks the model of this request and does not wait.
    pub(crate) fn start(
        &self,
        request: ModelInferRequest,
    ) -> JoinHandle<Result<Response<ModelInferResponse>, Status>> {
        let (channel, request) = (self.channel.clone(), Request::new(request));
        self.server.runtime.spawn(unary(channel, None, "ModelInfer".to_owned(), request))
    }

    /// What became of it.
    pub(crate) fn ended<T: 'static>(&self, started: JoinHandle<T>) -> T {
        self.server.runtime.block_on(started).unwrap()
    }

    /// Begins a conversation.
    pub(crate) fn stream(&self, headers: &[(&'static str, &'static str)]) -> Conversation<'a> {
        let (send, mut receive) = unbounded_channel();
        let mut request = Request::new(futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx)));
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        let channel = self.channel.clone();
        let answers = self.server.runtime.block_on(async {
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.unwrap();
            let path = path("ModelStreamInfer");
            client.streaming(request, path, ProstCodec::default()).await.unwrap().into_inner()
        });
        Conversation { server: self.server, send: Some(send), answers }
    }
}

/// One `ModelStreamInfer`.
pub(crate) struct Conversation<'a> {
    server: &'a TestServer,
    send: Option<UnboundedSender<ModelInferRequest>>,
    answers: Streaming<ModelStreamInferResponse>,
}

impl Conversation<'_> {
    pub(crate) fn send(&self, request: ModelInferRequest) {
        self.send.as_ref().unwrap().send(request).unwrap();
    }

    /// Says that there are no more.
    pub(crate) fn finish(&mut self) {
        self.send = None;
    }

    /// The next answer; none after the last, if all ended well.
    pub(crate) fn next(&mut self) -> Result<Option<ModelStreamInferResponse>, Status> {
        self.server.runtime.block_on(self.answers.message())
    }

    /// The next answer, which is no error.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> ModelInferResponse {
        let answer = self.next().unwrap().expect("an answer");
        assert_eq!(answer.error_message, "");
        answer.infer_response.unwrap()
    }

    /// The next answer, which is an error: the id of its request and the text.
    #[track_caller]
    pub(crate) fn error(&mut self) -> (String, String) {
        let answer = self.next().unwrap().expect("an answer");
        (answer.infer_response.unwrap().id, answer.error_message)
    }
}

fn path(call: &str) -> PathAndQuery {
    let path = if call.contains('/') { format!("/{call}") } else { format!("/{SERVICE}/{call}") };
    path.parse().unwrap()
}

async fn unary<Q, A>(
    channel: Channel,
    coding: Option<CompressionEncoding>,
    call: String,
    request: Request<Q>,
) -> Result<Response<A>, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
    if let Some(coding) = coding {
        client = client.send_compressed(coding);
    }
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    client.unary(request, path(&call), ProstCodec::default()).await
}

/// A request for the doubling model: one row.
pub(crate) fn one_row(id: &str) -> ModelInferRequest {
    with_x(id, Tensor::new(&[1, 2], vec![1.0_f32, 2.5]).unwrap())
}

/// A request with this input.
pub(crate) fn with_x(id: &str, x: Tensor) -> ModelInferRequest {
    let inputs = Tensors::new().with("x", x);
    let request = InferRequest { id: Some(id.to_owned()), inputs, ..InferRequest::default() };
    request.to_grpc("m", "").unwrap()
}

/// Checks that this is what the doubling model makes of [`one_row`].
#[track_caller]
pub(crate) fn assert_doubled(answer: &InferResponse) {
    assert_eq!(answer.outputs.get("y").unwrap().elements::<f32>().unwrap(), [2.0, 5.0]);
}

/// Checks the code and that the text holds all of these.
#[track_caller]
pub(crate) fn assert_status<T>(outcome: Result<T, Status>, code: tonic::Code, parts: &[&str]) -> Status {
    let Err(status) = outcome else { panic!("no error") };
    assert_eq!(status.code(), code, "{status}");
    for part in parts {
        assert!(status.message().contains(part), "`{part}` is not in `{}`", status.message());
    }
    status
}
