//! [`Coding`]: bodies that are compressed on the wire.

use std::io::{self, Read, Write as _};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use flate2::Compression;

use crate::budget::Part;
use crate::refusal::Refusal;

/// The codings that are understood, as the header that offers them has it.
pub(crate) const OFFERED: HeaderValue = HeaderValue::from_static("gzip, deflate, zstd");

/// Answers below this size are sent as they are: compressing them costs more than it saves.
const WORTH_BYTES: usize = 1 << 10;

/// How much of a body is expanded before it is looked at whether it may grow further.
const STEP_BYTES: usize = 64 << 10;

/// The largest window of zstd, as a power of two: 8 MiB, which every sender may expect. It is memory that nobody counts.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    /// In the format of zlib, as HTTP has it.
    Deflate,
    Zstd,
}

impl Coding {
    /// How the body of a request is compressed.
    pub(crate) fn given(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut codings =
            headers.get_all(header::CONTENT_ENCODING).iter().filter(|coding| !coding.is_empty());
        let (first, more) = (codings.next(), codings.next());
        let coding = match first.map(HeaderValue::as_bytes) {
            None => Some(Coding::Identity),
            Some(name) => Coding::named(name),
        };
        match (coding, more) {
            (Some(coding), None) => Ok(coding),
            (_, more) => {
                let shown: String = more.or(first).map_or_else(String::new, |coding| {
                    String::from_utf8_lossy(coding.as_bytes()).chars().take(80).collect()
                });
                let message = format!(
                    "content encoding `{shown}` is not supported; use one of gzip, deflate and zstd, or none"
                );
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
                    .with(header::ACCEPT_ENCODING, OFFERED))
            }
        }
    }

    /// How the client wants an answer of so many bytes: the first that it names of those that are known here, unless it
    /// says that it takes none of it.
    pub(crate) fn wanted(headers: &HeaderMap, bytes: usize) -> Self {
        if bytes < WORTH_BYTES {
            return Coding::Identity;
        }
        let accepted =
            headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let wishes = accepted.flat_map(|value| value.split(','));
        let wanted = wishes.filter_map(|wish| {
            let mut parts = wish.split(';').map(str::trim);
            let coding = Coding::named(parts.next()?.as_bytes())?;
            let refused =
                parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0)));
            (!refused).then_some(coding)
        });
        wanted.into_iter().next().unwrap_or(Coding::Identity)
    }

    /// The coding of this name, in any case.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let known = [
            (&b"identity"[..], Coding::Identity),
            (b"gzip", Coding::Gzip),
            (b"x-gzip", Coding::Gzip),
            (b"deflate", Coding::Deflate),
            (b"zstd", Coding::Zstd),
        ];
        known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, coding)| coding)
    }

    /// What the header of an answer says, if it is compressed.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Deflate => Some("deflate"),
            Coding::Zstd => Some("zstd"),
        }
    }

    /// Expands a body. What comes out is bounded by `limit` and counted in `part` while it grows, whatever went in.
    pub(crate) fn expand(self, body: Bytes, limit: usize, part: &mut Part) -> Result<Bytes, Refusal> {
        match self {
            Coding::Identity => Ok(body),
            Coding::Gzip => read(flate2::bufread::MultiGzDecoder::new(&*body), &body, limit, part),
            Coding::Deflate => read(flate2::bufread::ZlibDecoder::new(&*body), &body, limit, part),
            Coding::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(&*body).map_err(|error| unreadable(&error))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|error| unreadable(&error))?;
                read(decoder, &body, limit, part)
            }
        }
    }

    /// Compresses an answer, quickly rather than well.
    pub(crate) fn compress(self, body: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Coding::Identity => Ok(body),
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body)?;
                encoder.finish()
            }
            Coding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body)?;
                encoder.finish()
            }
            Coding::Zstd => zstd::stream::encode_all(&*body, 1),
        }
    }
}

fn read(mut decoder: impl Read, body: &Bytes, limit: usize, part: &mut Part) -> Result<Bytes, Refusal> {
    let mut expanded = Vec::new();
    loop {
        part.grow_to(body.len() + expanded.len() + STEP_BYTES)?;
        let step = decoder.by_ref().take(STEP_BYTES as u64).read_to_end(&mut expanded);
        if expanded.len() > limit {
            return Err(Refusal::expands_too_much(limit));
        }
        match step {
            Ok(0) => return Ok(expanded.into()),
            Ok(_) => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
}

fn unreadable(error: &io::Error) -> Refusal {
    Refusal::bad_request(format!("the body is not in the encoding that its header names: {error}"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use bytes::Bytes;

    use super::Coding;
    use crate::budget::Budget;

    const ALL: [Coding; 4] = [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Zstd];

    #[test]
    fn what_is_compressed_comes_out_again() {
        let text = "0.25,".repeat(50_000);
        for coding in ALL {
            let body = coding.compress(text.clone().into()).unwrap();
            assert!(coding == Coding::Identity || body.len() < 5_000, "{coding:?}");
            let expanded = coding.expand(body.into(), 1 << 20, &mut Budget::new(1 << 20).part()).unwrap();
            assert_eq!(expanded, text.as_bytes(), "{coding:?}");
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        for coding in &ALL[1..] {
            let bomb: Bytes = coding.compress(vec![0; 8 << 20]).unwrap().into();
            let over = coding.expand(bomb.clone(), 1 << 20, &mut Budget::new(64 << 20).part());
            let message = over.unwrap_err().message().to_owned();
            assert!(message.contains("expands to more than 1048576 bytes"), "{message}");
            let budget = Budget::new(1 << 20);
            let full = coding.expand(bomb, 64 << 20, &mut budget.part());
            assert!(full.unwrap_err().message().contains("the server is full"));
            assert!(budget.part().grow_to(1 << 20).is_ok(), "what was refused is given back");
        }
    }

    #[test]
    fn garbage_and_cut_bodies_are_refused() {
        for coding in &ALL[1..] {
            let whole = coding.compress(b"some text that is long enough to be cut".repeat(9)).unwrap();
            for bad in [b"garbage".to_vec(), whole[..whole.len() - 3].to_vec()] {
                let refused = coding.expand(bad.into(), 1 << 20, &mut Budget::new(1 << 20).part());
                assert!(refused.unwrap_err().message().contains("encoding"), "{coding:?}");
            }
        }
    }

    #[test]
    fn headers_name_the_coding() {
        let headers = |name, values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, HeaderValue::from_static(value));
            }
            headers
        };
        let given = |values: &[&'static str]| {
            Coding::given(&headers(header::CONTENT_ENCODING, values))
                .map_err(|refusal| refusal.message().to_owned())
        };
        assert_eq!(given(&[]), Ok(Coding::Identity));
        assert_eq!(given(&["", "GZip"]), Ok(Coding::Gzip));
        assert_eq!(given(&["deflate"]), Ok(Coding::Deflate));
        assert!(given(&["br"]).unwrap_err().contains("`br`"));
        assert!(given(&["gzip", "gzip"]).is_err() && given(&["gzip, gzip"]).is_err());

        let wanted = |value| Coding::wanted(&headers(header::ACCEPT_ENCODING, &[value]), 1 << 20);
        assert_eq!(wanted("gzip, deflate, br"), Coding::Gzip);
        assert_eq!(wanted("br, zstd;q=0.5, gzip"), Coding::Zstd);
        assert_eq!(wanted("gzip;q=0, deflate"), Coding::Deflate);
        assert_eq!(wanted("br"), Coding::Identity);
        assert_eq!(Coding::wanted(&headers(header::ACCEPT_ENCODING, &["gzip"]), 100), Coding::Identity);
        assert_eq!(Coding::wanted(&HeaderMap::new(), 1 << 20), Coding::Identity);
    }
}
