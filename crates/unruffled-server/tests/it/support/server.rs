//! [`TestServer`]: a server on a free port with a runtime of its own, and news of the requests in it.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use unruffled_engine::{Engine, Handle, PoolOptions};
use unruffled_model::{LoadedModel, Tensors};
use unruffled_server::{Served, Server, ServerOptions};

use super::client::Client;

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestServer {
    pub(crate) engine: Engine,
    pub(crate) runtime: Runtime,
    address: SocketAddr,
    /// Where health is told apart.
    pub(crate) health: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Served>>,
    dropped: Receiver<String>,
}

impl TestServer {
    /// A server with one model, `m`.
    pub(crate) fn with_model(
        model: impl LoadedModel<Input = Tensors, Output = Tensors> + 'static,
    ) -> (Self, Handle<Tensors, Tensors>) {
        Self::with(model, PoolOptions::default(), ServerOptions::default())
    }

    /// The same, with bounds.
    pub(crate) fn with(
        model: impl LoadedModel<Input = Tensors, Output = Tensors> + 'static,
        pool: PoolOptions,
        options: ServerOptions,
    ) -> (Self, Handle<Tensors, Tensors>) {
        let engine = Engine::new();
        let handle = engine.wrap_model(model).name("m").options(pool).register().unwrap();
        wait_until("the first instance", || handle.status().ready);
        (Self::start(engine, options), handle)
    }

    pub(crate) fn start(engine: Engine, options: ServerOptions) -> Self {
        // One blocking thread: a test that holds it holds every conversion.
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        // The name that the clients of the tests ask for.
        let options = options.with_hosts(["test"]);
        let (tell, dropped) = channel();
        let (stop, stopped) = oneshot::channel();
        let address = ([127, 0, 0, 1], 0).into();
        let mut server = runtime.block_on(Server::bind(address, engine.clone(), options)).unwrap();
        let health = server.health_on(address).unwrap();
        let address = server.local_addr().unwrap();
        let server = server.map_router(|router| {
            router.layer(from_fn(move |request: Request, next: Next| {
                let news = News { path: Some(request.uri().path().to_owned()), tell: tell.clone() };
                async move {
                    let response = next.run(request).await;
                    news.answered();
                    response
                }
            }))
        });
        let served = runtime.spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { engine, runtime, address, health, stop: Some(stop), served: Some(served), dropped }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Waits until a request is dropped without an answer, and tells its path.
    #[track_caller]
    pub(crate) fn dropped(&self) -> String {
        self.dropped.recv_timeout(PATIENCE).expect("no request was dropped")
    }

    /// What tells the server to end.
    pub(crate) fn stopper(&mut self) -> oneshot::Sender<()> {
        self.stop.take().expect("told once")
    }

    /// Tells the server to end.
    pub(crate) fn stop(&mut self) {
        self.stopper().send(()).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn served(&mut self) -> Served {
        let served = self.served.take().expect("asked once");
        let ended = async { tokio::time::timeout(PATIENCE, served).await };
        self.runtime.block_on(ended).expect("the server did not end").unwrap()
    }

    /// Drops the server as it runs.
    pub(crate) fn abort(&mut self) {
        self.served.take().expect("asked once").abort();
    }

    /// Checks that the next requests are answered, on this connection and on a new one.
    #[track_caller]
    pub(crate) fn assert_serves(&self, client: &mut Client) {
        client.infer(super::ONE_ROW).assert_doubled();
        self.client().infer(super::ONE_ROW).assert_doubled();
    }
}

/// Tells that its request was dropped, unless it was answered.
struct News {
    path: Option<String>,
    tell: Sender<String>,
}

impl News {
    fn answered(mut self) {
        self.path = None;
    }
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // A test that does not listen has ended.
            let _ = self.tell.send(path);
        }
    }
}

/// Waits for what no event tells: how full the engine is.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}
