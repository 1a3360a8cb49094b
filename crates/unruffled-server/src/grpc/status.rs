//! Refusals as gRPC tells them.

use axum::http::{HeaderMap, StatusCode};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::refusal::Refusal;

/// The code of each status. What the client got wrong is never `INTERNAL`.
pub(super) fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 | 504 => Code::DeadlineExceeded,
        413 | 429 => Code::ResourceExhausted,
        405 | 501 => Code::Unimplemented,
        499 => Code::Cancelled,
        503 => Code::Unavailable,
        400..=499 => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

/// The same refusal as a status; when to try again is in its metadata.
pub(super) fn status(refusal: Refusal) -> Status {
    let (status, message, headers) = refusal.into_parts();
    let metadata: HeaderMap = headers.into_iter().collect();
    Status::with_metadata(code_of(status), message, MetadataMap::from_headers(metadata))
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use unruffled_engine::{Error, ErrorKind};

    use super::{code_of, status};
    use crate::refusal::{Refusal, status_of};

    #[test]
    fn every_kind_has_its_code() {
        let expected = [
            (ErrorKind::InvalidInput, Code::InvalidArgument),
            (ErrorKind::NotFound, Code::NotFound),
            (ErrorKind::NotReady, Code::Unavailable),
            (ErrorKind::Overloaded, Code::Unavailable),
            (ErrorKind::DeadlineExceeded, Code::DeadlineExceeded),
            (ErrorKind::Cancelled, Code::Cancelled),
            (ErrorKind::ModelFailed, Code::Internal),
            (ErrorKind::ModelCrashed, Code::Internal),
            (ErrorKind::ShuttingDown, Code::Unavailable),
        ];
        let mapped: Vec<_> = ErrorKind::ALL.iter().map(|&kind| (kind, code_of(status_of(kind)))).collect();
        assert_eq!(mapped, expected, "a new kind needs a line in the map");
    }

    #[test]
    fn when_to_try_again_is_told() {
        let full = status(Refusal::from(Error::new(ErrorKind::Overloaded, "full")));
        assert_eq!((full.code(), full.message()), (Code::Unavailable, "full"));
        assert!(full.metadata().contains_key("retry-after"));
        assert_eq!(status(Refusal::too_large(None, 7)).code(), Code::ResourceExhausted);
    }
}
