//! The program `unruffled serve`, as people start it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// How long it took until all models could answer.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Serves a folder of models; `root` is where the runtimes are looked for.
    pub(crate) fn start(root: &Path, models: &Path) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("unruffled");
        ensure!(
            program.exists(),
            "there is no {}; remedy: cargo build --release -p unruffled-cli",
            program.display()
        );
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let begin = Instant::now();
        let child = Command::new(program)
            .args(["serve", "--grpc", "none", "--http", &address.to_string(), "--models"])
            .arg(models)
            .current_dir(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self { child, address, ready_after: Duration::ZERO };
        while !server.is_ready() {
            ensure!(begin.elapsed() < Duration::from_secs(60), "the server is not ready after a minute");
            ensure!(server.child.try_wait()?.is_none(), "the server has ended");
            #[allow(clippy::disallowed_methods, reason = "another process tells nothing unasked")]
            std::thread::sleep(Duration::from_millis(1));
        }
        server.ready_after = begin.elapsed();
        Ok(server)
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let asked = stream
            .write_all(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves nobody else; a failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
