//! Who may come to the server: certificates, keys, pages, and how much each may ask.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use clap::Args;
use unruffled_server::{Keys, RateLimit, ServerOptions, SetupError, Tls};

use crate::exit::{Exit, Failure};
use crate::terminal;

/// What is open to whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may ask")]
pub(crate) struct Doors {
    /// The file of keys, of which everybody needs one: `unruffled keys new` writes it. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,

    /// The server's certificate in PEM, to speak TLS only. Read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// The authority in PEM that clients must have a certificate of
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// The origin of pages that may ask, such as `https://app.example`, or * for all; give this once for each
    #[arg(long = "cors-origin", value_name = "ORIGIN", value_parser = origin)]
    pub(crate) cors_origins: Vec<String>,

    /// A name under which the server may be asked for, where it is on loopback without keys, beside localhost; give this
    /// once for each
    #[arg(long = "allow-host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// How often a client may ask, a key or else an address: 50/s, 600/m or 1000/h
    #[arg(long, value_name = "RATE")]
    pub(crate) client_rate: Option<RateLimit>,

    /// How many of these at once, after a rest; without it, as many as the rate says
    #[arg(long, value_name = "N", requires = "client_rate")]
    pub(crate) client_burst: Option<NonZeroU32>,

    /// How many requests of a client may be in flight
    #[arg(long, value_name = "N")]
    pub(crate) client_concurrency: Option<NonZeroUsize>,

    /// How many connections an address may have
    #[arg(long, value_name = "N")]
    pub(crate) client_connections: Option<NonZeroUsize>,
}

/// The keys and certificates that were read, to be read again.
pub(crate) struct Opened {
    keys: Option<Keys>,
    tls: Option<Tls>,
}

impl Doors {
    /// Reads keys and certificates.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        let keys =
            self.keys.as_ref().map(|file| Keys::from_file(file).map_err(keys_failure(file))).transpose()?;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some(
                Tls::from_files(cert, key, self.tls_client_ca.clone()).map_err(|error| failure(&error))?,
            ),
            _ => None,
        };
        Ok(Opened { keys, tls })
    }

    /// The server's options with what is set here.
    pub(crate) fn apply(&self, opened: &Opened, mut options: ServerOptions) -> ServerOptions {
        options = options.with_cors_origins(&self.cors_origins).with_hosts(&self.hosts);
        if let Some(keys) = &opened.keys {
            options = options.with_keys(keys.clone());
        }
        if let Some(tls) = &opened.tls {
            options = options.with_tls(tls.clone());
        }
        if let Some(rate) = self.client_rate {
            options =
                options.with_client_rate(self.client_burst.map_or(rate, |burst| rate.with_burst(burst)));
        }
        if let Some(requests) = self.client_concurrency {
            options = options.with_client_concurrency(requests);
        }
        if let Some(connections) = self.client_connections {
            options = options.with_connections_per_peer(connections);
        }
        options
    }

    /// Says so if anybody could ask, or hear the keys.
    pub(crate) fn warn(&self, address: SocketAddr) {
        if address.ip().is_loopback() {
            return;
        }
        if self.keys.is_none() && self.tls_client_ca.is_none() {
            terminal::warn(&format!(
                "everybody who reaches {address} may ask every model; --keys FILE or --tls-client-ca FILE says who may"
            ));
        } else if self.tls_cert.is_none() {
            terminal::warn(&format!(
                "keys and data go to {address} in the clear; --tls-cert and --tls-key, or a proxy in front, hide them"
            ));
        }
    }

    /// How a URL of the server begins.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }

    /// What curl has to be told to be let in, for lines that are pasted.
    pub(crate) fn curl(&self) -> String {
        let mut arguments = String::from("curl -sS ");
        if let Some(cert) = &self.tls_cert {
            arguments.push_str(&format!("--cacert {} ", quoted(cert)));
        }
        if self.tls_client_ca.is_some() {
            arguments.push_str("--cert client.pem --key client.key ");
        }
        if self.keys.is_some() {
            arguments.push_str("-H \"X-API-Key: $UNRUFFLED_KEY\" ");
        }
        arguments
    }
}

impl Opened {
    /// Reads everything again at each SIGHUP, besides what the server does by itself.
    #[cfg(unix)]
    pub(crate) fn reload_on_hangup(self) -> Result<(), Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let Self { keys, tls } = self;
        if keys.is_none() && tls.is_none() {
            return Ok(());
        }
        let hangup = signal(SignalKind::hangup());
        let mut hangup =
            hangup.map_err(|error| Failure::new(Exit::Failed, format!("no signals: {error}")))?;
        // It ends with the program.
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let (keys, tls) = (keys.clone(), tls.clone());
                let read = tokio::task::spawn_blocking(move || {
                    tls.map(|tls| tls.reload()).transpose()?;
                    keys.map(|keys| keys.reload()).transpose()
                });
                match read.await {
                    Ok(Ok(_)) => anstream::eprintln!("Keys and certificates have been read again."),
                    Ok(Err(error)) => terminal::warn(&format!("all stays as it was: {error}")),
                    Err(error) => terminal::warn(&format!("all stays as it was: {error}")),
                }
            }
        });
        Ok(())
    }

    /// There is no such signal here: the server looks at the files by itself.
    #[cfg(not(unix))]
    pub(crate) fn reload_on_hangup(self) -> Result<(), Failure> {
        drop(self);
        Ok(())
    }
}

fn failure(error: &SetupError) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
}

fn keys_failure(file: &Path) -> impl FnOnce(SetupError) -> Failure + '_ {
    |error| {
        let failure = failure(&error);
        match file.exists() {
            true => failure,
            false => failure.hint(format!("unruffled keys new NAME --infer '*' --file {}", quoted(file))),
        }
    }
}

fn origin(text: &str) -> Result<String, String> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic() && c != '/')
    });
    if text == "*" || is_origin {
        return Ok(text.to_owned());
    }
    Err("expected an origin without a path, such as https://app.example or tauri://localhost, or *".into())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{origin, quoted};

    #[test]
    fn origins_have_no_path() {
        for good in ["*", "https://app.example", "http://localhost:3000", "tauri://localhost"] {
            assert_eq!(origin(good).as_deref(), Ok(good));
        }
        for bad in
            ["", "app.example", "https://", "https://app.example/", "https://app.example/x", "https://a b"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_quoted_where_they_must_be() {
        assert_eq!(quoted(Path::new("a/b-c.pem")), "a/b-c.pem");
        assert_eq!(quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
