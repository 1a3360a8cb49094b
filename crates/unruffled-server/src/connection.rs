//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::awaited::Awaited;
use crate::held::Held;
use crate::options::ServerOptions;
use crate::patient::Patient;
use crate::phase::{self, Phase};
use crate::seats::{Busy, Seat};

/// About the most bytes of a connection's input that wait to be looked at.
const BUFFER_BYTES: usize = 64 << 10;

/// The most bytes of a request's line and headers; above it, 431.
const HEAD_BYTES: usize = 64 << 10;

/// How long the rest of an unread request is thrown away, so that its sender finds the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Serves a connection that has just been made: first the handshake, where there is one, then requests. Ends before its
/// time if it idles and its place is needed.
///
/// Dropped before its end, the request in flight is dropped with it.
pub(crate) async fn welcome(
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    router: Router,
    options: &ServerOptions,
    phase: watch::Receiver<Phase>,
) {
    // Answers are written whole: waiting for more to send only delays them. A failure costs speed, no more.
    let _ = stream.set_nodelay(true);
    let served = async {
        match &options.tls {
            None => serve(stream, peer, &seat, router, options, phase).await,
            Some(tls) => match timeout(options.handshake_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => serve(stream, peer, &seat, router, options, phase).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a handshake failed"),
                Err(_) => tracing::debug!(%peer, "a handshake took too long"),
            },
        }
    };
    tokio::select! {
        // First, so that no request begins on a connection that is about to go.
        biased;
        () = seat.dismissed() => tracing::debug!(%peer, "an idle connection made way for a new one"),
        () = served => {}
    }
}

/// Serves requests until the client goes, idles or stops reading for too long, or the server drains.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    seat: &Seat,
    router: Router,
    options: &ServerOptions,
    mut phase: watch::Receiver<Phase>,
) {
    let unread = Arc::new(AtomicBool::new(false));
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        let (busy, turn) = (seat.busy(), seat.turn());
        request.extensions_mut().insert(ConnectInfo(peer));
        let request = request.map(|body| Awaited::new(body, Arc::clone(&turn)));
        let (answer, unread) = (router.call(request), Arc::clone(&unread));
        Box::pin(async move {
            let answer: Result<Response, Infallible> = answer.await;
            turn.is_answered();
            if answer.as_ref().is_ok_and(|response| asks_to_close(response.headers())) {
                unread.store(true, Ordering::Relaxed);
            }
            answer.map(|answer| answer.map(|body| Held::<Busy>::new(body, busy)))
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.idle_timeout)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream, seat, options.answer_timeout)), service);

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
    let stream = connection.into_parts().io.into_inner().into_inner();
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
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
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
async fn close(mut stream: impl AsyncWrite + Unpin) {
    // As above.
    let _ = timeout(LINGER, stream.shutdown()).await;
}
