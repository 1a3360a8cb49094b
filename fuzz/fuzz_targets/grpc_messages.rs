//! [`unruffled_fuzz::grpc_messages`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unruffled_fuzz::grpc_messages(data));
