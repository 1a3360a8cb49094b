//! Who may come to the server: certificates, keys, pages, and how much each may ask.

use std::net::SocketAddr;
use std::path::Path;

use unruffled_server::{Keys, ServerOptions, SetupError, Tls};

use crate::exit::{Exit, Failure};
use crate::settings::{Rate, Settings};
use crate::terminal;

/// What is open to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors<'a>(pub(crate) &'a Settings);

/// The keys and certificates that were read, to be read again.
pub(crate) struct Opened {
    keys: Option<Keys>,
    tls: Option<Tls>,
}

impl Doors<'_> {
    /// Reads keys and certificates.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        let keys =
            self.0.keys.as_ref().map(|file| Keys::from_file(file).map_err(keys_failure(file))).transpose()?;
        let tls = match (&self.0.tls_cert, &self.0.tls_key) {
            (Some(cert), Some(key)) => Some(
                Tls::from_files(cert, key, self.0.tls_client_ca.clone()).map_err(|error| failure(&error))?,
            ),
            _ => None,
        };
        Ok(Opened { keys, tls })
    }

    /// The server's options with what is set here.
    pub(crate) fn apply(&self, opened: &Opened, mut options: ServerOptions) -> ServerOptions {
        let origins = self.0.cors_origin.iter().flatten().map(|origin| &origin.0);
        options = options.with_cors_origins(origins).with_hosts(self.0.allow_host.iter().flatten());
        if let Some(keys) = &opened.keys {
            options = options.with_keys(keys.clone());
        }
        if let Some(tls) = &opened.tls {
            options = options.with_tls(tls.clone());
        }
        if let Some(rate) = self.0.client_rate.as_ref().map(Rate::limit) {
            options =
                options.with_client_rate(self.0.client_burst.map_or(rate, |burst| rate.with_burst(burst)));
        }
        if let Some(requests) = self.0.client_concurrency {
            options = options.with_client_concurrency(requests);
        }
        if let Some(connections) = self.0.client_connections {
            options = options.with_connections_per_peer(connections);
        }
        options
    }

    /// Says so if anybody could ask, or hear the keys.
    pub(crate) fn warn(&self, address: SocketAddr) {
        if address.ip().is_loopback() {
            return;
        }
        if self.0.keys.is_none() && self.0.tls_client_ca.is_none() {
            terminal::warn(&format!(
                "everybody who reaches {address} may ask every model; --keys FILE or --tls-client-ca FILE says who may"
            ));
        } else if self.0.tls_cert.is_none() {
            terminal::warn(&format!(
                "keys and data go to {address} in the clear; --tls-cert and --tls-key, or a proxy in front, hide them"
            ));
        }
    }

    /// How a URL of the server begins.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.0.tls_cert.is_some() { "https" } else { "http" }
    }

    /// What curl has to be told to be let in, for lines that are pasted.
    pub(crate) fn curl(&self) -> String {
        let mut arguments = String::from("curl -sS ");
        if let Some(cert) = &self.0.tls_cert {
            arguments.push_str(&format!("--cacert {} ", quoted(cert)));
        }
        if self.0.tls_client_ca.is_some() {
            arguments.push_str("--cert client.pem --key client.key ");
        }
        if self.0.keys.is_some() {
            arguments.push_str("-H \"X-API-Key: $UNRUFFLED_KEY\" ");
        }
        arguments
    }
}

impl Opened {
    /// Whether there are neither keys nor certificates.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_none() && self.tls.is_none()
    }

    /// Reads all files again.
    pub(crate) fn reload(&self) -> Result<(), SetupError> {
        if let Some(tls) = &self.tls {
            tls.reload()?;
        }
        if let Some(keys) = &self.keys {
            keys.reload()?;
        }
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

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::quoted;

    #[test]
    fn paths_are_quoted_where_they_must_be() {
        assert_eq!(quoted(Path::new("a/b-c.pem")), "a/b-c.pem");
        assert_eq!(quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
