//! [`survey`]: counts what a message holds, before it is decoded.

use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;

/// Checks that a request holds no more inputs, outputs and parameters than it may.
///
/// Two bytes are enough for an input that says nothing, and it takes some hundred once it is decoded: a message is looked
/// through first, which keeps nothing.
///
/// # Errors
///
/// `LimitExceeded` if there are too many of something, `Malformed` if this is no message.
pub(crate) fn survey(message: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
    let mut counts = [
        Count { field: 4, what: "parameters", given: 0, most: limits.parameters },
        Count { field: 5, what: "inputs", given: 0, most: limits.tensors },
        Count { field: 6, what: "outputs", given: 0, most: limits.requested_outputs },
        Count { field: 7, what: "raw_input_contents", given: 0, most: limits.tensors },
    ];
    let mut rest = message;
    while !rest.is_empty() {
        let field = skip_field(&mut rest).ok_or_else(|| {
            let at = message.len() - rest.len();
            let message =
                format!("the message is no request of inference: it ends or breaks off behind byte {at}");
            ProtocolError::new(ProtocolErrorKind::Malformed, message)
        })?;
        if let Some(count) = counts.iter_mut().find(|count| count.field == field) {
            count.given += 1;
        }
    }
    match counts.iter().find(|count| count.given > count.most) {
        Some(Count { what, given, most, .. }) => {
            let message = format!("`{what}` has {given} items; at most {most} are allowed");
            Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message))
        }
        None => Ok(()),
    }
}

/// How often a field occurs.
struct Count {
    field: u64,
    what: &'static str,
    given: usize,
    most: usize,
}

/// Passes one field over and tells its number.
fn skip_field(rest: &mut &[u8]) -> Option<u64> {
    let key = varint(rest)?;
    let length = match key & 7 {
        0 => return varint(rest).map(|_| key >> 3),
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        // Groups, which no message here has.
        _ => return None,
    };
    *rest = rest.get(length..)?;
    Some(key >> 3)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::survey;
    use crate::limits::Limits;

    #[track_caller]
    fn check(message: &[u8], expected: Result<(), &str>) {
        let limits = Limits { tensors: 2, requested_outputs: 1, parameters: 1, ..Limits::default() };
        let surveyed = survey(message, &limits).map_err(|error| error.to_string());
        assert_eq!(surveyed.as_ref().map_err(String::as_str).copied(), expected);
    }

    #[test]
    fn counts_without_keeping() {
        check(&[], Ok(()));
        check(&[0x2a, 0, 0x2a, 0, 0x32, 0, 0x22, 0, 0x3a, 0, 0x3a, 0], Ok(()));
        check(&[0x2a, 0, 0x2a, 0, 0x2a, 0], Err("`inputs` has 3 items; at most 2 are allowed"));
        check(&[0x32, 0, 0x32, 0], Err("`outputs` has 2 items; at most 1 are allowed"));
        check(&[0x22, 0, 0x22, 0], Err("`parameters` has 2 items; at most 1 are allowed"));
        check(&[0x3a, 0].repeat(3), Err("`raw_input_contents` has 3 items; at most 2 are allowed"));
    }

    #[test]
    fn passes_over_what_it_does_not_know() {
        check(&[0x78, 0xff, 1, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7d, 1, 2, 3, 4, 0x7a, 1, 9], Ok(()));
    }

    #[test]
    fn finds_where_a_message_breaks_off() {
        let broken =
            |at| format!("the message is no request of inference: it ends or breaks off behind byte {at}");
        check(&[0x2a, 5, 1], Err(&broken(2)));
        check(&[0x2a, 0, 0x2b], Err(&broken(3)));
        check(&[0xff; 11], Err(&broken(0)));
        check(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Err(&broken(11)));
    }
}
