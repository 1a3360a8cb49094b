//! [`Keys`]: who may ask, and for what.

mod secret;

mod rate;

mod grant;

mod file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::setup::{Reload, SetupError};

pub use rate::RateLimit;
pub use secret::NewKey;

pub(crate) use grant::{ClientLimits, Grant};
pub(crate) use secret::Hash;

/// The keys that a server takes. Cheap to clone; clones see the same keys.
///
/// A file of keys is TOML:
///
/// ```
/// # use unruffled_server::Keys;
/// let keys = Keys::from_toml(r#"
/// [[key]]
/// name = "phone"                  # how it is called in logs; its requests share the models fairly with other keys'
/// hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
/// infer = ["digits", "ocr-*"]     # the models that it may ask; * stands for anything
///
/// [[key]]
/// name = "operator"
/// hash = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
/// metrics = true                  # may read metrics
/// admin = true                    # may load and unload models, and change settings
/// weight = 2                      # its share of a busy model beside the others', 1 unless set
/// rate = "50/s"                   # instead of what the server says
/// burst = 100                     # at once, after a rest; as many as the rate says unless set
/// concurrency = 8                 # requests at a time
/// "#)?;
/// # Ok::<(), unruffled_server::SetupError>(())
/// ```
///
/// Only hashes are kept. SHA-256 is enough, since [`NewKey`] makes keys of 256 random bits: there is nothing to guess that
/// a slow hash would have to defend.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    file: Option<PathBuf>,
    ring: ArcSwap<Ring>,
}

/// The keys as they were read at some time.
struct Ring {
    grants: Vec<Arc<Grant>>,
    /// Of the whole text: tells whether it has changed.
    text: Hash,
}

impl Keys {
    /// Reads a file of keys; [`reload`](Self::reload) reads it again.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and in which line.
    pub fn from_file(file: impl Into<PathBuf>) -> Result<Self, SetupError> {
        let file = file.into();
        let ring = Ring::read(&file)?;
        Ok(Self(Arc::new(Inner { file: Some(file), ring: ArcSwap::from_pointee(ring) })))
    }

    /// Keys that are in no file.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, and in which line.
    pub fn from_toml(text: &str) -> Result<Self, SetupError> {
        let ring = Ring::parse(text, "keys")?;
        Ok(Self(Arc::new(Inner { file: None, ring: ArcSwap::from_pointee(ring) })))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.ring.load().grants.len()
    }

    /// Reads the file again, if there is one. It blocks as long as that takes.
    ///
    /// # Errors
    ///
    /// What is wrong with it; then the keys stay as they were.
    pub fn reload(&self) -> Result<Reload, SetupError> {
        let Some(file) = &self.0.file else {
            return Ok(Reload::Unchanged);
        };
        let ring = Ring::read(file)?;
        if ring.text == self.0.ring.load().text {
            return Ok(Reload::Unchanged);
        }
        self.0.ring.store(Arc::new(ring));
        Ok(Reload::Changed)
    }

    /// What the bearer of this key may do, if it is one.
    ///
    /// All keys are looked at, and each in the same time, so that the time tells nothing.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Arc<Grant>> {
        let hash = Hash::of(key);
        let ring = self.0.ring.load();
        let mut found = None;
        for grant in &ring.grants {
            if grant.hash.is(&hash) {
                found = Some(grant);
            }
        }
        found.cloned()
    }
}

impl Ring {
    fn read(file: &Path) -> Result<Self, SetupError> {
        let text = std::fs::read_to_string(file).map_err(|error| SetupError::unreadable(file, error))?;
        Self::parse(&text, &file.display().to_string())
    }

    fn parse(text: &str, place: &str) -> Result<Self, SetupError> {
        Ok(Self { grants: file::parse(text, place)?, text: Hash::of(text.as_bytes()) })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("file", &self.0.file).field("count", &self.count()).finish()
    }
}
