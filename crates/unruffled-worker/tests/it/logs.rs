//! What is logged, one event a line, for tests that wait for it.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

#[derive(Default)]
struct Logs {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

static LOGS: OnceLock<Logs> = OnceLock::new();

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let logs = LOGS.get_or_init(Logs::default);
        logs.lines.lock().unwrap().push(String::from_utf8_lossy(bytes).into_owned());
        logs.more.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has all events of this process gathered from here on.
pub(crate) fn begin() {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .with_writer(|| Lines)
            .init();
    });
}

/// Waits for an event that holds this text.
#[track_caller]
pub(crate) fn wait_for(text: &str) -> String {
    let logs = LOGS.get_or_init(Logs::default);
    let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
    let lines = logs.lines.lock().unwrap();
    let wait = |lines: &mut Vec<String>| found(lines).is_none();
    let (lines, _) = logs.more.wait_timeout_while(lines, Duration::from_secs(30), wait).unwrap();
    found(&lines).unwrap_or_else(|| panic!("nobody logged `{text}`"))
}
