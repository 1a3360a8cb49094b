//! [`NewKey`]: a key as it is given out. [`Hash`]: a key as it is kept.

use std::fmt;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What all keys begin with, so that people and scanners of published secrets know one when they see it.
const PREFIX: &str = "unr_";

/// What hashes begin with, in a file of keys.
const ALGORITHM: &str = "sha256:";

/// A key of 256 random bits, to be given to its bearer and then forgotten.
pub struct NewKey(String);

impl NewKey {
    /// Makes a key out of what the operating system has of chance.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", hex(&bytes))))
    }

    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What stands for it in a file of keys.
    pub fn hash(&self) -> String {
        format!("{ALGORITHM}{}", hex(&Hash::of(self.0.as_bytes()).0))
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(..)")
    }
}

/// A SHA-256.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(ALGORITHM)?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the same, in a time that does not depend on how much of it is.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Hash, NewKey};

    #[test]
    fn a_key_is_known_by_its_hash() {
        let key = NewKey::generate().unwrap();
        assert_eq!(key.reveal().len(), "unr_".len() + 64);
        let hash = Hash::parse(&key.hash()).unwrap();
        assert!(hash.is(&Hash::of(key.reveal().as_bytes())));
        let other = NewKey::generate().unwrap();
        assert!(!hash.is(&Hash::of(other.reveal().as_bytes())));
        assert!(!format!("{key:?}").contains(key.reveal()));
    }

    #[test]
    fn hashes_are_read() {
        // What `printf test | sha256sum` says.
        let known = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert!(Hash::parse(&format!("sha256:{known}")).unwrap().is(&Hash::of(b"test")));
        assert!(Hash::parse(&format!("sha256:{}", known.to_uppercase())).is_some());
        for bad in [known, "sha256:", &format!("sha256:{}", &known[1..]), &format!("sha256:{}g", &known[1..])]
        {
            assert!(Hash::parse(bad).is_none(), "{bad}");
        }
    }
}
