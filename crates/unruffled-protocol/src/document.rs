//! [`Document`]: a body that is UTF-8, not too deep, and readable although it may hold `NaN` and `Infinity`.

use std::borrow::Cow;

use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use crate::brief::Brief;
use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;

/// The words that JSON lacks, the longer first where one ends another.
const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];

/// A body on its way to being read.
///
/// The words `NaN` and `Infinity` would end the parser, so it is shown a text of the same length in which each is an
/// empty object, and every part that it finds is taken from the original. Whoever reads a part meets the words
/// themselves, and bodies without them are not copied.
pub(crate) struct Document<'a> {
    original: &'a str,
    shown: Cow<'a, str>,
}

impl<'a> Document<'a> {
    /// Checks encoding and depth, before anything is parsed or allocated.
    pub(crate) fn new(body: &'a [u8], limits: &Limits) -> Result<Self, ProtocolError> {
        let original = std::str::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            let message = format!("the body is not UTF-8 at byte {at}; send JSON in UTF-8");
            ProtocolError::new(ProtocolErrorKind::Malformed, message)
        })?;
        let survey = survey(body);
        if survey.depth > limits.nesting {
            let (depth, most) = (survey.depth, limits.nesting);
            let message = format!("the body nests {depth} levels deep; at most {most} are allowed");
            return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
        }
        let shown = if survey.has_words { mask(body).into() } else { original.into() };
        Ok(Self { original, shown })
    }

    /// Parses the whole text.
    pub(crate) fn parse<'d, S: DeserializeSeed<'d>>(&'d self, seed: S) -> Result<S::Value, ProtocolError> {
        let mut parser = serde_json::Deserializer::from_str(&self.shown);
        seed.deserialize(&mut parser)
            .and_then(|value| parser.end().map(|()| value))
            .map_err(|error| malformed(&error))
    }

    /// The text of a part that [`parse`](Self::parse) found.
    pub(crate) fn text_of<'d>(&'d self, part: &'d RawValue) -> &'d str {
        let part = part.get();
        match &self.shown {
            Cow::Borrowed(_) => part,
            Cow::Owned(shown) => {
                let start = part.as_ptr().addr() - shown.as_ptr().addr();
                &self.original[start..start + part.len()]
            }
        }
    }
}

/// What the parser has against a text, with the place.
pub(crate) fn malformed(error: &serde_json::Error) -> ProtocolError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    let reason = Brief(reason);
    let message = if error.is_data() {
        format!("{reason}, at line {line}, column {column}")
    } else {
        format!("the body is not JSON: {reason}, at line {line}, column {column}")
    };
    ProtocolError::new(ProtocolErrorKind::Malformed, message)
}

struct Survey {
    /// How deep arrays and objects nest at most.
    depth: usize,
    /// Whether something outside of texts looks like a word of [`WORDS`].
    has_words: bool,
}

fn survey(body: &[u8]) -> Survey {
    let (mut depth, mut deepest, mut has_words, mut at) = (0_usize, 0, false, 0);
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = text_end(body, at),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'N' | b'I' => has_words = true,
            _ => {}
        }
    }
    Survey { depth: deepest, has_words }
}

/// Replaces each word outside of texts by an empty object of the same length.
fn mask(body: &[u8]) -> String {
    let mut shown = body.to_vec();
    let mut at = 0;
    while at < body.len() {
        if body[at] == b'"' {
            at = text_end(body, at + 1);
            continue;
        }
        match WORDS.iter().find(|word| body[at..].starts_with(word)) {
            Some(word) => {
                shown[at..at + word.len()].fill(b' ');
                shown[at] = b'{';
                shown[at + word.len() - 1] = b'}';
                at += word.len();
            }
            None => at += 1,
        }
    }
    String::from_utf8(shown).expect("only ASCII was replaced, by ASCII")
}

/// Where the text ends that began before `at`: after its closing quote, or at the end of the body.
pub(crate) fn text_end(body: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::{mask, survey};

    #[track_caller]
    fn check(body: &str, depth: usize, shown: &str) {
        assert_eq!(survey(body.as_bytes()).depth, depth, "{body}");
        assert_eq!(mask(body.as_bytes()), shown);
        assert_eq!(survey(body.as_bytes()).has_words, shown != body, "{body}");
    }

    #[test]
    fn words_are_masked_in_place_outside_of_texts() {
        check("[NaN,-Infinity,Infinity]", 1, "[{ },{       },{      }]");
        check(r#"{"NaN":["[[\"Infinity","\\"]}"#, 2, r#"{"NaN":["[[\"Infinity","\\"]}"#);
        check(r#"]]["\"#, 1, r#"]]["\"#);
    }
}
