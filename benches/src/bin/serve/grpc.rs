//! Callers over gRPC: streams of a few connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

use crate::load::{Counter, Seen};

/// Callers that share a connection.
const PER_CONNECTION: usize = 16;

/// A message with its length before it.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a request is short"));
    framed.extend_from_slice(message);
    framed.freeze()
}

/// So many callers send this message to `ModelInfer`, again and again.
pub(crate) fn load(
    address: SocketAddr,
    message: &Bytes,
    callers: usize,
    warm_up: Duration,
    length: Duration,
) -> Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let counter = Arc::new(Mutex::new(Counter::new(warm_up, length)));
        let mut all = Vec::new();
        let mut connection = None;
        for at in 0..callers {
            if at % PER_CONNECTION == 0 {
                connection = Some(connect(address).await?);
            }
            let sender = connection.clone().context("one was made")?;
            all.push(tokio::spawn(call(sender, message.clone(), Arc::clone(&counter))));
        }
        for caller in all {
            caller.await??;
        }
        let counter = Arc::into_inner(counter).context("all have ended")?;
        Ok(counter.into_inner().expect("nobody panicked").seen())
    })
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn call(mut sender: SendRequest<Bytes>, message: Bytes, counter: Arc<Mutex<Counter>>) -> Result<()> {
    loop {
        let asked = Instant::now();
        let request = Request::post("http://localhost/inference.GRPCInferenceService/ModelInfer")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        sender = sender.ready().await?;
        let (answer, mut body) = sender.send_request(request, false)?;
        body.send_data(message.clone(), true)?;
        let mut answer = answer.await?.into_body();
        while let Some(data) = answer.data().await {
            let data = data?;
            answer.flow_control().release_capacity(data.len())?;
        }
        let trailers = answer.trailers().await?.context("no trailers")?;
        ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "refused: {trailers:?}");
        if !counter.lock().expect("nobody panicked").answered(asked) {
            return Ok(());
        }
    }
}
