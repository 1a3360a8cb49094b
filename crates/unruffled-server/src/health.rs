//! [`Health`]: health and metrics on an address, a thread and an event loop of their own.
//!
//! Whoever keeps the server's own event loop busy, or takes all of its places, cannot keep these from being told; and they are
//! told until the last request is answered, while the server takes no more.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::access::guarded;
use crate::connection;
use crate::options::ServerOptions;
use crate::phase::Phase;
use crate::seats::Seats;

/// The most connections of those who ask for it; further ones take the place of the one that has idled longest.
const CONNECTIONS: usize = 64;

/// How long to wait when the operating system refuses a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where health is told, about to be run.
#[derive(Debug)]
pub(crate) struct Health {
    listener: std::net::TcpListener,
}

/// Tells health until it is dropped.
pub(crate) struct Told(Option<Runtime>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // On an event loop, nothing may wait for another.
            runtime.shutdown_background();
        }
    }
}

impl Health {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Begins to tell it.
    pub(crate) fn start(self, router: Router, options: &ServerOptions) -> io::Result<Told> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .thread_name("health")
            .enable_all()
            .build()?;
        let router = guarded(router, options, self.local_addr().ok());
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(self.listener)?
        };
        runtime.spawn(accept(listener, router, options.clone()));
        Ok(Told(Some(runtime)))
    }
}

async fn accept(listener: TcpListener, router: Router, options: ServerOptions) {
    let seats = Seats::new(CONNECTIONS, None);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection that asks for health panicked");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let seat = seats.take(peer.ip()).await;
                    let (router, options) = (router.clone(), options.clone());
                    // It serves on while the server drains: nobody tells it to end.
                    let (_, never) = watch::channel(Phase::Serving);
                    connections.spawn(async move {
                        connection::welcome(stream, peer, seat, router, &options, never).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection that asks for health could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
