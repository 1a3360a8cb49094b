//! Values as people write them: addresses, amounts, times, rates. The same text is taken from a flag, a variable and a file.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serializer;
use serde::de::{Deserializer, Error, Visitor};
use unruffled_server::RateLimit;

/// A value that is a text, or a plain number.
pub(super) trait Spelled: FromStr<Err = String> {
    /// What is expected, with an example.
    const EXPECTED: &'static str;
}

/// Reads a value from a text or a number.
pub(super) fn read<'de, T: Spelled, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    struct Reader<T>(PhantomData<T>);

    impl<T: Spelled> Visitor<'_> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::EXPECTED)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(|error| {
                let shown: String = text.chars().take(80).collect();
                E::custom(format_args!("is `{shown}`; {error}"))
            })
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    from.deserialize_any(Reader(PhantomData))
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn as_number<S: Serializer>(part: &Part, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(part.0)
}

/// Makes a type that is read from a text, a number or both.
macro_rules! spelled {
    ($($(#[$doc:meta])* $name:ident($inner:ty): $kinds:expr, $write:path, $expected:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name(pub(crate) $inner);

        impl Spelled for $name {
            const EXPECTED: &'static str = $expected;
        }

        impl serde::Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $write(self, to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read(from)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": $kinds })
            }
        }
    )+};
}

spelled! {
    /// Where to listen.
    Address(SocketAddr): "string", as_text, "an address and a port, such as 127.0.0.1:8000 or 0.0.0.0:8000";
    /// Where else to listen, if anywhere.
    OtherAddress(Option<SocketAddr>): "string", as_text, "an address and a port, such as 127.0.0.1:8001, or none";
    /// Bytes.
    Amount(usize): ["string", "integer"], as_text, "an amount such as 2GiB, 500MB or 1073741824";
    /// How long.
    Time(Duration): ["string", "number"], as_text, "a time such as 250ms, 30s or 2m";
    /// A part of a whole.
    Part(f64): "number", as_number, "a part from 0 to 1, such as 0.1";
    /// How often.
    Rate(String): "string", as_text, "a rate such as 50/s, 600/m or 1000/h";
    /// An origin of pages.
    Origin(String): "string", as_text,
        "an origin without a path, such as https://app.example or tauri://localhost, or *";
}

fn expected<T: Spelled>() -> String {
    format!("expected {}", T::EXPECTED)
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.replace("localhost", "127.0.0.1").parse().map(Self).map_err(|_| expected::<Self>())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OtherAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            text => text
                .parse()
                .map(|Address(address)| Self(Some(address)))
                .map_err(|_: String| expected::<Self>()),
        }
    }
}

impl fmt::Display for OtherAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

const BINARY_UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const DECIMAL_UNITS: [(&str, u64); 5] =
    [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1), ("", 1)];

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = BINARY_UNITS.iter().chain(&DECIMAL_UNITS).find_map(|(unit, bytes)| {
            let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            let all = number * *bytes as f64;
            (all >= 1.0 && all < usize::MAX as f64).then_some(all as usize)
        });
        parsed.map(Self).ok_or_else(expected::<Self>)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        match BINARY_UNITS.iter().find(|(_, unit)| bytes.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", bytes / unit),
            None => bytes.fmt(f),
        }
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text, 1.0).map(Self)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
        let seconds = self.0.as_secs();
        let fits = |(_, unit): &&(&str, u64)| self.0.subsec_nanos() == 0 && seconds.is_multiple_of(*unit);
        match units.iter().find(fits) {
            Some(_) if seconds == 0 => f.write_str("0s"),
            Some((name, unit)) => write!(f, "{}{name}", seconds / unit),
            None => write!(f, "{}ms", self.0.as_secs_f64() * 1e3),
        }
    }
}

/// A time with its unit, or in units of so many seconds.
pub(crate) fn duration(text: &str, plain: f64) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0), ("", plain)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed.ok_or_else(expected::<Time>)
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
        part.map(Self).ok_or_else(expected::<Self>)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<RateLimit>().map(|_| Self(text.to_owned()))
    }
}

impl Rate {
    pub(crate) fn limit(&self) -> RateLimit {
        self.0.parse().expect("it was read before")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic() && c != '/')
        });
        (text == "*" || is_origin).then(|| Self(text.to_owned())).ok_or_else(expected::<Self>)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Address, Amount, Origin, OtherAddress, Part, Rate, Time, duration};

    /// What is read from a text, and written again.
    fn again<T: std::str::FromStr + std::fmt::Display>(text: &str) -> Option<String> {
        text.parse::<T>().ok().map(|value| value.to_string())
    }

    #[test]
    fn amounts_may_have_units() {
        let bytes = |text: &str| text.parse().map(|Amount(bytes)| bytes);
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("1.5 MB"), Ok(1_500_000));
        assert_eq!(bytes("1073741824"), Ok(1 << 30));
        assert!(bytes("much").is_err() && bytes("-1MB").is_err() && bytes("0").is_err());
        assert_eq!(again::<Amount>("1024MiB").as_deref(), Some("1GiB"));
        assert_eq!(again::<Amount>("1001").as_deref(), Some("1001"));
    }

    #[test]
    fn times_may_have_units() {
        let seconds = |text: &str| text.parse().map(|Time(time)| time);
        assert_eq!(duration("250", 1e-3), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2s", 1e-3), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("30"), Ok(Duration::from_secs(30)));
        assert_eq!(seconds("0.5 m"), Ok(Duration::from_secs(30)));
        assert_eq!(seconds("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert!(seconds("soon").is_err() && seconds("-1s").is_err());
        assert_eq!(again::<Time>("120s").as_deref(), Some("2m"));
        assert_eq!(again::<Time>("0").as_deref(), Some("0s"));
        assert_eq!(again::<Time>("1.5s").as_deref(), Some("1500ms"));
    }

    #[test]
    fn addresses_have_a_port() {
        assert_eq!(again::<Address>("localhost:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(again::<OtherAddress>("none").as_deref(), Some("none"));
        assert_eq!(again::<Address>("none"), None);
        assert_eq!(again::<OtherAddress>("8001"), None);
    }

    #[test]
    fn parts_and_rates_are_bounded() {
        assert_eq!(again::<Part>("0.25").as_deref(), Some("0.25"));
        assert_eq!([again::<Part>("2"), again::<Part>("-1"), again::<Part>("NaN")], [None, None, None]);
        assert_eq!(again::<Rate>("50/s").as_deref(), Some("50/s"));
        assert_eq!(again::<Rate>("often"), None);
    }

    #[test]
    fn origins_have_no_path() {
        for good in ["*", "https://app.example", "http://localhost:3000", "tauri://localhost"] {
            assert_eq!(again::<Origin>(good).as_deref(), Some(good));
        }
        for bad in
            ["", "app.example", "https://", "https://app.example/", "https://app.example/x", "https://a b"]
        {
            assert_eq!(again::<Origin>(bad), None, "{bad}");
        }
    }
}
