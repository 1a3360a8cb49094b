//! [`unruffled_fuzz::binary_request`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unruffled_fuzz::binary_request(data));
