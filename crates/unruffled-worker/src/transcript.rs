//! What a worker writes to standard error: records of its logs and prints, and whatever else native code says. It goes to our
//! logs; the end is kept for the case that the worker dies.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Deserialize;

/// Begins a line that is a record; the Python side knows it too.
const MARK: &[u8] = b"\x1eunruffled ";
/// What is kept for a post-mortem, in bytes.
const KEPT: usize = 64 << 10;
/// A line is cut here.
const LINE_MAX: usize = 32 << 10;

/// The end of what a worker has written, and the thread that reads it.
#[derive(Debug)]
pub(crate) struct Transcript {
    shared: Arc<Shared>,
    /// Closed to end the thread, though somebody may still hold the other end of the pipe.
    _stop: PipeWriter,
}

#[derive(Debug, Default)]
struct Shared {
    end: Mutex<End>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct End {
    bytes: VecDeque<u8>,
    is_over: bool,
}

impl Transcript {
    /// Reads from `pipe` until nobody can write to it any more.
    pub(crate) fn begin(pipe: PipeReader, model: Arc<str>, pid: u32) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (stopped, stop) = io::pipe()?;
        let thread = Reader { pipe, stopped, model, pid, shared: Arc::clone(&shared) };
        std::thread::Builder::new().name(format!("worker-{pid}/log")).spawn(move || thread.read())?;
        Ok(Self { shared, _stop: stop })
    }

    /// What the worker wrote last, once it has ended: waits for that, but not long, since a process that it has left behind may
    /// hold the pipe open.
    pub(crate) fn end(&self, lines: usize) -> String {
        let until = Instant::now() + Duration::from_millis(200);
        let mut end = self.shared.end.lock();
        while !end.is_over && !self.shared.over.wait_until(&mut end, until).timed_out() {}
        let bytes: Vec<u8> = end.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

struct Reader {
    pipe: PipeReader,
    stopped: PipeReader,
    model: Arc<str>,
    pid: u32,
    shared: Arc<Shared>,
}

impl Reader {
    fn read(mut self) {
        let (mut line, mut bytes) = (Vec::new(), vec![0; 16 << 10]);
        while self.is_readable() {
            match self.pipe.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => self.take(&mut line, &bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if !line.is_empty() {
            self.tell(&line);
        }
        self.shared.end.lock().is_over = true;
        self.shared.over.notify_all();
    }

    /// Waits until there is something to read, or says that nobody wants it any more.
    fn is_readable(&self) -> bool {
        loop {
            let mut fds =
                [&self.pipe, &self.stopped].map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return true,
                Ok(_) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    fn take(&self, line: &mut Vec<u8>, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.tell(line.trim_ascii_end());
                line.clear();
            }
        }
    }

    fn tell(&self, line: &[u8]) {
        // Native code may have left a line without an end before it.
        let at = line.windows(MARK.len()).position(|part| part == MARK);
        let (plain, record) = match at {
            Some(at) => (&line[..at], serde_json::from_slice::<Record>(&line[at + MARK.len()..]).ok()),
            None => (line, None),
        };
        if !plain.is_empty() {
            let text = String::from_utf8_lossy(plain).into_owned();
            self.keep(&text);
            self.log(&Record { text, ..Record::default() });
        }
        if let Some(record) = record {
            self.keep(&record.text);
            self.log(&record);
        }
    }

    fn keep(&self, text: &str) {
        let mut end = self.shared.end.lock();
        end.bytes.extend(text.as_bytes());
        end.bytes.push_back(b'\n');
        let over = end.bytes.len().saturating_sub(KEPT);
        end.bytes.drain(..over);
    }

    fn log(&self, record: &Record) {
        let (model, pid) = (&*self.model, self.pid);
        let (request, logger) = (record.request.as_deref(), record.logger.as_deref());
        let text = record.text.as_str();
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(target: "python", model, pid, request, logger, "{text}")
            };
        }
        // The numbers of Python's `logging`; what was printed counts as information.
        match record.level.unwrap_or(20) {
            40.. => event!(error),
            30..40 => event!(warn),
            20..30 => event!(info),
            10..20 => event!(debug),
            _ => event!(trace),
        }
    }
}

/// One line that Python code has printed or logged.
#[derive(Debug, Default, Deserialize)]
struct Record {
    text: String,
    level: Option<i64>,
    logger: Option<String>,
    request: Option<String>,
}
