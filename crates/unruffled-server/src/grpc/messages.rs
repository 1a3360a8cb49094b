//! [`Messages`]: the messages that a client sends, cut out of the body of its call.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::call::Call;
use crate::budget::Part;
use crate::coding::Coding;
use crate::refusal::Refusal;
use crate::service::Service;

/// The bytes before each message: whether it is compressed, and its length.
pub(super) const PREFIX: usize = 5;

/// The messages of one call, one after the other.
pub(super) struct Messages {
    body: Body,
    /// What has been read of the body and belongs to no message yet.
    rest: Bytes,
    coding: Coding,
    /// The most bytes of one message.
    limit: usize,
}

/// A message as it came.
pub(super) struct Message {
    bytes: Bytes,
    coding: Coding,
    limit: usize,
    part: Part,
}

impl Messages {
    pub(super) fn new(body: Body, call: &Call, limit: usize) -> Self {
        Self { body, rest: Bytes::new(), coding: call.coding, limit }
    }

    /// The next message; none if the client has said all. It may take its time to begin one, and then has that of a body.
    ///
    /// # Cancel safety
    ///
    /// A message that was begun is lost.
    pub(super) async fn next(&mut self, service: &Service) -> Result<Option<Message>, Refusal> {
        let Some(prefix) = self.take(PREFIX).await? else {
            return Ok(None);
        };
        let coding = match (prefix[0], self.coding) {
            (0, _) => Coding::Identity,
            (1, Coding::Identity) => {
                let message = "a message is compressed, and `grpc-encoding` does not say how";
                return Err(Refusal::bad_request(message));
            }
            (1, coding) => coding,
            (flag, _) => return Err(Refusal::bad_request(format!("a message begins with the flag {flag}"))),
        };
        let length = prefix[1..].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        if length > self.limit {
            return Err(Refusal::too_large(Some(length), self.limit));
        }
        let mut part = service.budget().part();
        part.grow_to(length)?;
        let patience = service.options().body_timeout;
        let bytes = timeout(patience, self.take(length)).await.map_err(|_| {
            Refusal::late(format!("a message did not arrive within {patience:?}; send it faster"))
        })??;
        let bytes = bytes.ok_or_else(cut_short)?;
        Ok(Some(Message { bytes, coding, limit: self.limit, part }))
    }

    /// So many bytes; none if the body ends before the first.
    async fn take(&mut self, bytes: usize) -> Result<Option<Bytes>, Refusal> {
        let mut taken = BytesMut::new();
        loop {
            if taken.is_empty() && self.rest.len() >= bytes {
                // They came in one piece, as small messages do: no copy.
                return Ok(Some(self.rest.split_to(bytes)));
            }
            if taken.is_empty() && !self.rest.is_empty() {
                taken.reserve(bytes);
            }
            let more = self.rest.len().min(bytes - taken.len());
            taken.extend_from_slice(&self.rest.split_to(more));
            if taken.len() == bytes && bytes > 0 {
                return Ok(Some(taken.freeze()));
            }
            match self.data().await? {
                Some(data) => self.rest = data,
                None if taken.is_empty() => return Ok(None),
                None => return Err(cut_short()),
            }
        }
    }

    /// The next data of the body.
    async fn data(&mut self) -> Result<Option<Bytes>, Refusal> {
        while let Some(frame) = self.body.frame().await {
            let frame =
                frame.map_err(|error| Refusal::bad_request(format!("the call ended early: {error}")))?;
            match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            }
        }
        Ok(None)
    }
}

fn cut_short() -> Refusal {
    Refusal::bad_request("the call ended within a message")
}

impl Message {
    /// What `read` makes of the message, and what the message holds of the budget. A large one, and one that may become
    /// large, is dealt with off the event loop.
    pub(super) async fn read<T: Send + 'static>(
        self,
        service: &Service,
        read: impl FnOnce(Bytes, &mut Part) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<(T, Part), Refusal> {
        let Self { bytes, coding, limit, mut part } = self;
        let may_grow = coding != Coding::Identity || service.shared_memory().is_used();
        let size = if may_grow { usize::MAX } else { bytes.len() };
        let work = move || {
            let message = coding.expand(bytes, limit, &mut part)?;
            Ok((read(message, &mut part)?, part))
        };
        service.offload().run(size, work).await?
    }
}
