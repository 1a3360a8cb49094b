//! [`JobId`]: the name of a job, unique wherever it was made.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, ErrorKind};

/// Crockford's alphabet: what is easily confused, `i`, `l`, `o` and `u`, is not in it.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many letters an id has.
const LETTERS: usize = 26;

/// The name of a job: 26 letters and digits, the moment of its making first, so that names sort by time.
///
/// Nobody can guess one: 80 of its bits are random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

impl JobId {
    /// A name that no other job has.
    pub fn new(now: SystemTime) -> Self {
        let ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self(ms << 80 | fastrand::u128(..1 << 80))
    }

    /// The name as a number: how stores keep it.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

/// The name that has this number.
impl From<u128> for JobId {
    fn from(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |at: usize| ALPHABET[(self.0 >> (5 * (LETTERS - 1 - at)) & 31) as usize];
        let letters: [u8; LETTERS] = std::array::from_fn(letter);
        f.pad(std::str::from_utf8(&letters).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

/// Reads what is displayed; case does not matter.
impl FromStr for JobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digit = |letter: u8| ALPHABET.iter().position(|known| *known == letter.to_ascii_lowercase());
        let digits: Option<Vec<usize>> = text.bytes().map(digit).collect();
        match digits {
            // The first letter has three bits only: 26 of them make 130.
            Some(digits) if digits.len() == LETTERS && digits[0] < 8 => {
                Ok(Self(digits.into_iter().fold(0, |number, digit| number << 5 | digit as u128)))
            }
            _ => {
                let message = format!("`{text}` is no job; a job has {LETTERS} letters and digits");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::JobId;

    #[test]
    fn what_is_displayed_can_be_read() {
        for number in [0, 1, u128::MAX, 1 << 127, 0x0123_4567_89ab_cdef] {
            let id = JobId::from(number);
            assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
            assert_eq!(id.to_string().to_uppercase().parse::<JobId>().unwrap(), id);
        }
    }

    #[test]
    fn names_sort_by_time_and_differ() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let (first, second, later) = (JobId::new(at(1_000)), JobId::new(at(1_000)), JobId::new(at(1_001)));
        assert_ne!(first, second);
        assert!(first.max(second) < later);
        assert!(first.to_string() < later.to_string());
    }

    #[track_caller]
    fn check_refused(text: &str) {
        let error = text.parse::<JobId>().unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        check_refused("");
        check_refused("0123");
        check_refused("0000000000000000000000000u");
        // One more than 128 bits hold.
        check_refused("80000000000000000000000000");
    }
}
