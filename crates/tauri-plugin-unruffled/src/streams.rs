//! Streams: a page pushes items, and their results come over a channel, in order, no faster than the page takes them.

mod asked;
mod outbox;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tauri::ipc::{Channel, InvokeResponseBody};
use tokio::sync::mpsc;
use unruffled::{TensorHandle, Tensors};

use self::asked::Asked;
use self::outbox::{Credit, Outbox};
use crate::error::Error;
use crate::pages::{Call, Origin};
use crate::terms::Terms;

/// How many items are asked for at a time, unless the page says.
const IN_FLIGHT: usize = 64;

/// No page has more in flight, or more credit.
const MOST: usize = 4096;

/// The streams of all pages. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<Origin, Open>>>);

/// One that is open.
#[derive(Clone)]
struct Open {
    /// Gone once the page has said that there are no further items.
    items: Option<mpsc::Sender<Tensors>>,
    credit: Credit,
}

/// How much may be under way.
pub(crate) struct Bounds {
    /// Items that are asked for at a time.
    pub(crate) in_flight: Option<usize>,
    /// Results that the page has not taken.
    pub(crate) credit: usize,
}

impl Streams {
    /// Opens a stream, which goes on by itself until it is at its end, is cancelled, or its page goes.
    pub(crate) fn open(
        &self,
        call: Call,
        handle: TensorHandle,
        terms: Terms,
        Bounds { in_flight, credit }: Bounds,
        channel: Channel<InvokeResponseBody>,
    ) {
        let in_flight = in_flight.unwrap_or(IN_FLIGHT).clamp(1, MOST);
        // One item may wait to be asked for: whoever pushes another waits.
        let (items, source) = mpsc::channel(1);
        let credit = Credit::new(credit.clamp(1, MOST));
        let origin = call.origin().clone();
        self.0.lock().insert(origin.clone(), Open { items: Some(items), credit: credit.clone() });
        let streams = self.clone();
        tauri::async_runtime::spawn(async move {
            let mut outbox = Outbox::new(channel, handle.name().clone(), credit);
            let mut course = Course { handle, terms, webview: origin.webview.clone(), in_flight, count: 0 };
            let end = call.run(course.run(source, &mut outbox)).await;
            streams.0.lock().remove(&origin);
            // Over by the time that somebody hears of it.
            drop(call);
            outbox.end(course.count, end.err().as_ref());
        });
    }

    /// Pushes items; done when the last of them has found room.
    ///
    /// # Errors
    ///
    /// `cancelled` if the stream is over: its channel says why.
    pub(crate) async fn push(&self, origin: &Origin, items: Vec<Tensors>) -> Result<(), Error> {
        let open = self.0.lock().get(origin).cloned();
        let sender = open.and_then(|open| open.items).ok_or_else(over)?;
        for item in items {
            sender.send(item).await.map_err(|_| over())?;
        }
        Ok(())
    }

    /// There are no further items.
    pub(crate) fn end(&self, origin: &Origin) {
        let mut streams = self.0.lock();
        let items = streams.get_mut(origin).and_then(|open| open.items.take());
        drop(streams);
        drop(items);
    }

    /// The page has taken so many results.
    pub(crate) fn taken(&self, origin: &Origin, results: usize) {
        if let Some(open) = self.0.lock().get(origin) {
            open.credit.give_back(results);
        }
    }
}

fn over() -> Error {
    Error::of(unruffled::engine::ErrorKind::Cancelled, "the stream is over")
}

/// What one stream does.
struct Course {
    handle: TensorHandle,
    terms: Terms,
    webview: String,
    in_flight: usize,
    /// Items that have come.
    count: usize,
}

impl Course {
    async fn run(&mut self, mut source: mpsc::Receiver<Tensors>, outbox: &mut Outbox) -> Result<(), Error> {
        let mut asked: VecDeque<Asked> = VecDeque::new();
        let mut has_more = true;
        while has_more || !asked.is_empty() {
            tokio::select! {
                biased;
                () = outbox.due() => outbox.flush(),
                result = next(&mut asked), if outbox.has_room() => {
                    if result.is_last {
                        asked.pop_front();
                    }
                    outbox.add(&result)?;
                }
                item = source.recv(), if has_more && asked.len() < self.in_flight => match item {
                    Some(item) => asked.push_back(self.ask(item)?),
                    None => has_more = false,
                },
                // Room is made by the page.
                () = outbox.room(), if !outbox.has_room() => {}
            }
        }
        outbox.flush();
        Ok(())
    }

    fn ask(&mut self, item: Tensors) -> Result<Asked, Error> {
        let request = self.terms.on(self.handle.infer(item), &self.webview, Instant::now())?;
        let asked = Asked::new(self.count, &self.handle, request);
        self.count += 1;
        Ok(asked)
    }
}

/// The next result of the item that is first in line.
async fn next(asked: &mut VecDeque<Asked>) -> asked::Given {
    match asked.front_mut() {
        Some(first) => first.next().await,
        None => std::future::pending().await,
    }
}

/// The JSON of a stream's end.
fn end(items: usize, results: usize, error: Option<&Error>) -> Value {
    match error {
        Some(error) => json!({ "end": { "items": items, "results": results, "error": error.told() } }),
        None => json!({ "end": { "items": items, "results": results } }),
    }
}
