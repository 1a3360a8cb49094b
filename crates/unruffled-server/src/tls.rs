//! [`Tls`]: certificates, and the handshake that shows them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::keys::Hash;
use crate::setup::{Reload, SetupError};

/// What can be spoken inside of TLS, the dearest first: what [`connection`](crate::connection) speaks.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The server's certificate and key, and who may connect. Cheap to clone; clones see the same certificates.
///
/// TLS 1.2 and 1.3. With a certificate authority for clients, only those connect that have a certificate of it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: Option<Files>,
    current: ArcSwap<Current>,
}

/// Where certificates come from.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

struct Current {
    config: Arc<ServerConfig>,
    asks_clients: bool,
    /// Of all files: tells whether one of them has changed.
    read: Hash,
}

/// Files as they were read, and what errors call them.
struct Pem<'a> {
    certificate: (&'a [u8], String),
    key: (&'a [u8], String),
    client_ca: Option<(&'a [u8], String)>,
}

impl Tls {
    /// Reads PEM files: the certificate with those between it and its authority behind it, and its private key.
    /// [`reload`](Self::reload) reads them again.
    ///
    /// # Errors
    ///
    /// Which file cannot be read, or is not what it should be, or does not belong to the other.
    pub fn from_files(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        client_ca: Option<PathBuf>,
    ) -> Result<Self, SetupError> {
        let files = Files { certificate: certificate.into(), key: key.into(), client_ca };
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Self(Arc::new(Inner { files: Some(files), current })))
    }

    /// The same from PEM texts in memory.
    ///
    /// # Errors
    ///
    /// Which of them is not what it should be, or that they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> Result<Self, SetupError> {
        let pem = Pem {
            certificate: (certificate, "the certificate".into()),
            key: (key, "the key".into()),
            client_ca: client_ca.map(|pem| (pem, "the authority of clients".into())),
        };
        let current = ArcSwap::from_pointee(pem.parse()?);
        Ok(Self(Arc::new(Inner { files: None, current })))
    }

    /// Reads the files again, if there are any; connections made from then on see them. It blocks as long as that takes.
    ///
    /// # Errors
    ///
    /// What is wrong with them, as when only one of two has been exchanged so far; then all stays as it was.
    pub fn reload(&self) -> Result<Reload, SetupError> {
        let Some(files) = &self.0.files else {
            return Ok(Reload::Unchanged);
        };
        let current = files.read()?;
        if current.read == self.0.current.load().read {
            return Ok(Reload::Unchanged);
        }
        self.0.current.store(Arc::new(current));
        Ok(Reload::Changed)
    }

    /// Whether clients must have a certificate.
    pub fn asks_clients(&self) -> bool {
        self.0.current.load().asks_clients
    }

    /// The handshake on a connection that has just been made.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.0.current.load().config);
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Files {
    fn read(&self) -> Result<Current, SetupError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| SetupError::unreadable(path, error));
        let name = |path: &Path| path.display().to_string();
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let client_ca = self.client_ca.as_deref().map(|path| Ok((read(path)?, name(path)))).transpose()?;
        let pem = Pem {
            certificate: (&certificate, name(&self.certificate)),
            key: (&key, name(&self.key)),
            client_ca: client_ca.as_ref().map(|(pem, name)| (pem.as_slice(), name.clone())),
        };
        pem.parse()
    }
}

impl Pem<'_> {
    fn parse(&self) -> Result<Current, SetupError> {
        let (key_pem, key_name) = &self.key;
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| {
            let message = "holds no private key in PEM, PKCS #8, PKCS #1 or SEC1, without a password";
            SetupError::invalid(key_name, message)
        })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3");
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(verifier(authority, provider)?),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let (_, certificate) = &self.certificate;
            SetupError::invalid(certificate.clone(), format!("cannot be used with {key_name}: {error}"))
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let asks_clients = self.client_ca.is_some();
        Ok(Current { config: Arc::new(config), asks_clients, read: self.hash() })
    }

    /// Of all that was read. The parts are hashed first, so that nothing can move from one to the next unseen.
    fn hash(&self) -> Hash {
        let mut parts = Vec::new();
        for (pem, _) in [&self.certificate, &self.key].into_iter().chain(&self.client_ca) {
            parts.extend_from_slice(Hash::of(pem).bytes());
        }
        Hash::of(&parts)
    }
}

fn certificates((pem, name): &(&[u8], String)) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = parsed.map_err(|error| SetupError::invalid(name, format!("is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(SetupError::invalid(name, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

/// What lets clients in that have a certificate of this authority.
fn verifier(
    authority: &(&[u8], String),
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, SetupError> {
    let wrong = |error: &dyn fmt::Display| {
        SetupError::invalid(&authority.1, format!("is no authority of clients: {error}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| wrong(&error))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("asks_clients", &self.asks_clients()).finish_non_exhaustive()
    }
}
