//! Takes request bodies in, and gets rid of those that nobody will read.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::budget::{Budget, Part};
use crate::refusal::Refusal;

/// The most bytes that are read only to keep a connection open after a refusal.
const DISCARD_BYTES: usize = 1 << 20;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The least that is reserved for a body that comes in pieces.
const PIECE_BYTES: usize = 64 << 10;

/// Checks the announced length of a body against the limit and the budget, before any of it is read. Of the budget it
/// takes what comes, when it comes: otherwise a few clients who announce much and send nothing would hold all of it.
pub(crate) fn admit(body: &Body, limit: usize, budget: &Budget) -> Result<Part, Refusal> {
    let announced = announced(body).unwrap_or(0);
    if announced > limit {
        return Err(Refusal::too_large(Some(announced), limit));
    }
    let part = budget.part();
    part.has_room_for(announced)?;
    Ok(part)
}

/// The whole body. Its bytes are counted in `part` as they come.
pub(crate) async fn collect(mut body: Body, limit: usize, part: &mut Part) -> Result<Bytes, Refusal> {
    let announced = announced(&body);
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Refusal::bad_request(format!("the body ended early: {error}")).closing())?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - collected.len() {
            return Err(Refusal::too_large(None, limit));
        }
        part.grow_to(collected.len() + data.len()).map_err(Refusal::closing)?;
        if announced == Some(data.len()) {
            // It came in one piece, as small ones do: no copy.
            return Ok(data);
        }
        let needed = collected.len() + data.len();
        if needed > collected.capacity() {
            // Ahead of what has come, so that little is moved, but not by more than that.
            let ahead = (2 * needed).max(PIECE_BYTES).min(announced.unwrap_or(limit)).max(needed);
            collected.reserve(ahead - collected.len());
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// Answers a request whose body is still unread, reading it to its end if that is near, so that the connection stays.
pub(crate) async fn refuse(refusal: Refusal, headers: &HeaderMap, body: Body) -> Response {
    // A client that expects to be told to go on must not be, and then sends no body: whether it will is its choice.
    let stays = !refusal.closes() && !headers.contains_key(header::EXPECT) && discard(body).await;
    let refusal = if stays { refusal } else { refusal.closing() };
    refusal.into_response()
}

/// Reads a body to its end and keeps nothing. False: there is more than is worth it.
async fn discard(mut body: Body) -> bool {
    if announced(&body).is_some_and(|bytes| bytes > DISCARD_BYTES) {
        return false;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DISCARD_BYTES {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DISCARD_TIME, read).await.unwrap_or(false)
}

fn announced(body: &Body) -> Option<usize> {
    let exact = body.size_hint().exact()?;
    Some(usize::try_from(exact).unwrap_or(usize::MAX))
}
