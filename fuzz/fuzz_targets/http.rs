//! [`unruffled_fuzz::http`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unruffled_fuzz::http(data));
