//! Requests side by side.

use std::convert::Infallible;
use std::pin::pin;

use axum::Router;
use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::Visitor;
use super::progress::Progress;
use super::tasks::Tasks;
use crate::options::ServerOptions;
use crate::patient::Patient;
use crate::phase::{self, Phase};
use crate::successor::Stream;

/// The most bytes of requests that a connection holds unread, over all of its streams.
const WINDOW_BYTES: u32 = 1 << 20;

/// The largest frame that is taken.
const FRAME_BYTES: u32 = 64 << 10;

/// The most bytes of a request's headers.
const HEAD_BYTES: u32 = 16 << 10;

/// The most bytes of one answer that are handed to the connection before they are sent.
const SEND_BYTES: usize = 256 << 10;

/// The most streams that the client may have begun and taken back before they were looked at: who does more ends the
/// connection.
const RESETS: usize = 20;

/// The most streams that may break the protocol: as above.
const MISTAKES: usize = 200;

pub(super) async fn serve<S: Stream>(
    stream: Patient<S>,
    visitor: Visitor,
    router: Router,
    options: &ServerOptions,
    mut phase: watch::Receiver<Phase>,
) {
    let (tasks, progress) = (Tasks::new(), Progress::default());
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (request, entry) = visitor.enter(request);
        let (answer, progress) = (router.call(request), progress.clone());
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            answer.map(|mut response| {
                // Streams end by themselves: there is no connection to close.
                response.headers_mut().remove(header::CONNECTION);
                entry.answered(response).map(|body| progress.watch(Body::new(body)))
            })
        }
    });
    let connection = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(options.idle_timeout / 2)
        .keep_alive_timeout(options.answer_timeout)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .max_concurrent_streams(options.connection_requests)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(MISTAKES)
        .serve_connection(TokioIo::new(stream), service);

    let mut connection = pin!(connection);
    let mut idle = pin!(tasks.idle(options.idle_timeout));
    let mut stalled = pin!(progress.stalled(options.answer_timeout));
    let mut ending = false;
    loop {
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            // The client is told to begin nothing more; what it has begun goes on.
            () = phase::reached(&mut phase, Phase::Draining), if !ending => {
                connection.as_mut().graceful_shutdown();
                ending = true;
            }
            () = idle.as_mut() => {
                if ending {
                    tracing::debug!("a connection had nothing more to do, and did not end");
                    return;
                }
                connection.as_mut().graceful_shutdown();
                ending = true;
                idle.set(tasks.idle(options.idle_timeout));
            }
            () = stalled.as_mut() => {
                tracing::debug!("a client does not read its answer");
                return;
            }
        }
    }
}
