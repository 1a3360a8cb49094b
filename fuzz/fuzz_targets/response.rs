//! [`unruffled_fuzz::response`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unruffled_fuzz::response(data));
