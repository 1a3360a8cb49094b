//! The thread that starts processes. They inherit the priority of the thread that starts them and can never raise it again, and
//! models are loaded, and run, on threads that have given way.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::process::{Process, Spec, Started};

/// Starts processes on a thread of its own, at the priority of whoever made it.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// `None` if the thread could not be had.
    orders: Option<SyncSender<Order>>,
}

struct Order {
    spec: Arc<Spec>,
    done: SyncSender<io::Result<Started>>,
}

impl Launcher {
    pub(crate) fn new() -> Self {
        let (orders, received) = sync_channel::<Order>(0);
        let thread = std::thread::Builder::new().name("worker-launcher".into()).spawn(move || {
            for order in received {
                // Whoever asked may have gone: then the process ends right here.
                let _ = order.done.send(Process::start(&order.spec));
            }
        });
        Self { orders: thread.ok().map(|_| orders) }
    }

    pub(crate) fn start(&self, spec: &Arc<Spec>) -> io::Result<Started> {
        let (done, result) = sync_channel(1);
        let order = Order { spec: Arc::clone(spec), done };
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        match (sent, result.recv()) {
            (Some(Ok(())), Ok(started)) => started,
            // Better at a lower priority than not at all.
            _ => Process::start(spec),
        }
    }
}
