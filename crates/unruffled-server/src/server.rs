//! [`Server`]: takes connections, and ends in order.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use unruffled_engine::{Engine, LoopWatch};

use crate::access::guarded;
use crate::health::Health;
use crate::operator::before_keys;
use crate::options::ServerOptions;
use crate::phase::Phase;
use crate::router::{of_health, with_operator};
use crate::seats::{Seat, Seats};
use crate::service::Service;
use crate::{connection, reload};

/// How long it takes at most to say that the grace is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to wait when the operating system refuses a connection: it is out of something, files say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The engine's models behind HTTP, on a listener, about to be run.
///
/// ```no_run
/// use unruffled_server::{Server, ServerOptions};
///
/// # async fn example(engine: unruffled_engine::Engine) -> std::io::Result<()> {
/// let address = ([127, 0, 0, 1], 8000).into();
/// let server = Server::bind(address, engine, ServerOptions::default()).await?;
/// println!("listening on {}", server.local_addr()?);
/// server.run(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "`run` starts it"]
pub struct Server {
    listener: TcpListener,
    others: Vec<TcpListener>,
    router: Router,
    options: ServerOptions,
    open: Arc<AtomicUsize>,
    loop_watch: LoopWatch,
    health: Option<Health>,
    service: Service,
    phase: watch::Sender<Phase>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Connections that were cut, since they had not ended when the grace was over.
    pub cut: usize,
}

impl Server {
    /// A server on a listener that is bound already.
    pub fn new(listener: TcpListener, engine: Engine, options: ServerOptions) -> Self {
        let (phase, of_service) = watch::channel(Phase::Serving);
        let service = Service::new(engine, options.clone(), of_service);
        Self {
            listener,
            others: Vec::new(),
            open: Arc::clone(service.connections()),
            loop_watch: service.loop_watch().clone(),
            router: with_operator(service.clone()),
            health: None,
            service,
            options,
            phase,
        }
    }

    /// A server on this address; port 0 takes one that is free.
    ///
    /// # Errors
    ///
    /// Why the address cannot be had.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the address is free again.
    pub async fn bind(address: SocketAddr, engine: Engine, options: ServerOptions) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, engine, options))
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Listens on a further address, too; everything is served on each. Gives the address, whose port is free if it was 0.
    ///
    /// # Errors
    ///
    /// Why the address cannot be had; the server is as it was.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the address is free again.
    pub async fn also_on(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.others.push(listener);
        Ok(address)
    }

    /// Tells health and metrics on a further address too, on a thread and an event loop of their own, until the last request
    /// is answered: readiness is false from the moment on that the server is told to end. Gives the address, whose port is
    /// free if it was 0.
    ///
    /// # Errors
    ///
    /// Why the address cannot be had; the server is as it was.
    pub fn health_on(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let health = Health::bind(address)?;
        let address = health.local_addr()?;
        self.health = Some(health);
        Ok(address)
    }

    /// Adds routes or layers of your own. What is asked of requests, as keys, is asked before they see them.
    pub fn map_router(mut self, map: impl FnOnce(Router) -> Router) -> Self {
        self.router = map(self.router);
        self
    }

    /// Serves until `shutdown` completes. Then it takes no more connections, requests in flight have the grace of the
    /// options to finish, and those left are answered that the server is shutting down.
    ///
    /// The engine goes on: end it afterwards, with [`Engine::shutdown`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, all connections are cut and the requests in flight cancelled.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Served {
        let Self { listener, others, router, options, open, loop_watch, health, service, phase } = self;
        // Told until the end of this call.
        let _told = health.and_then(|health| {
            let started = health.start(of_health(service), &options);
            started.map_err(|error| tracing::error!(%error, "health is not told on its own address")).ok()
        });
        let router = guarded(router, &options, listener.local_addr().ok());
        let router = if options.keys.is_some() { before_keys(router) } else { router };
        let mut listeners: Vec<_> = std::iter::once(listener).chain(others).collect();
        let seats = Seats::new(options.connections, options.connections_per_peer);
        // Dropped with the server, and the heartbeat with it.
        let mut heart = JoinSet::new();
        heart.spawn(loop_watch.heartbeat());
        let mut connections = JoinSet::new();
        // Dropped with the server.
        let mut reloads = JoinSet::new();
        reloads.spawn(reload::on_change(options.clone()));
        let mut newcomer: Option<(TcpStream, SocketAddr)> = None;
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let next_address = newcomer.as_ref().map(|(_, peer)| peer.ip());
            tokio::select! {
                // The end goes first, so that a flood of connections cannot put it off.
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => note(ended),
                seat = take(&seats, next_address), if next_address.is_some() => {
                    let (stream, peer) = newcomer.take().expect("a place is taken for somebody");
                    let (router, options) = (router.clone(), options.clone());
                    let phase = phase.subscribe();
                    let counted = Counted::new(&open);
                    connections.spawn(async move {
                        let _counted = counted;
                        connection::welcome(stream, peer, seat, router, &options, phase).await;
                    });
                }
                (stream, peer) = accept(&mut listeners), if next_address.is_none() => {
                    if seats.has_enough_of(peer.ip()) {
                        tracing::debug!(%peer, "a connection was closed: its address has as many as it may");
                    } else {
                        newcomer = Some((stream, peer));
                    }
                }
            }
        }
        drop(newcomer);
        drop(listeners);
        phase.send_replace(Phase::Draining);
        if timeout(options.grace, ended(&mut connections)).await.is_err() {
            phase.send_replace(Phase::Closing);
            // Whether this is enough is counted next.
            let _ = timeout(LAST_WORDS, ended(&mut connections)).await;
        }
        let cut = connections.len();
        connections.shutdown().await;
        Served { cut }
    }
}

/// Serves the engine's models on a listener until `shutdown` completes; see [`Server::run`].
///
/// # Cancel safety
///
/// Dropped before its end, all connections are cut and the requests in flight cancelled.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> Served {
    Server::new(listener, engine, options).run(shutdown).await
}

/// A connection among those that are open, as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The next connection of any listener.
async fn accept(listeners: &mut [TcpListener]) -> (TcpStream, SocketAddr) {
    loop {
        let accepted = poll_fn(|cx| {
            let found =
                listeners.iter().enumerate().find_map(|(index, listener)| match listener.poll_accept(cx) {
                    Poll::Ready(accepted) => Some((index, accepted)),
                    Poll::Pending => None,
                });
            found.map_or(Poll::Pending, Poll::Ready)
        });
        match accepted.await {
            (index, Ok(accepted)) => {
                // The next one looks elsewhere first, so that a flood on one address does not close the others.
                listeners.rotate_left(index + 1);
                return accepted;
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A place for whoever waits for one.
async fn take(seats: &Seats, address: Option<IpAddr>) -> Seat {
    match address {
        Some(address) => seats.take(address).await,
        None => pending().await,
    }
}

/// Waits for all connections to end.
async fn ended(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.join_next().await {
        note(ended);
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection panicked");
    }
}
