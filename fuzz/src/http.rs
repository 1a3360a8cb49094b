//! Bytes over a socket: HTTP/1.1, HTTP/2 and what WebSockets carry, to a server with a model behind it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use unruffled_engine::{Engine, PoolOptions};
use unruffled_server::{Server, ServerOptions};
use unruffled_testing::scripted::doubling;

use crate::head::Head;

/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for a further part of an answer.
const PAUSE: Duration = Duration::from_millis(2);

/// The most bytes of an answer that are read.
const ANSWER: usize = 1 << 20;

/// Requests on one connection before the next is made.
const REQUESTS: usize = 256;

/// Inputs for each request of the model.
const RUNS: usize = 32;

const ABOUT: &str = "GET /v2/models/m HTTP/1.1\r\nHost: test\r\n\r\n";

const GOOD: &str = "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2.5]}]}";

/// A server for all inputs, and a client that behaves. All of it runs on the thread that asks, but for the model.
struct Site {
    runtime: Runtime,
    address: SocketAddr,
    client: Option<TcpStream>,
    asked: usize,
    // Ends with the process.
    _engine: Engine,
}

/// Panics of tasks, which the server would survive.
static PANICS: AtomicUsize = AtomicUsize::new(0);

static SITE: OnceLock<Mutex<Site>> = OnceLock::new();

/// Whoever sends this is answered or cut off, no task panics over it, and the next request is answered as if nothing had been.
pub fn http(data: &[u8]) {
    let (mut head, body) = Head::split(data);
    let is_patient = head.byte() % 2 == 0;
    let mut site =
        SITE.get_or_init(|| Mutex::new(Site::new())).lock().unwrap_or_else(PoisonError::into_inner);
    let Site { runtime, address, client, asked, .. } = &mut *site;
    let before = PANICS.load(Ordering::Relaxed);
    runtime.block_on(async {
        send(*address, body, is_patient).await;
        *asked += 1;
        if *asked % REQUESTS == 0 {
            *client = None;
        }
        let client = match client {
            Some(client) => client,
            None => client.insert(connect(*address).await),
        };
        // The model runs on a thread that gives way to this one: it is asked less often than the server.
        match *asked % RUNS {
            0 => ask(client, &infer(), "\"data\":[2.0,5.0]").await,
            _ => ask(client, ABOUT, "\"name\":\"m\"").await,
        }
    });
    assert_eq!(PANICS.load(Ordering::Relaxed), before, "a task panicked");
}

impl Site {
    fn new() -> Self {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            usual(panic);
        }));
        let engine = Engine::new();
        let model = engine.wrap_model(doubling()).name("m").options(PoolOptions::default());
        model.register().expect("the name is free");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be had");
        // A program of libFuzzer ends at a write to who has gone, unless somebody takes the signal.
        drop(runtime.block_on(async { signal(SignalKind::pipe()) }).expect("signals can be taken"));
        let options = ServerOptions::default().with_hosts(["test"]).with_body_bytes(1 << 20);
        let any = ([127, 0, 0, 1], 0).into();
        let server = runtime.block_on(Server::bind(any, engine.clone(), options)).expect("a port is free");
        let address = server.local_addr().expect("it listens");
        // Bounded: there is one server.
        runtime.spawn(server.run(std::future::pending()));
        Self { runtime, address, client: None, asked: 0, _engine: engine }
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time");
    let stream = stream.expect("the server takes connections");
    stream.set_nodelay(true).expect("it is a socket");
    // Closed at once, so that no port is held by what is over.
    stream.set_zero_linger().expect("it is a socket");
    stream
}

/// Sends bytes; who is patient reads until nothing comes for a moment, others close their side at once and read to the end.
async fn send(address: SocketAddr, body: &[u8], is_patient: bool) {
    let mut stream = connect(address).await;
    // Who is cut off while sending has been answered.
    let _ = timeout(PATIENCE, stream.write_all(body)).await.expect("the server reads, or closes");
    if !is_patient {
        let _ = stream.shutdown().await;
    }
    let (mut answer, mut part) = (0, [0; 4096]);
    let wait = if is_patient { PAUSE } else { PATIENCE };
    while answer < ANSWER {
        match timeout(wait, stream.read(&mut part)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(more)) => answer += more,
            Err(_) => {
                assert!(is_patient, "a connection outlives its client");
                return;
            }
        }
    }
}

/// A request to the model.
fn infer() -> String {
    format!("POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{GOOD}", GOOD.len())
}

/// Asks something that has an answer in JSON, which ends in a list of objects, and checks what it says.
async fn ask(client: &mut TcpStream, request: &str, expected: &str) {
    client.write_all(request.as_bytes()).await.expect("a good connection stays open");
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"]}") {
        let more = timeout(PATIENCE, client.read(&mut part)).await.expect("an answer comes in time");
        let more = more.expect("a good connection stays open");
        assert!(more > 0, "a good connection was closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..more]);
        assert!(answer.len() < ANSWER);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(expected), "{answer}");
}
