//! What a request asks for besides its inputs: by when, how urgently, and in whose place.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout_at;
use unruffled_engine::Priority;
use unruffled_model::{Name, TraceContext};
use unruffled_protocol::Parameters;

use crate::refusal::Refusal;

/// How long the client waits, in seconds; a fraction is fine, 0 is for ever.
const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");

/// The parameter that says the same as [`SUPERSEDE`], for requests without headers of their own.
pub(crate) const SUPERSEDE_PARAMETER: &str = "unruffled_supersede";

/// Names what a newer request takes the place of an older one for: a canvas, a search box.
const SUPERSEDE: HeaderName = HeaderName::from_static("x-unruffled-supersede");

/// The most bytes of such a name.
const SUPERSEDE_BYTES: usize = 256;

/// The instant by which the header wants the answer, if it does.
pub(crate) fn header_deadline(headers: &HeaderMap, arrived: Instant) -> Result<Option<Instant>, Refusal> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match timeout {
        Some(Duration::ZERO) => Ok(None),
        // Beyond what the clock can count is for ever.
        Some(timeout) => Ok(arrived.checked_add(timeout)),
        None => {
            let value = shown(value);
            let message = format!(
                "header `X-Request-Timeout` is `{value}`; expected seconds, such as 0.25, or 0 for none"
            );
            Err(Refusal::bad_request(message))
        }
    }
}

/// The name under which the header has older requests superseded, if it does.
pub(crate) fn supersede(headers: &HeaderMap) -> Result<Option<Name>, Refusal> {
    let Some(value) = headers.get(SUPERSEDE) else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= SUPERSEDE_BYTES);
    key.map(|key| Some(key.into())).ok_or_else(|| {
        Refusal::bad_request(format!(
            "header `X-Unruffled-Supersede` is `{}`; expected 1 to {SUPERSEDE_BYTES} visible ASCII characters, such \
             as a random name of the canvas or the search box",
            shown(value)
        ))
    })
}

/// The name under which the parameters have older requests superseded, if they do.
fn superseded(parameters: &Parameters) -> Result<Option<Name>, Refusal> {
    match parameters.text(SUPERSEDE_PARAMETER)? {
        Some(key) if key.is_empty() || key.len() > SUPERSEDE_BYTES => Err(Refusal::bad_request(format!(
            "parameter `{SUPERSEDE_PARAMETER}` has {} bytes; expected 1 to {SUPERSEDE_BYTES}, such as a random name of the \
             canvas or the search box",
            key.len()
        ))),
        key => Ok(key.map(Into::into)),
    }
}

/// What `work` gives, if it does before the deadline.
pub(crate) async fn in_time<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    match deadline {
        None => work.await,
        Some(deadline) => timeout_at(deadline.into(), work).await.unwrap_or_else(|_| Err(late())),
    }
}

pub(crate) fn late() -> Refusal {
    Refusal::late("the deadline passed before the request was read")
}

/// When and how urgently a request is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) arrived: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) priority: Priority,
    /// Older requests of this name are cancelled.
    pub(crate) supersede: Option<Name>,
    /// Where it stands in a trace.
    pub(crate) trace: Option<TraceContext>,
}

impl Terms {
    /// The terms of a request with these parameters; the earlier of the two deadlines counts. Both count from the
    /// arrival of the headers, so that the body's way is part of it.
    pub(crate) fn new(
        parameters: &Parameters,
        header_deadline: Option<Instant>,
        arrived: Instant,
    ) -> Result<Self, Refusal> {
        let own = parameters.timeout()?.and_then(|timeout| arrived.checked_add(timeout));
        Ok(Self {
            arrived,
            deadline: [own, header_deadline].into_iter().flatten().min(),
            priority: priority(parameters.priority()?),
            supersede: superseded(parameters)?,
            trace: None,
        })
    }

    /// Takes the place of older requests of this name, if any; otherwise of those that the parameters name.
    pub(crate) fn superseding(self, supersede: Option<Name>) -> Self {
        Self { supersede: supersede.or(self.supersede), ..self }
    }

    /// At this place in a trace, if at any.
    pub(crate) fn traced(self, trace: Option<&TraceContext>) -> Self {
        Self { trace: trace.cloned(), ..self }
    }
}

/// The protocol counts from 1, the most urgent, without an end; there are three classes here, and 2 is the usual one.
pub(crate) fn priority(given: Option<NonZeroU64>) -> Priority {
    match given.map(NonZeroU64::get) {
        Some(1) => Priority::Interactive,
        None | Some(0 | 2) => Priority::Normal,
        Some(3..) => Priority::Bulk,
    }
}

/// The beginning of a header's value.
fn shown(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use axum::http::{HeaderMap, HeaderValue};
    use unruffled_engine::Priority;
    use unruffled_protocol::Parameters;

    use super::{Terms, header_deadline, supersede};

    #[test]
    fn the_header_counts_seconds() {
        let arrived = Instant::now();
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("X-Request-Timeout", HeaderValue::from_static(text));
            header_deadline(&headers, arrived)
                .map(|deadline| deadline.map(|deadline| (deadline - arrived).as_millis()))
                .map_err(drop)
        };
        assert_eq!(read("0.25"), Ok(Some(250)));
        assert_eq!(read(" 3 "), Ok(Some(3000)));
        assert_eq!(read("0"), Ok(None));
        for bad in ["", "soon", "-1", "inf", "NaN", "1e300", "1 s"] {
            assert_eq!(read(bad), Err(()), "{bad}");
        }
    }

    #[test]
    fn a_name_to_supersede_is_short_and_visible() {
        let read = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("X-Unruffled-Supersede", HeaderValue::from_bytes(bytes).unwrap());
            supersede(&headers).map(|key| key.map(|key| key.to_string())).map_err(drop)
        };
        assert_eq!(read(b"canvas 1"), Ok(Some("canvas 1".to_owned())));
        assert!(read(&[b'x'; 256]).is_ok());
        assert_eq!([read(b""), read(&[b'x'; 257]), read(b"\xff")], [Err(()), Err(()), Err(())]);
        assert_eq!(supersede(&HeaderMap::new()).ok(), Some(None));
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let arrived = Instant::now();
        let after = |millis| arrived + Duration::from_millis(millis);
        let deadline = |timeout: i64, header| {
            let parameters = Parameters::new().with("timeout", timeout);
            Terms::new(&parameters, header, arrived).unwrap().deadline
        };
        assert_eq!(deadline(5000, None), Some(after(5)));
        assert_eq!(deadline(5000, Some(after(3))), Some(after(3)));
        assert_eq!(deadline(5000, Some(after(9))), Some(after(5)));
        assert_eq!(deadline(0, Some(after(9))), Some(after(9)));
        assert_eq!(deadline(0, None), None);
    }

    #[test]
    fn priorities_fall_into_three_classes() {
        let class = |priority: i64| {
            let parameters = Parameters::new().with("priority", priority);
            Terms::new(&parameters, None, Instant::now()).map(|terms| terms.priority).ok()
        };
        let classes = [0, 1, 2, 3, i64::MAX, -1].map(class);
        let expected = [
            Some(Priority::Normal),
            Some(Priority::Interactive),
            Some(Priority::Normal),
            Some(Priority::Bulk),
            Some(Priority::Bulk),
            None,
        ];
        assert_eq!(classes, expected);
    }
}
