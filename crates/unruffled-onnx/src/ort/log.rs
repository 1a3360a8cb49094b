//! What ONNX Runtime logs becomes events of `tracing`, each text once and then counted.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ort::logging::{LogLevel, LoggerFunction};

/// Texts that are told apart; beyond these, every event counts as of one text.
const TEXTS_MAX: usize = 1024;

/// The function that ONNX Runtime hands its log to.
pub(super) fn logger() -> LoggerFunction {
    let seen = Mutex::new(Seen::default());
    Arc::new(move |level, category, _, location, message| {
        let count = seen.lock().unwrap_or_else(PoisonError::into_inner).count(message);
        if is_told(count) {
            tell(level, category, location, message.trim_end(), count);
        }
    })
}

/// How often each text was logged.
#[derive(Default)]
struct Seen(HashMap<u64, u64>);

impl Seen {
    /// Counts a text, and says how often it has been seen. Texts that differ in numbers only are one.
    fn count(&mut self, message: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        message
            .split(|c: char| c.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .for_each(|part| part.hash(&mut hasher));
        let text = hasher.finish();
        let full = self.0.len() >= TEXTS_MAX && !self.0.contains_key(&text);
        let count = self.0.entry(if full { 0 } else { text }).or_insert(0);
        *count += 1;
        *count
    }
}

/// The first of a text is told, then the tenth, the hundredth and so on.
fn is_told(count: u64) -> bool {
    count.checked_ilog10().is_some_and(|digits| count == 10_u64.pow(digits))
}

fn tell(level: LogLevel, category: &str, location: &str, message: &str, count: u64) {
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(target: "onnxruntime", category, location, count, "{message}")
        };
    }
    // Somebody asked for it: no failure.
    let is_cancellation = message.contains("terminate flag");
    match level {
        _ if is_cancellation => event!(debug),
        LogLevel::Verbose => event!(trace),
        LogLevel::Info => event!(debug),
        LogLevel::Warning => event!(warn),
        LogLevel::Error | LogLevel::Fatal => event!(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Seen, TEXTS_MAX, is_told};

    #[test]
    fn a_text_is_told_ever_more_rarely() {
        let told: Vec<u64> = (0..2000).filter(|&count| is_told(count)).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
    }

    #[test]
    fn numbers_make_no_other_text() {
        let mut seen = Seen::default();
        let counts = ["shape {1} is not {32}", "shape {1} is not {7}", "shape {} is no shape"]
            .map(|text| seen.count(text));
        assert_eq!(counts, [1, 2, 1]);
    }

    #[test]
    fn the_memory_of_texts_is_bounded() {
        let mut seen = Seen::default();
        let text = |i: u32| char::from_u32(0x4e00 + i).unwrap().to_string();
        for i in 0..TEXTS_MAX as u32 {
            assert_eq!(seen.count(&text(i)), 1);
        }
        let over = [seen.count("one more"), seen.count("and another"), seen.count(&text(0))];
        assert_eq!(over, [1, 2, 2]);
        assert_eq!(seen.0.len(), TEXTS_MAX + 1);
    }
}
