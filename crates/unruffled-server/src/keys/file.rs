//! A file of keys, read and checked.

use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use unruffled_engine::Caller;

use super::grant::{ClientLimits, Grant, Pattern};
use super::rate::RateLimit;
use super::secret::Hash;
use crate::setup::SetupError;

/// The most keys of a file: each request is compared with all of them.
const KEYS: usize = 1024;

/// The most bytes of a name.
const NAME_BYTES: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    key: Vec<Spanned<RawKey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    name: Spanned<String>,
    hash: Spanned<String>,
    #[serde(default)]
    infer: Vec<Spanned<String>>,
    #[serde(default)]
    metrics: bool,
    #[serde(default)]
    admin: bool,
    weight: Option<NonZeroU32>,
    rate: Option<Spanned<String>>,
    burst: Option<Spanned<NonZeroU32>>,
    concurrency: Option<NonZeroUsize>,
}

/// The keys of a text; `place` is what errors call it.
pub(super) fn parse(text: &str, place: &str) -> Result<Vec<Arc<Grant>>, SetupError> {
    let reader = Reader { text, place };
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        // The message alone: beside it stands the line as it is, which could hold anything.
        reader.wrong(error.span().unwrap_or_default(), error.message())
    })?;
    if raw.key.is_empty() {
        let message = "there is no [[key]]; `unruffled keys new NAME` makes one";
        return Err(SetupError::invalid(place, message));
    }
    if raw.key.len() > KEYS {
        let message = format!("there are {} keys; there may be {KEYS}", raw.key.len());
        return Err(SetupError::invalid(place, message));
    }
    let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
    let mut grants = Vec::with_capacity(raw.key.len());
    for key in raw.key {
        let key = key.into_inner();
        let (name_span, hash_span) = (key.name.span(), key.hash.span());
        let grant = reader.grant(key)?;
        if !names.insert(Arc::clone(grant.name())) {
            return Err(reader.wrong(name_span, format!("there are two keys of the name `{}`", grant.name())));
        }
        if !hashes.insert(grant.hash.clone()) {
            let message = format!("key `{}` has the hash of another one", grant.name());
            return Err(reader.wrong(hash_span, message));
        }
        grants.push(Arc::new(grant));
    }
    Ok(grants)
}

struct Reader<'a> {
    text: &'a str,
    place: &'a str,
}

impl Reader<'_> {
    fn grant(&self, raw: RawKey) -> Result<Grant, SetupError> {
        let name = raw.name.get_ref();
        if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
            let message = format!("a key's name has 1 to {NAME_BYTES} bytes and no control characters");
            return Err(self.wrong(raw.name.span(), message));
        }
        let hash = Hash::parse(raw.hash.get_ref()).ok_or_else(|| {
            // Not repeated: it may be the key itself.
            let message = format!(
                "the `hash` of key `{name}` is not `sha256:` and 64 hexadecimal digits; `unruffled keys new` prints one"
            );
            self.wrong(raw.hash.span(), message)
        })?;
        let mut infer = Vec::with_capacity(raw.infer.len());
        for pattern in raw.infer {
            if pattern.get_ref().is_empty() {
                let message = format!("key `{name}` has an empty name in `infer`; \"*\" is every model");
                return Err(self.wrong(pattern.span(), message));
            }
            infer.push(Pattern::new(pattern.get_ref()));
        }
        Ok(Grant {
            hash,
            infer,
            metrics: raw.metrics,
            admin: raw.admin,
            limits: ClientLimits {
                rate: self.rate(name, raw.rate, raw.burst)?,
                concurrency: raw.concurrency,
            },
            caller: Caller::new(name.as_str()).with_weight(raw.weight.map_or(1, NonZeroU32::get)),
        })
    }

    fn rate(
        &self,
        name: &str,
        rate: Option<Spanned<String>>,
        burst: Option<Spanned<NonZeroU32>>,
    ) -> Result<Option<RateLimit>, SetupError> {
        let Some(rate) = rate else {
            return match burst {
                Some(burst) => {
                    let message = format!("key `{name}` has a `burst` without a `rate`");
                    Err(self.wrong(burst.span(), message))
                }
                None => Ok(None),
            };
        };
        let limit: RateLimit = rate.get_ref().parse().map_err(|error| {
            let message = format!("key `{name}` has the rate `{}`: {error}", rate.get_ref());
            self.wrong(rate.span(), message)
        })?;
        Ok(Some(burst.map_or(limit, |burst| limit.with_burst(burst.into_inner()))))
    }

    /// An error in the line where this begins.
    fn wrong(&self, span: Range<usize>, message: impl Into<String>) -> SetupError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        SetupError::invalid(format!("{}:{line}", self.place), message)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    /// Lines below the name and the hash of a key.
    #[track_caller]
    fn check(lines: &str, expected: &str) {
        check_text(&format!("[[key]]\nname = \"a\"\nhash = \"{HASH}\"\n{lines}\n"), expected);
    }

    #[track_caller]
    fn check_text(text: &str, expected: &str) {
        let error = parse(text, "keys.toml").err().expect("it is wrong").to_string();
        assert!(error.starts_with(expected), "`{error}` does not begin with `{expected}`");
    }

    #[test]
    fn mistakes_name_their_line() {
        check("infr = [\"m\"]", "keys.toml:4: unknown field `infr`");
        check("infer = \"m\"", "keys.toml:4: invalid type: string");
        check("infer = [\n  \"m\",\n  \"\"]", "keys.toml:6: key `a` has an empty name in `infer`");
        check("rate = \"fast\"", "keys.toml:4: key `a` has the rate `fast`: expected requests in");
        check("burst = 3", "keys.toml:4: key `a` has a `burst` without a `rate`");
        check("weight = 0", "keys.toml:4: invalid value: integer `0`");
        check("admin = yes", "keys.toml:4: ");
        check_text("", "keys.toml: there is no [[key]]");
        check_text("[[key]]\nname = \"a\"\n", "keys.toml:1: missing field `hash`");
        check_text("[[key]]\n\nname = \"\"\nhash = \"\"", "keys.toml:3: a key's name has");
        let again = format!("[[key]]\nname = \"a\"\nhash = \"{HASH}\"");
        check(&again, "keys.toml:5: there are two keys of the name `a`");
        check(&again.replace("\"a\"", "\"b\""), "keys.toml:6: key `b` has the hash of another one");
    }

    #[test]
    fn what_may_be_a_key_is_not_repeated() {
        let text = "[[key]]\nname = \"a\"\nhash = \"unr_secret\"\n";
        let error = parse(text, "keys.toml").err().expect("it is wrong").to_string();
        assert!(
            error.starts_with("keys.toml:3: the `hash` of key `a`") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn models_are_named_or_matched() {
        let text =
            format!("[[key]]\nname = \"a\"\nhash = \"{HASH}\"\ninfer = [\"digits\", \"ocr-*\", \"a?c\"]");
        let grant = parse(&text, "keys.toml").unwrap().remove(0);
        for model in ["digits", "ocr-", "ocr-page", "a?c"] {
            assert!(grant.may_infer(model), "{model}");
        }
        for model in ["digit", "digits2", "ocr", "my-ocr-page", "abc", "", "Digits"] {
            assert!(!grant.may_infer(model), "{model}");
        }
    }
}
