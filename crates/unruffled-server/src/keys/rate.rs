//! [`RateLimit`]: how often a client may ask.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// The longest time in which requests are counted.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// So many requests in so long, spread evenly; and so many at once after a rest.
///
/// ```
/// use unruffled_server::RateLimit;
///
/// let limit: RateLimit = "600/m".parse()?;
/// assert_eq!(limit.to_string(), "1 request each 100ms, 600 at once");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    interval: Duration,
    burst: NonZeroU32,
}

impl RateLimit {
    /// So many requests in this time, and as many at once. Between a nanosecond and a day lie between two requests.
    pub fn new(requests: NonZeroU32, time: Duration) -> Self {
        let interval = (time / requests.get()).clamp(Duration::from_nanos(1), LONGEST);
        Self { interval, burst: requests }
    }

    /// So many at once instead.
    #[must_use]
    pub fn with_burst(mut self, burst: NonZeroU32) -> Self {
        self.burst = burst;
        self
    }

    /// How long it takes until there is room for one more.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// After this long without a request, everything is as if there had been none.
    pub(crate) fn memory(&self) -> Duration {
        self.interval.saturating_mul(self.burst.get())
    }
}

impl FromStr for RateLimit {
    type Err = String;

    /// Reads `50/s`, `600/m` or `1000/h`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(requests, unit)| {
            let seconds = match unit.trim() {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            Some(Self::new(requests.trim().parse().ok()?, Duration::from_secs(seconds)))
        });
        parsed
            .ok_or_else(|| "expected requests in a second, a minute or an hour: 50/s, 600/m or 1000/h".into())
    }
}

impl std::fmt::Display for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1 request each {:?}, {} at once", self.interval, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RateLimit;

    #[test]
    fn rates_have_a_unit() {
        let read = |text: &str| text.parse::<RateLimit>().map(|rate| (rate.interval(), rate.burst().get()));
        assert_eq!(read("50/s"), Ok((Duration::from_millis(20), 50)));
        assert_eq!(read("1/h"), Ok((Duration::from_secs(3600), 1)));
        assert_eq!(read(" 2 / m"), Ok((Duration::from_secs(30), 2)));
        for bad in ["", "50", "0/s", "-1/s", "1/day", "1.5/s", "/s"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
