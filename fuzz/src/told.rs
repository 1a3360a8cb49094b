//! [`short`]: what an error may look like.

use unruffled_protocol::ProtocolError;

/// What the protocol's errors promise: a thousand bytes and the dots behind them, after the name of a tensor of at most 80
/// characters, none of which takes more than 10 bytes.
const MOST: usize = 1003 + 80 * 10 + 20;

/// An error of the protocol is short, and fits a line of a log.
#[track_caller]
pub fn short(error: &ProtocolError) {
    line(&error.to_string(), MOST);
}

/// A text of at most so many bytes that breaks no line.
#[track_caller]
pub fn line(text: &str, most: usize) {
    assert!(!text.is_empty(), "an error says nothing");
    assert!(text.len() <= most, "an error of {} bytes: {text}", text.len());
    assert!(!text.contains(char::is_control), "an error with control characters: {text:?}");
}
