//! Whether an event loop keeps time while models run: a heartbeat every 10 ms, and a health check over HTTP, beside 64
//! requests to a model of 20 ms, by the engine, by `spawn_blocking`, and by a plain call in the handler.
//!
//! `cargo run --release -p benches --bin heartbeat`

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::{busy, histogram, machine, quantile, record, runtime};
use hdrhistogram::Histogram;
use unruffled_engine::{Engine, Handle};
use unruffled_server::{Server, ServerOptions};

const BEAT: Duration = Duration::from_millis(10);
const COST: Duration = Duration::from_millis(20);
const REQUESTS: usize = 64;
const LENGTH: Duration = Duration::from_secs(5);

#[derive(Clone)]
enum Way {
    Idle,
    Engine(Handle<u64, u64>),
    SpawnBlocking,
    PlainCall,
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Way::Idle => "nothing runs",
            Way::Engine(_) => "engine",
            Way::SpawnBlocking => "spawn_blocking",
            Way::PlainCall => "plain call in the handler",
        }
    }
}

/// What one way did to the event loop.
struct Beats {
    /// How late each beat was.
    late: Histogram<u64>,
    /// How long each health check took, from connection to answer.
    health: Histogram<u64>,
    /// Requests answered meanwhile.
    answered: u64,
}

async fn beat_under(way: Way) -> Beats {
    let server =
        Server::bind("127.0.0.1:0".parse().expect("an address"), Engine::new(), ServerOptions::default());
    let server = server.await.expect("a port is free");
    let address = server.local_addr().expect("it is bound");
    let server = tokio::spawn(server.run(std::future::pending()));
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| tokio::spawn(request_until(way.clone(), Arc::clone(&stop), Arc::clone(&answered))))
        .collect();
    let probe_stop = Arc::clone(&stop);
    #[allow(
        clippy::disallowed_methods,
        reason = "an outside observer: a thread that the runtime knows nothing of"
    )]
    let probe = std::thread::spawn(move || probe_until(address, &probe_stop));
    let heartbeat = tokio::spawn(async {
        let mut late = histogram();
        let begin = Instant::now();
        while begin.elapsed() < LENGTH {
            let due = Instant::now() + BEAT;
            tokio::time::sleep_until(due.into()).await;
            record(&mut late, due.elapsed());
        }
        late
    });
    let late = heartbeat.await.expect("the heartbeat does not panic");
    stop.store(true, Ordering::Relaxed);
    for request in requests {
        request.await.expect("no request panics");
    }
    let health = tokio::task::spawn_blocking(|| probe.join()).await.expect("no panic").expect("no panic");
    server.abort();
    Beats { late, health, answered: answered.load(Ordering::Relaxed) }
}

/// Asks again and again whether the server lives, on a new connection each time.
fn probe_until(address: SocketAddr, stop: &AtomicBool) -> Histogram<u64> {
    let mut health = histogram();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(address).expect("the server accepts");
        let head = "GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        record(&mut health, begin.elapsed());
        std::thread::park_timeout(BEAT);
    }
    health
}

async fn request_until(way: Way, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        match &way {
            Way::Idle => return,
            Way::Engine(model) => drop(model.infer(1).await.expect("the model does not fail")),
            Way::SpawnBlocking => {
                tokio::task::spawn_blocking(|| busy(COST, 1)).await.expect("no panic");
            }
            Way::PlainCall => {
                busy(COST, 1);
                tokio::task::yield_now().await;
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn main() {
    println!("# Heartbeat under load\n\n{}; tokio with 2 workers.", machine());
    println!("A beat every {BEAT:?} for {LENGTH:?}; {REQUESTS} requests at a time to a model of {COST:?}.\n");
    println!(
        "| way | beat late by p50 | p99 | max | p99 / idle | health answered in p50 | p99 | max | requests answered |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let engine = Engine::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = engine.wrap(|input: u64| busy(COST, input)).instances(cores).build().expect("threads start");
    let mut idle = Duration::ZERO;
    for way in [Way::Idle, Way::Engine(model), Way::SpawnBlocking, Way::PlainCall] {
        let runtime = runtime();
        let name = way.name();
        // On the runtime's own threads, where an application's tasks live.
        let beats = runtime.block_on(async { tokio::spawn(beat_under(way)).await.expect("no panic") });
        let three =
            |of: &Histogram<u64>| (quantile(of, 0.5), quantile(of, 0.99), Duration::from_nanos(of.max()));
        let (p50, p99, max) = three(&beats.late);
        let (health_p50, health_p99, health_max) = three(&beats.health);
        if idle.is_zero() {
            idle = p99;
        }
        let ratio = p99.as_secs_f64() / idle.as_secs_f64();
        println!(
            "| {name} | {p50:.1?} | {p99:.1?} | {max:.1?} | {ratio:.1} | {health_p50:.1?} | {health_p99:.1?} | \
             {health_max:.1?} | {} |",
            beats.answered
        );
    }
}
