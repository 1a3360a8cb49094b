//! Reading takes a bounded multiple of the body, whatever it holds.
//!
//! The kernel's count of this process's memory is the judge: `VmHWM`, pages in use at most, while each document is read,
//! and `VmPeak`, address space reserved at most, in the end. A process of its own, since other tests would count too.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use unruffled_model::Bytes;
use unruffled_protocol::{InferRequest, Limits, NoRegions, grpc};

const BODY: usize = 10_000_000;

/// Bytes of memory for each byte of the body. The worst is `"",`, three bytes for an element of 32 and its end of 8, which
/// makes 13.4; the rest is for what the allocator holds back.
const MOST: usize = 20;

/// Reads `before`, 10 MB of `piece`, `after`.
#[track_caller]
fn check(what: &str, before: &str, piece: &str, after: &str, start: usize) {
    let count = BODY / piece.len();
    let mut body = Vec::with_capacity(before.len() + BODY + after.len());
    body.extend_from_slice(before.as_bytes());
    (0..count).for_each(|_| body.extend_from_slice(piece.as_bytes()));
    body.extend_from_slice(after.as_bytes());
    check_read(what, start, body.len(), || InferRequest::from_json(&body, &Limits::default()).is_ok());
}

/// The same for a message of protocol buffers: 10 MB of `piece`, in a field of this number within an input if `within`.
#[track_caller]
fn check_grpc(what: &str, within: &[u8], piece: &[u8], start: usize) {
    let mut message = piece.repeat(BODY / piece.len());
    for field in within.iter().rev() {
        let mut outer = vec![field << 3 | 2];
        prost::encode_length_delimiter(message.len(), &mut outer).unwrap();
        outer.append(&mut message);
        message = outer;
    }
    let (message, limits) = (Bytes::from(message), Limits::default());
    let length = message.len();
    check_read(what, start, length, || {
        let read = grpc::read_request(message, &limits)
            .and_then(|read| InferRequest::from_grpc(read, &NoRegions, &limits));
        read.is_ok()
    });
}

/// Holds everything above `start`, but the body itself, against the body: also what was freed before and is used again.
#[track_caller]
fn check_read(what: &str, start: usize, body: usize, read: impl FnOnce() -> bool) {
    // Makes what is resident now the high-water mark.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let read = read();
    let grown = status("VmHWM").saturating_sub(start + body);
    println!("{what}: read {read}, {:.1} times the body", grown as f64 / BODY as f64);
    assert!(grown <= MOST * BODY, "{what} took {grown} bytes");
}

#[test]
fn ten_megabytes_of_anything_stay_small() {
    let (start, reserved) = (status("VmRSS"), status("VmPeak"));
    let tensor = |datatype: &str, shape: &str| {
        format!(r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":["#)
    };
    check("noise", "", "x]\u{7f}{,:\"\\", "", start);
    check("spaces", "", " ", "", start);
    check("brackets", "", "[", "", start);
    check("quotes", "", "\\\"", "", start);
    check("empty inputs", r#"{"inputs":["#, "{},", "{}]}", start);
    check("a name", r#"{"inputs":[{"name":""#, "z", r#""}]}"#, start);
    check(
        "a shape",
        r#"{"inputs":[{"name":"x","datatype":"INT8","data":[1],"shape":["#,
        "1,",
        "1]}]}",
        start,
    );
    check("parameters", r#"{"inputs":[],"parameters":{"#, r#""a":1,"#, r#""b":1}}"#, start);
    check("one text", &format!("{}\"", tensor("BYTES", "[1]")), "\\n", "\"]}]}", start);
    check("words", &tensor("FP64", "[2500001]"), "NaN,", "NaN]}]}", start);
    check("a promise", &tensor("FP64", "[9999999999]"), "1,", "1]}]}", start);
    check("numbers", &tensor("FP64", "[5000001]"), "1,", "1]}]}", start);
    check("texts", &tensor("BYTES", "[3333334]"), "\"\",", "\"\"]}]}", start);
    let grown = status("VmPeak").saturating_sub(reserved);
    assert!(grown <= (1 + MOST) * BODY, "{grown} bytes were reserved, the body included");

    check_grpc("empty inputs in a message", &[], &[5 << 3 | 2, 0], start);
    check_grpc("empty outputs in a message", &[], &[6 << 3 | 2, 0], start);
    check_grpc("empty raw contents in a message", &[], &[7 << 3 | 2, 0], start);
    check_grpc("empty parameters in a message", &[], &[4 << 3 | 2, 0], start);
    check_grpc("what no message has", &[], &[15 << 3 | 2, 0], start);
    check_grpc("a shape in a message", &[5, 3], &[1], start);
    check_grpc("empty strings in a message", &[5, 5], &[8 << 3 | 2, 0], start);
    check_grpc("numbers in a message", &[5, 5, 3], &[1], start);
}

/// A line of the kernel's account of this process, in bytes.
fn status(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')).unwrap();
    value.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
