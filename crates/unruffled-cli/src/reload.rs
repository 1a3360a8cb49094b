//! What SIGHUP has read again: the file of settings, keys and certificates.

use std::sync::Arc;

use unruffled_server::Tracing as _;

use crate::doors::Opened;
use crate::exit::{Exit, Failure};
use crate::logging::Log;
use crate::otlp::Otlp;
use crate::settings::{Effective, Layers, Settings};
use crate::terminal;

/// All that can be changed while the server runs, and what it was told last.
pub(crate) struct Reload {
    pub(crate) layers: Layers,
    /// As the server was started, but for what has been changed since.
    pub(crate) running: Effective,
    pub(crate) doors: Opened,
    pub(crate) log: Log,
    pub(crate) otlp: Option<Arc<Otlp>>,
}

impl Reload {
    /// Reads everything again at each SIGHUP, besides what the server does by itself.
    #[cfg(unix)]
    pub(crate) fn on_hangup(self) -> Result<(), Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        // Where there is nothing to be read, the signal ends the program, as it ends others.
        if self.layers.file().is_none() && self.doors.is_empty() {
            return Ok(());
        }
        let hangup = signal(SignalKind::hangup());
        let mut hangup =
            hangup.map_err(|error| Failure::new(Exit::Failed, format!("no signals: {error}")))?;
        // It ends with the program.
        tokio::spawn(async move {
            let mut reload = self;
            while hangup.recv().await.is_some() {
                let read = tokio::task::spawn_blocking(move || {
                    reload.read();
                    reload
                });
                match read.await {
                    Ok(read) => reload = read,
                    Err(error) => {
                        terminal::warn(&format!("nothing is read again any more: {error}"));
                        return;
                    }
                }
            }
        });
        Ok(())
    }

    /// There is no such signal here: the server looks at keys and certificates by itself.
    #[cfg(not(unix))]
    pub(crate) fn on_hangup(self) -> Result<(), Failure> {
        drop(self);
        Ok(())
    }

    /// Takes what can be taken, and says what came of it. What is wrong anywhere changes nothing anywhere.
    fn read(&mut self) {
        let read = self.layers.resolve().map_err(|failure| failure.message().to_owned());
        let read = read.and_then(|new| self.doors.reload().map(|()| new).map_err(|error| error.to_string()));
        let applied = read.and_then(|new| self.apply(&new).map(|()| new));
        match applied {
            Ok(new) => self.tell(&new),
            Err(problem) => terminal::warn(&format!("all stays as it was: {problem}")),
        }
    }

    /// What is the same as before is left alone: operators may have changed it since.
    fn apply(&self, new: &Effective) -> Result<(), String> {
        let changes = new.changes(&self.running);
        let has_changed = |key: &str| changes.iter().any(|changed| changed == key);
        if has_changed("log") {
            self.log.set_filter(new.settings.log())?;
        }
        if let (true, Some(otlp)) = (has_changed("otlp_sample"), &self.otlp) {
            otlp.set_ratio(new.settings.otlp_sample())?;
        }
        Ok(())
    }

    fn tell(&mut self, new: &Effective) {
        let changes = new.changes(&self.running);
        let (live, fixed): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|key| Settings::LIVE.contains(&key.as_str()));
        if !fixed.is_empty() {
            terminal::warn(&format!("{} will count after a restart", fixed.join(", ")));
        }
        for key in &live {
            self.running.take(new, key);
        }
        let read = match self.layers.file() {
            Some(_) => "Settings, keys and certificates have been read again",
            None => "Keys and certificates have been read again",
        };
        match &*live {
            [] => anstream::eprintln!("{read}."),
            changed => anstream::eprintln!("{read}: {} changed.", changed.join(", ")),
        }
    }
}
