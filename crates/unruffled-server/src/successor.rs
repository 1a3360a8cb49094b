//! [`Succession`]: what goes on with a connection that has changed from HTTP to another protocol.
//!
//! It goes on where the connection is: it ends with it, is counted with it, and is waited for with it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::seats::Seat;

/// What a connection is made of: a socket, or something around one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// What a successor is given.
pub(crate) struct Gained {
    pub(crate) stream: Box<dyn Stream>,
    /// What was read of it already.
    pub(crate) read: Bytes,
    /// The place of the connection; none where a router is embedded.
    pub(crate) seat: Option<Arc<Seat>>,
}

/// Goes on with a connection, to its end.
pub(crate) type Successor = Box<dyn FnOnce(Gained) -> BoxFuture<'static, ()> + Send>;

/// Who takes a connection over after the next answer; an extension of its requests. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Succession(Arc<Mutex<Option<Successor>>>);

impl Succession {
    /// Hands the connection over once the answer is written, which must be 101.
    pub(crate) fn leave_to(&self, successor: Successor) {
        *self.0.lock() = Some(successor);
    }

    pub(crate) fn take(&self) -> Option<Successor> {
        self.0.lock().take()
    }
}
