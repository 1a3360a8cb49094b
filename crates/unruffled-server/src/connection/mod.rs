//! One connection, from its first byte to its last; HTTP/1.1 and HTTP/2 on the same port.

mod preface;

mod http1;

mod progress;
mod tasks;

mod http2;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::awaited::Awaited;
use crate::held::Held;
use crate::options::ServerOptions;
use crate::patient::Patient;
use crate::phase::{self, Phase};
use crate::seats::{Busy, Seat, Turn};
use crate::successor::Stream;
use preface::Protocol;

/// Who is at the other end, and the place that the connection has.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(crate) peer: SocketAddr,
    pub(crate) seat: Arc<Seat>,
}

/// A request as it goes to the router.
type Entered = Request<Awaited<Incoming>>;

impl Visitor {
    /// Tells a request who sends it, and holds the place for it until its answer is written.
    fn enter(&self, mut request: Request<Incoming>) -> (Entered, Entry) {
        let entry = Entry { busy: self.seat.busy(), turn: self.seat.turn() };
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let turn = Arc::clone(&entry.turn);
        (request.map(|body| Awaited::new(body, turn)), entry)
    }
}

/// A request that is under way.
struct Entry {
    busy: Busy,
    turn: Arc<Turn>,
}

impl Entry {
    /// The answer begins; the place is held while it is read.
    fn answered(self, response: Response) -> hyper::Response<Held<Busy>> {
        self.turn.is_answered();
        response.map(|body| Held::new(body, self.busy))
    }
}

/// Serves a connection that has just been made: first the handshake, where there is one, then requests. Ends before its
/// time if it idles and its place is needed.
///
/// Dropped before its end, the requests in flight are dropped with it.
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
    let visitor = Visitor { peer, seat: Arc::new(seat) };
    let seat = Arc::clone(&visitor.seat);
    let served = async {
        match &options.tls {
            None => serve(stream, visitor, router, options, phase).await,
            Some(tls) => match timeout(options.handshake_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => serve(stream, visitor, router, options, phase).await,
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
async fn serve<S: Stream>(
    stream: S,
    visitor: Visitor,
    router: Router,
    options: &ServerOptions,
    mut phase: watch::Receiver<Phase>,
) {
    let mut stream = Patient::new(stream, Arc::clone(&visitor.seat), options.answer_timeout);
    let protocol = tokio::select! {
        protocol = timeout(options.idle_timeout, preface::read(&mut stream)) => protocol,
        () = phase::reached(&mut phase, Phase::Draining) => return,
    };
    match protocol {
        Ok(Ok(Protocol::Http1)) => http1::serve(stream, visitor, router, options, phase).await,
        Ok(Ok(Protocol::Http2)) => http2::serve(stream, visitor, router, options, phase).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended before it said anything"),
        Err(_) => tracing::debug!("a connection said nothing in time"),
    }
}
