//! [`Wire`]: HTTP/2 by hand, so that a test decides over every frame.

use axum::http::{HeaderMap, Method, Request, Version};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use unruffled_protocol::grpc::SERVICE;

use crate::support::TestServer;

pub(crate) struct Wire<'a> {
    server: &'a TestServer,
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// The code of gRPC, wherever it is.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        let code = self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"));
        let code = code.unwrap_or_else(|| panic!("no code: {self:?}"));
        code.to_str().unwrap().parse().unwrap()
    }

    pub(crate) fn message(&self) -> String {
        let message = self.trailers.get("grpc-message").or_else(|| self.headers.get("grpc-message"));
        message.map_or(String::new(), |message| message.to_str().unwrap().replace("%20", " "))
    }
}

impl<'a> Wire<'a> {
    pub(crate) fn connect(server: &'a TestServer) -> Self {
        Self::with_window(server, 1 << 20)
    }

    /// A client that takes no more than so many bytes of an answer unless it asks for more.
    pub(crate) fn with_window(server: &'a TestServer, bytes: u32) -> Self {
        let runtime = &server.runtime;
        let (send, connection) = runtime.block_on(async {
            let stream = TcpStream::connect(server.address()).await.unwrap();
            h2::client::Builder::new().initial_window_size(bytes).handshake::<_, Bytes>(stream).await.unwrap()
        });
        Self { server, send, connection: runtime.spawn(connection) }
    }

    /// Sends the headers of a request.
    pub(crate) fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let uri = format!("http://{}{path}", self.server.address());
        let mut request = Request::builder().version(Version::HTTP_2).method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        self.server.runtime.block_on(async {
            let mut send = self.send.clone().ready().await.unwrap();
            send.send_request(request, ends).unwrap()
        })
    }

    /// Sends the headers of a call of gRPC.
    pub(crate) fn call(
        &mut self,
        call: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
        all.extend_from_slice(headers);
        self.send(Method::POST, &format!("/{SERVICE}/{call}"), &all, false)
    }

    /// Sends a call with this body, and waits for its answer.
    pub(crate) fn ask(&mut self, call: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let (answer, mut send) = self.call(call, headers);
        // A server that has answered already takes no more.
        let _ = send.send_data(body.into(), true);
        self.answer(answer)
    }

    pub(crate) fn answer(&self, answer: ResponseFuture) -> Answer {
        self.server.runtime.block_on(async {
            let (head, mut body) = answer.await.unwrap().into_parts();
            let data = all(&mut body).await;
            let trailers = body.trailers().await.unwrap().unwrap_or_default();
            Answer { status: head.status.as_u16(), headers: head.headers, body: data, trailers }
        })
    }

    /// How the connection ends.
    pub(crate) fn ended(self) -> Result<(), h2::Error> {
        let Self { server, send, connection } = self;
        let ended = async { tokio::time::timeout(std::time::Duration::from_secs(20), connection).await };
        let ended = server.runtime.block_on(ended).expect("the connection did not end").unwrap();
        drop(send);
        ended
    }

    /// Goes, as a process that is killed does.
    pub(crate) fn disconnect(self) {
        self.connection.abort();
    }
}

async fn all(body: &mut RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    all
}

/// A message with its length before it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat()
}
