//! The socket to a worker: one frame at a time each way, and waits that can be ended from elsewhere.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::frame::{self, Frame, Kind, Layout, Progress};

/// A buffer of this size holds whatever is usual; larger ones are not kept.
const USUAL: usize = 1 << 17;

/// Ends a wait, from any thread.
#[derive(Debug)]
pub(crate) struct Wake {
    ring: UnixStream,
    heard: UnixStream,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        let (ring, heard) = UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        Ok(Self { ring, heard })
    }

    /// Ends the wait that is going on, or the next one.
    pub(crate) fn ring(&self) {
        // A socket that is full rings already.
        let _ = (&self.ring).write(&[1]);
    }

    /// Forgets that it rang.
    pub(crate) fn hush(&self) {
        let mut bytes = [0; 16];
        while matches!((&self.heard).read(&mut bytes), Ok(count) if count == bytes.len()) {}
    }
}

/// How a wait has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// A frame is there.
    Frame,
    /// Somebody rang.
    Woken,
    /// It is time.
    TimedOut,
}

/// What is wrong with the other side.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is gone.
    Ended,
    /// It said what it must not; what it did, as in "the worker ...".
    Nonsense(String),
    /// The system.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Fault::Ended,
            _ => Fault::Io(error),
        }
    }
}

impl From<rustix::io::Errno> for Fault {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// This end of the socket.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: UnixStream,
    incoming: Vec<u8>,
    filled: usize,
    /// The frame that is there, until the next wait.
    layout: Option<Layout>,
    outgoing: Vec<u8>,
}

impl Channel {
    pub(crate) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, incoming: vec![0; USUAL], filled: 0, layout: None, outgoing: Vec::new() })
    }

    /// Sends a frame; gives up when somebody rings, and then the worker must not be used any more.
    pub(crate) fn send(&mut self, kind: Kind, header: &[u8], body: &[u8], wake: &Wake) -> Result<(), Fault> {
        self.outgoing.clear();
        frame::write(&mut self.outgoing, kind, header, body)
            .map_err(|message| Fault::Io(io::Error::new(ErrorKind::InvalidInput, message)))?;
        let outgoing = std::mem::take(&mut self.outgoing);
        let sent = self.send_raw(&outgoing, wake);
        self.outgoing = outgoing;
        self.outgoing.shrink_to(USUAL);
        sent
    }

    /// Sends bytes that are no frame: what a worker is made of.
    pub(crate) fn send_raw(&mut self, mut bytes: &[u8], wake: &Wake) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.poll(PollFlags::OUT, Some(wake), None)? == Some(Signal::Woken) {
                        let message = "the worker does not read what it is sent";
                        return Err(Fault::Io(io::Error::new(ErrorKind::TimedOut, message)));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends a file along with one byte.
    pub(crate) fn send_file(&mut self, file: BorrowedFd<'_>) -> Result<(), Fault> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files = [file];
        if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(Fault::Io(ErrorKind::OutOfMemory.into()));
        }
        sendmsg(&self.socket, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty())?;
        Ok(())
    }

    /// Waits for a frame, for somebody who rings, or until it is time.
    pub(crate) fn wait(&mut self, wake: Option<&Wake>, until: Option<Instant>) -> Result<Signal, Fault> {
        if self.layout.take().is_some() {
            self.filled = 0;
            self.incoming.truncate(USUAL);
            self.incoming.shrink_to_fit();
        }
        loop {
            match frame::parse(&self.incoming[..self.filled]).map_err(Fault::Nonsense)? {
                Progress::Whole(layout) if layout.end() == self.filled => {
                    self.layout = Some(layout);
                    return Ok(Signal::Frame);
                }
                Progress::Whole(_) => return Err(Fault::Nonsense("spoke out of turn".into())),
                // Grows with what has come, not with what is announced.
                Progress::Needs(need) if self.filled == self.incoming.len() => {
                    self.incoming.resize(need.min(2 * self.filled), 0);
                }
                Progress::Needs(_) => {}
            }
            if let Some(signal) = self.poll(PollFlags::IN, wake, until)? {
                return Ok(signal);
            }
            match self.socket.read(&mut self.incoming[self.filled..]) {
                Ok(0) => return Err(Fault::Ended),
                Ok(count) => self.filled += count,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The frame that [`wait`](Self::wait) has found.
    pub(crate) fn frame(&self) -> Option<Frame<'_>> {
        Some(self.layout.as_ref()?.frame(&self.incoming))
    }

    /// Whether the other side is there and has nothing to say, as it should be between runs.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// Waits until the socket is ready, which gives `None`, or for something else.
    fn poll(
        &self,
        flags: PollFlags,
        wake: Option<&Wake>,
        until: Option<Instant>,
    ) -> Result<Option<Signal>, Fault> {
        loop {
            let left = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
            let socket = PollFd::from_borrowed_fd(self.socket.as_fd(), flags);
            let (count, is_ready, is_woken) = match wake {
                Some(wake) => {
                    let mut fds = [socket, PollFd::from_borrowed_fd(wake.heard.as_fd(), PollFlags::IN)];
                    let count = poll(&mut fds, left.as_ref());
                    (count, !fds[0].revents().is_empty(), !fds[1].revents().is_empty())
                }
                None => {
                    let mut fds = [socket];
                    let count = poll(&mut fds, left.as_ref());
                    (count, !fds[0].revents().is_empty(), false)
                }
            };
            match count {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                // What has come first is not known: an answer that is there counts.
                Ok(_) if is_ready => return Ok(None),
                Ok(_) if is_woken => return Ok(Some(Signal::Woken)),
                Ok(_) if until.is_some_and(|until| until <= Instant::now()) => {
                    return Ok(Some(Signal::TimedOut));
                }
                Ok(_) => {}
            }
        }
    }
}

/// Rounded up to whole milliseconds, so that a wait does not spin towards its end where the system counts in these.
fn timespec(duration: Duration) -> Timespec {
    let duration = duration + Duration::from_micros(999);
    Timespec {
        tv_sec: duration.as_secs().min(1 << 30) as i64,
        tv_nsec: i64::from(duration.subsec_millis()) * 1_000_000,
    }
}
