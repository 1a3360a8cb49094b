//! [`Brief`]: somebody else's text, cut and cleaned for a message.

use std::fmt::{self, Write as _};

/// The most characters of a name or value that a message repeats.
const SHOWN: usize = 80;

/// Shows the beginning of a text; control characters are escaped, so that no message breaks a line of a log.
pub(crate) struct Brief<'a>(pub(crate) &'a str);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(SHOWN) {
            if char.is_control() {
                write!(f, "{}", char.escape_default())?;
            } else {
                f.write_char(char)?;
            }
        }
        if chars.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Brief;

    #[test]
    fn cuts_by_characters_and_escapes_controls() {
        assert_eq!(Brief("a\nb\0ü").to_string(), "a\\nb\\u{0}ü");
        assert_eq!(Brief(&"ü".repeat(80)).to_string(), "ü".repeat(80));
        assert_eq!(Brief(&"ü".repeat(81)).to_string(), format!("{}...", "ü".repeat(80)));
    }
}
