//! [`ServerProcess`]: this program as a server, in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::plan::{Broken, join, thread};

/// How long it may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, gone with this value.
pub(in super::super) struct ServerProcess {
    child: Child,
    pub(in super::super) url: String,
    reading: Option<std::thread::JoinHandle<()>>,
    _models: TempDir,
}

impl ServerProcess {
    /// Serves these models, on a port that is free.
    pub(in super::super) fn start(models: &[(&str, Vec<u8>)]) -> Result<Self, Broken> {
        let folder = tempfile::tempdir()?;
        for (name, file) in models {
            std::fs::create_dir(folder.path().join(name))?;
            std::fs::write(folder.path().join(name).join("model.onnx"), file)?;
        }
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--http", "127.0.0.1:0", "--models"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = child.stdout.take().ok_or_else(|| Broken::new("the server has no output"))?;
        let (tell, told) = std::sync::mpsc::channel();
        let reading = thread("server's output", move || read(said, &tell))?;
        match told.recv_timeout(PATIENCE) {
            Ok(url) => Ok(Self { child, url, reading: Some(reading), _models: folder }),
            Err(_) => {
                // It may have ended by itself.
                let _ = child.kill();
                let ended = child.wait()?;
                Err(Broken::new(format!("the server did not begin to serve: {ended}")))
            }
        }
    }

    pub(in super::super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a service manager does.
    pub(in super::super) fn terminate(&self) -> Result<(), Broken> {
        let sent = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(Broken::new("the server could not be asked to end")) }
    }

    /// How it ended, if it does in time.
    pub(in super::super) fn ended(&mut self, within: Duration) -> Result<Option<ExitStatus>, Broken> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if begin.elapsed() > within {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // One that has ended is not there any more to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reading) = self.reading.take() {
            let _ = join(reading);
        }
    }
}

/// Finds the address that it tells, and reads on, so that it never waits for a reader.
fn read(said: ChildStdout, tell: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        if let Some(at) = line.find("http://") {
            let rest = &line[at + "http://".len()..];
            let end = rest.find(|letter: char| !(letter.is_ascii_digit() || ".:".contains(letter)));
            // Only the first is waited for.
            let _ = tell.send(format!("http://{}", &rest[..end.unwrap_or(rest.len())]));
        }
    }
}
