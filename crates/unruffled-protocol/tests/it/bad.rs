//! Requests that are refused, each with its exact message.

use unruffled_protocol::ProtocolErrorKind::{self, LimitExceeded};
use unruffled_protocol::{InferRequest, Limits, Place, ProtocolError};

const DOCUMENTS: &str = include_str!("bad_documents.txt");

#[track_caller]
fn refused(body: &str) -> ProtocolError {
    match InferRequest::from_json(body.as_bytes(), &Limits::default()) {
        Ok(request) => panic!("{body} was read: {request:?}"),
        Err(error) => error,
    }
}

/// Lists all documents that are not refused as the table says, so that one run shows everything.
#[test]
fn documents_are_refused() {
    let (mut document, mut count, mut wrong) = ("", 0, String::new());
    for line in DOCUMENTS.lines().skip(1) {
        let Some(expected) = line.strip_prefix("    ") else {
            document = line;
            continue;
        };
        let error = refused(document);
        if format!("{:?}: {error}", error.kind()) != expected {
            wrong += &format!("{document}\n    {:?}: {error}\n", error.kind());
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "not refused as expected:\n{wrong}");
    assert!(count > 140, "only {count} documents were found");
}

#[test]
fn documents_of_no_line_or_many_are_refused() {
    let check = |body, message| assert_eq!(refused(body).to_string(), message);
    check("", "the body is not JSON: EOF while parsing a value, at line 1, column 0");
    check(
        "{\n \"inputs\": [\n  {\"name\" \"x\"}]}",
        "the body is not JSON: expected `:`, at line 3, column 11",
    );
    check(
        "{\"id\":\"a\tb\",\"inputs\":[]}",
        "the body is not JSON: control character (\\u0000-\\u001F) found while parsing a string, at line 1, column 8",
    );
}

#[track_caller]
fn check_long(body: &str, limits: &Limits, kind: ProtocolErrorKind, message: &str) {
    let error = InferRequest::from_json(body.as_bytes(), limits).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
}

#[test]
fn limits_hold() {
    let few = Limits { tensors: 2, requested_outputs: 1, parameters: 2, name_bytes: 8, rank: 3, nesting: 5 };
    let check = |body: &str, message: &str| check_long(body, &few, LimitExceeded, message);
    check(r#"{"inputs":[{},{},{},{}]}"#, "`inputs` has 4 items; at most 2 are allowed");
    check(
        r#"{"inputs":[],"outputs":[{"name":"a"},{"name":"b"}]}"#,
        "`outputs` has 2 items; at most 1 are allowed",
    );
    check(
        r#"{"parameters":{"a":1,"b":2,"c":3},"inputs":[]}"#,
        "`parameters` has 3 members; at most 2 are allowed",
    );
    check(
        r#"{"parameters":{"123456789":1},"inputs":[]}"#,
        "parameter `123456789` has a name of more than 8 bytes",
    );
    check(r#"{"id":"123456789","inputs":[]}"#, "`id` has 9 bytes; at most 8 are allowed");
    check(r#"{"inputs":[{"name":"123456789"}]}"#, "input 0: `name` has 9 bytes; at most 8 are allowed");
    check(
        r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[1,1,1,1],"data":[1]}]}"#,
        "input `x`: `shape` has 4 dimensions; at most 3 are allowed",
    );
    check(r#"{"x":[[[[[1]]]]],"inputs":[]}"#, "the body nests 6 levels deep; at most 5 are allowed");
}

#[test]
fn nesting_bombs_are_refused_before_they_are_parsed() {
    let deep = "[".repeat(1_000_000);
    for body in [
        deep.clone(),
        format!("{{\"unknown\":{deep}"),
        format!(r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"INT8","data":{deep}"#),
        "{\"a\":".repeat(1_000_000),
    ] {
        let error = refused(&body);
        assert_eq!(error.kind(), LimitExceeded);
        assert!(error.to_string().ends_with("levels deep; at most 100 are allowed"), "{error}");
    }
    let levels = |count: usize| format!(r#"{{"inputs":[],"a":{}{}}}"#, "[".repeat(count), "]".repeat(count));
    assert!(InferRequest::from_json(levels(99).as_bytes(), &Limits::default()).is_ok());
    assert!(InferRequest::from_json(levels(100).as_bytes(), &Limits::default()).is_err());
}

#[test]
fn bodies_that_are_no_text_are_refused() {
    let error = InferRequest::from_json(b"{\"id\":\"\xff\",\"inputs\":[]}", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "the body is not UTF-8 at byte 7; send JSON in UTF-8");
}

#[test]
fn messages_never_repeat_much() {
    let long = "z".repeat(1_000_000);
    let limits = Limits { name_bytes: usize::MAX, ..Limits::default() };
    for body in [
        format!(r#"{{"inputs":"{long}"}}"#),
        format!(r#"{{"id":{{"{long}":1}},"inputs":[]}}"#),
        format!(r#"{{"parameters":{{"{long}":[]}},"inputs":[]}}"#),
        format!(r#"{{"inputs":[{{"name":"{long}"}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"{long}","shape":[1],"data":[1]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"{long}","datatype":"INT8","shape":[1],"data":["{long}"]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"INT8","shape":"{long}","data":[1]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"INT8","shape":[1],"data":"{long}"}}]}}"#),
        format!(
            r#"{{"inputs":[{{"name":"x","datatype":"INT8","shape":[1{}],"data":[]}}]}}"#,
            ",0".repeat(1_000_000)
        ),
    ] {
        let error = InferRequest::from_json(body.as_bytes(), &limits).unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
        assert!(format!("{error:?}").len() < 600, "{error:?}");
    }
}

#[test]
fn the_place_is_known() {
    let place = |body| refused(body).place().cloned();
    assert_eq!(place(r#"{"inputs":[{"name":"x"}]}"#), Some(Place::Input("x".into())));
    assert_eq!(place(r#"{"inputs":[{}]}"#), Some(Place::InputAt(0)));
    assert_eq!(
        place(r#"{"inputs":[],"outputs":[{"name":"y","parameters":5}]}"#),
        Some(Place::Output("y".into()))
    );
    assert_eq!(place(r#"{"inputs":[],"outputs":[{}]}"#), Some(Place::OutputAt(0)));
    assert_eq!(place("{"), None);
}
