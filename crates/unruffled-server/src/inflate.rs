//! [`Coding`]: compressed messages, inflated within bounds.

use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::budget::Part;
use crate::refusal::Refusal;

/// How many bytes are inflated before the bounds are looked at again.
const STEP_BYTES: usize = 64 << 10;

/// The largest window that is kept of what was inflated, as a power of two: 8 MiB, what every sender may expect.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a message is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// In the form of zlib, whatever the name says.
    Deflate,
    Zstd,
}

impl Coding {
    /// The names of all, as headers list them.
    pub(crate) const NAMES: &str = "gzip, deflate, zstd";

    /// The coding of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// What `bytes` were before they were compressed: no more than `limit`, each counted in `part` before the next is made,
    /// beside what it holds of the compressed ones.
    pub(crate) fn inflate(self, bytes: &[u8], limit: usize, part: &mut Part) -> Result<Vec<u8>, Refusal> {
        let broken =
            |error: &io::Error| Refusal::bad_request(format!("the message cannot be inflated: {error}"));
        let mut inflated = Vec::new();
        let mut source: Box<dyn Read + '_> = match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Self::Deflate => Box::new(ZlibDecoder::new(bytes)),
            Self::Zstd => {
                let mut source =
                    zstd::stream::read::Decoder::with_buffer(bytes).map_err(|error| broken(&error))?;
                source.window_log_max(ZSTD_WINDOW_LOG).map_err(|error| broken(&error))?;
                Box::new(source)
            }
        };
        loop {
            let step = STEP_BYTES.min(limit + 1 - inflated.len());
            part.grow_to(bytes.len() + inflated.len() + step)?;
            let read = source.by_ref().take(step as u64).read_to_end(&mut inflated);
            match read.map_err(|error| broken(&error))? {
                0 => return Ok(inflated),
                _ if inflated.len() > limit => return Err(Refusal::too_large(None, limit)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use axum::http::StatusCode;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::Coding;
    use crate::budget::Budget;

    const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Deflate, Coding::Zstd];

    fn compressed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::default());
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
            Coding::Deflate => {
                let mut writer = ZlibEncoder::new(Vec::new(), Compression::default());
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
            Coding::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        }
    }

    #[test]
    fn comes_back_as_it_was_and_is_counted() {
        for coding in CODINGS {
            let budget = Budget::new(1 << 20);
            for bytes in [&b""[..], b"a", &[7; 200_000]] {
                let mut part = budget.part();
                let inflated = coding.inflate(&compressed(coding, bytes), 200_000, &mut part);
                assert!(inflated.is_ok_and(|inflated| inflated == bytes), "{coding:?}");
                assert!(budget.part().grow_to((1 << 20) - bytes.len()).is_err());
            }
        }
    }

    #[test]
    fn bombs_are_stopped() {
        for coding in CODINGS {
            let bomb = compressed(coding, &vec![0; 10 << 20]);
            let refusal = coding.inflate(&bomb, 1 << 20, &mut Budget::new(4 << 20).part()).unwrap_err();
            assert_eq!(refusal.into_parts().0, StatusCode::PAYLOAD_TOO_LARGE, "{coding:?}");
            let refusal = coding.inflate(&bomb, 64 << 20, &mut Budget::new(1 << 20).part()).unwrap_err();
            assert_eq!(refusal.into_parts().0, StatusCode::SERVICE_UNAVAILABLE, "{coding:?}");
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        for coding in CODINGS {
            let mut cut = compressed(coding, &[7; 1000]);
            cut.truncate(cut.len() - 3);
            for broken in [&cut[..], b"nonsense"] {
                let refusal = coding.inflate(broken, 10_000, &mut Budget::new(1 << 20).part()).unwrap_err();
                assert_eq!(refusal.into_parts().0, StatusCode::BAD_REQUEST, "{coding:?}");
            }
        }
    }
}
