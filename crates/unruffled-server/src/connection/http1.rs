//! Requests one after the other.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Visitor;
use crate::options::ServerOptions;
use crate::patient::Patient;
use crate::phase::{self, Phase};
use crate::successor::{Gained, Stream, Succession};

/// About the most bytes of a connection's input that wait to be looked at.
const BUFFER_BYTES: usize = 64 << 10;

/// The most bytes of a request's line and headers; above it, 431.
const HEAD_BYTES: usize = 64 << 10;

/// How long the rest of an unread request is thrown away, so that its sender finds the answer.
const LINGER: Duration = Duration::from_secs(2);

pub(super) async fn serve<S: Stream>(
    stream: Patient<S>,
    visitor: Visitor,
    router: Router,
    options: &ServerOptions,
    mut phase: watch::Receiver<Phase>,
) {
    let unread = Arc::new(AtomicBool::new(false));
    let succession = Succession::default();
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (mut request, entry) = visitor.enter(request);
        request.extensions_mut().insert(succession.clone());
        let (answer, unread) = (router.call(request), Arc::clone(&unread));
        Box::pin(async move {
            let answer: Result<Response, Infallible> = answer.await;
            if answer.as_ref().is_ok_and(|response| asks_to_close(response.headers())) {
                unread.store(true, Ordering::Relaxed);
            }
            answer.map(|response| entry.answered(response))
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.idle_timeout)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);

    let ended = tokio::select! {
        outcome = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(outcome),
        () = phase::reached(&mut phase, Phase::Draining) => None,
    };
    let outcome = match ended {
        Some(outcome) => outcome,
        None => {
            // An idle connection ends here; a busy one after the answer that it owes.
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    if let Err(error) = &outcome {
        tracing::debug!(%error, "a connection ended early");
    }
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    if let (Ok(()), Some(successor)) = (&outcome, succession.take()) {
        let (stream, seat) = (Box::new(stream), Arc::clone(&visitor.seat));
        successor(Gained { stream, read: parts.read_buf, seat: Some(seat) }).await;
        return;
    }
    let stream = stream.into_inner();
    if outcome.is_err() || unread.load(Ordering::Relaxed) {
        linger(stream).await;
    } else {
        close(stream).await;
    }
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    headers.get(header::CONNECTION).is_some_and(|value| value == "close")
}

/// Ends a connection whose client may still be sending. Closing it at once would reset it, and the reset would
/// overtake the answer.
async fn linger(mut stream: impl Stream) {
    let discard = async {
        stream.shutdown().await?;
        let mut buffer = vec![0; 8 << 10];
        while stream.read(&mut buffer).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The client goes or it does not: either way the stream is dropped.
    let _ = timeout(LINGER, discard).await;
}

/// Ends a connection on which nothing is left to be read: TLS says so, that its end cannot be mistaken for a cut.
async fn close(mut stream: impl Stream) {
    // As above.
    let _ = timeout(LINGER, stream.shutdown()).await;
}
