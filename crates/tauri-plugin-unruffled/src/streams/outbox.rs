//! [`Outbox`]: results on their way to a page, some together in a message, and no more than it has room for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tauri::ipc::{Channel, InvokeResponseBody};
use tokio::sync::Notify;
use tokio::time::Instant;
use unruffled::model::Name;

use super::asked::Given;
use super::end;
use crate::answer::{part, tell_provenance, timings};
use crate::error::Error;
use crate::frame::Writer;

/// Messages follow each other no faster than the frames of a window.
const PACE: Duration = Duration::from_millis(16);

/// A message of so many bytes is sent at once: a larger one would be felt in the window.
const MESSAGE_BYTES: usize = 400 << 10;

/// How many results may be on their way to a page.
#[derive(Clone)]
pub(super) struct Credit(Arc<Counted>);

struct Counted {
    left: parking_lot::Mutex<usize>,
    most: usize,
    more: Notify,
}

impl Credit {
    pub(super) fn new(results: usize) -> Self {
        Self(Arc::new(Counted { left: parking_lot::Mutex::new(results), most: results, more: Notify::new() }))
    }

    /// So many were taken. What was never sent cannot be.
    pub(super) fn give_back(&self, results: usize) {
        let mut left = self.0.left.lock();
        *left = left.saturating_add(results).min(self.0.most);
        drop(left);
        self.0.more.notify_one();
    }
}

pub(super) struct Outbox {
    channel: Channel<InvokeResponseBody>,
    model: Name,
    credit: Credit,
    writer: Writer,
    results: Vec<Value>,
    sent: usize,
    /// When the next message may go.
    next: Instant,
}

impl Outbox {
    pub(super) fn new(channel: Channel<InvokeResponseBody>, model: Name, credit: Credit) -> Self {
        Self {
            channel,
            model,
            credit,
            writer: Writer::default(),
            results: Vec::new(),
            sent: 0,
            next: Instant::now(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        *self.credit.0.left.lock() > 0
    }

    /// Completes when the page has taken something.
    pub(super) async fn room(&self) {
        self.credit.0.more.notified().await;
    }

    /// Completes when what is here is to be sent; never if nothing is.
    pub(super) async fn due(&self) {
        match self.results.is_empty() {
            true => std::future::pending().await,
            false => tokio::time::sleep_until(self.next).await,
        }
    }

    pub(super) fn add(&mut self, given: &Given) -> Result<(), Error> {
        let mut told = match &given.result {
            Some(Ok(output)) => part(&mut self.writer, &self.model, output)?,
            Some(Err(error)) => json!({ "error": Error::from(error.clone()).told() }),
            None => json!({ "model": &*self.model, "outputs": [] }),
        };
        told["item"] = given.item.into();
        told["last"] = given.is_last.into();
        if let Some(known) = &given.timings {
            told["timings"] = timings(known);
        }
        if let Some(provenance) = &given.provenance {
            tell_provenance(&mut told, provenance);
        }
        self.results.push(told);
        *self.credit.0.left.lock() -= 1;
        if self.writer.byte_len() >= MESSAGE_BYTES {
            self.flush();
        }
        Ok(())
    }

    /// Sends what is here.
    pub(super) fn flush(&mut self) {
        if self.results.is_empty() {
            return;
        }
        let results = std::mem::take(&mut self.results);
        self.sent += results.len();
        let frame = std::mem::take(&mut self.writer).finish(&json!({ "results": results }));
        self.send(frame);
        self.next = Instant::now() + PACE;
    }

    /// Sends the end: explicitly, since a channel that is dropped says nothing to who listens.
    pub(super) fn end(mut self, items: usize, error: Option<&Error>) {
        self.flush();
        self.send(Writer::default().finish(&end(items, self.sent, error)));
    }

    fn send(&self, frame: Vec<u8>) {
        // Fails when the webview has gone, and then nobody waits for it.
        if let Err(error) = self.channel.send(InvokeResponseBody::Raw(frame)) {
            tracing::debug!(%error, "a stream's page has gone");
        }
    }
}
