//! [`Progress`]: whether the client takes what it asked for.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// The most bytes of an answer that are handed over at a time: what is taken in one piece shows no progress.
const PIECE_BYTES: usize = 64 << 10;

/// The answers of one connection that wait for their reader, and since when. Cheap to clone.
///
/// A client of HTTP/2 can keep a connection busy and yet take nothing of one answer: the socket does not tell.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    since: HashMap<u64, Instant>,
    answers: u64,
}

impl Progress {
    /// Waits until some answer has waited for so long.
    pub(super) async fn stalled(&self, patience: Duration) {
        loop {
            let oldest = self.0.lock().since.values().min().copied();
            match oldest {
                None => sleep(patience).await,
                Some(since) if since.elapsed() >= patience => return,
                Some(since) => sleep_until(since + patience).await,
            }
        }
    }

    /// Watches how this answer is taken.
    pub(super) fn watch(&self, body: Body) -> Body {
        let mut waiting = self.0.lock();
        waiting.answers += 1;
        Body::new(Watched { body, rest: Bytes::new(), progress: self.clone(), number: waiting.answers })
    }
}

/// An answer that is taken piece by piece.
struct Watched {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    progress: Progress,
    number: u64,
}

impl Watched {
    fn handed_over(&self) {
        self.progress.0.lock().since.insert(self.number, Instant::now());
    }

    fn asked_for(&self) {
        self.progress.0.lock().since.remove(&self.number);
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.asked_for();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    // Trailers are the end.
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(piece);
        self.handed_over();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.asked_for();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tokio::time::timeout;

    use super::{PIECE_BYTES, Progress};

    #[tokio::test(start_paused = true)]
    async fn only_what_is_handed_over_and_not_asked_for_again_stalls() {
        let (progress, second) = (Progress::default(), Duration::from_secs(1));
        let is_stalled = async || timeout(second * 5, progress.stalled(second)).await.is_ok();
        let mut body = progress.watch(Body::from(vec![7; 2 * PIECE_BYTES + 1]));
        assert!(!is_stalled().await);
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.len(), PIECE_BYTES);
        assert!(is_stalled().await);
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(rest.len(), PIECE_BYTES + 1);
        assert!(!is_stalled().await);
    }
}
