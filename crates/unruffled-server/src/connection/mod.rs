//! One connection, from its first byte to its last; HTTP/1.1 and HTTP/2 on the same port.

mod preface;

mod http1;

mod progress;
mod tasks;

mod http2;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::options::ServerOptions;
use crate::patient::Patient;
use crate::phase::{self, Phase};
use preface::Protocol;

/// What a connection is made of: a socket, or something around one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Serves requests until the client goes, idles or stops reading for too long, or the server drains.
///
/// Dropped before its end, the requests in flight are dropped with it.
pub(crate) async fn serve<S: Stream>(
    stream: S,
    router: Router,
    options: &ServerOptions,
    mut phase: watch::Receiver<Phase>,
) {
    let mut stream = Patient::new(stream, options.answer_timeout);
    let protocol = tokio::select! {
        protocol = timeout(options.idle_timeout, preface::read(&mut stream)) => protocol,
        () = phase::reached(&mut phase, Phase::Draining) => return,
    };
    match protocol {
        Ok(Ok(Protocol::Http1)) => http1::serve(stream, router, options, phase).await,
        Ok(Ok(Protocol::Http2)) => http2::serve(stream, router, options, phase).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended before it said anything"),
        Err(_) => tracing::debug!("a connection said nothing in time"),
    }
}
