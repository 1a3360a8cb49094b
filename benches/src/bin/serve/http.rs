//! Callers over HTTP/1.1, each on a connection of its own, all on one thread: as little of the machine as a load can take.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::epoll;
use rustix::time::Timespec;

use crate::load::{Counter, Seen};

/// A request as it is sent.
pub(crate) fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

struct Caller {
    stream: TcpStream,
    asked: Instant,
    answer: Vec<u8>,
}

/// So many callers send this request, again and again.
pub(crate) fn load(
    address: SocketAddr,
    request: &[u8],
    callers: usize,
    warm_up: Duration,
    length: Duration,
) -> Result<Seen> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut counter = Counter::new(warm_up, length);
    let mut all = Vec::with_capacity(callers);
    for at in 0..callers {
        let stream = TcpStream::connect(address).context("no connection")?;
        stream.set_nodelay(true)?;
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&poll, &stream, data, epoll::EventFlags::IN)?;
        let mut caller = Caller { stream, asked: Instant::now(), answer: Vec::with_capacity(4096) };
        caller.ask(request)?;
        all.push(caller);
    }
    let mut events = Vec::with_capacity(callers);
    let mut goes_on = true;
    while goes_on {
        events.clear();
        let wait = counter.end().saturating_duration_since(Instant::now()) + Duration::from_secs(5);
        let wait = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
        ensure!(!events.is_empty(), "nobody is answered any more");
        for event in &events {
            let at = event.data.u64() as usize;
            if all[at].read()? {
                goes_on &= counter.answered(all[at].asked);
                all[at].ask(request)?;
            }
        }
    }
    Ok(counter.seen())
}

impl Caller {
    fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.asked = Instant::now();
        self.stream.write_all(request).context("a request was not taken")
    }

    /// Reads what is there; whether the answer is complete.
    fn read(&mut self) -> Result<bool> {
        let mut piece = [0; 16 << 10];
        let length = self.stream.read(&mut piece)?;
        ensure!(length > 0, "the server closed a connection");
        self.answer.extend_from_slice(&piece[..length]);
        let Some(head) = self.answer.windows(4).position(|part| part == b"\r\n\r\n") else {
            return Ok(false);
        };
        let text = std::str::from_utf8(&self.answer[..head])?;
        if !text.starts_with("HTTP/1.1 200") {
            bail!("refused: {}", String::from_utf8_lossy(&self.answer));
        }
        let body = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body: usize = body.context("an answer has no length")?.parse()?;
        if self.answer.len() < head + 4 + body {
            return Ok(false);
        }
        self.answer.clear();
        Ok(true)
    }
}

/// How long health takes, asked every five milliseconds until `stop` says so.
pub(crate) fn health(address: SocketAddr, stop: &std::sync::atomic::AtomicBool) -> Result<Duration> {
    let mut times = benches::histogram();
    let mut caller =
        Caller { stream: TcpStream::connect(address)?, asked: Instant::now(), answer: Vec::new() };
    caller.stream.set_nodelay(true)?;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        caller.ask(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        while !caller.read()? {}
        benches::record(&mut times, caller.asked.elapsed());
        #[allow(clippy::disallowed_methods, reason = "it is a pace, not a wait for something")]
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(benches::quantile(&times, 0.99))
}
