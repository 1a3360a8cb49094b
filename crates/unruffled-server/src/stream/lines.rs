//! [`Lines`]: the lines of a body that comes bit by bit.

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::budget::Part;
use crate::refusal::Refusal;
use crate::service::Service;

/// The lines of a body, one after the other.
pub(super) struct Lines {
    body: Body,
    /// What has been read and belongs to no line yet.
    rest: Bytes,
    /// The most bytes of one line.
    limit: usize,
}

/// Why there is no further line.
pub(super) enum End {
    /// The body has ended.
    Ended,
    /// The client has gone.
    Gone,
    /// What comes cannot be taken.
    Refused(Refusal),
}

impl Lines {
    pub(super) fn new(body: Body, limit: usize) -> Self {
        Self { body, rest: Bytes::new(), limit }
    }

    /// The next line that is not blank, without its end, and what it holds of the budget. The client may take its time to
    /// begin one, and then has that of a body.
    ///
    /// # Cancel safety
    ///
    /// A line that was begun is lost.
    pub(super) async fn next(&mut self, service: &Service) -> Result<(Bytes, Part), End> {
        while self.skip_blank() {
            self.rest = self.data().await?;
        }
        let mut part = service.budget().part();
        let patience = service.options().body_timeout;
        let line = timeout(patience, self.take(&mut part)).await.map_err(|_| {
            End::Refused(Refusal::late(format!("a line did not arrive within {patience:?}; send it faster")))
        })??;
        Ok((line, part))
    }

    /// Skips blanks between lines; whether nothing else was there.
    fn skip_blank(&mut self) -> bool {
        let blank = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.rest.advance(blank);
        self.rest.is_empty()
    }

    /// The bytes up to the end of the line, or of the body.
    async fn take(&mut self, part: &mut Part) -> Result<Bytes, End> {
        let mut taken = BytesMut::new();
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(self.rest.len());
            if length > self.limit - taken.len() {
                return Err(End::Refused(Refusal::too_large(None, self.limit)));
            }
            part.grow_to(taken.len() + length).map_err(End::Refused)?;
            let piece = self.rest.split_to(length);
            if end.is_some() {
                self.rest.advance(1);
                if taken.is_empty() {
                    // It came in one piece, as small ones do: no copy.
                    return Ok(piece);
                }
                taken.extend_from_slice(&piece);
                return Ok(taken.freeze());
            }
            taken.extend_from_slice(&piece);
            match self.data().await {
                Ok(data) => self.rest = data,
                Err(End::Ended) => return Ok(taken.freeze()),
                Err(end) => return Err(end),
            }
        }
    }

    /// The next data of the body.
    async fn data(&mut self) -> Result<Bytes, End> {
        loop {
            match self.body.frame().await {
                None => return Err(End::Ended),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a client went before it had sent all");
                    return Err(End::Gone);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(data),
                    _ => {}
                },
            }
        }
    }
}
