//! [`unruffled_fuzz::onnx`] under libFuzzer.
#![no_main]

use std::panic::{set_hook, take_hook};
use std::process::abort;

libfuzzer_sys::fuzz_target!(
    init: {
        // The fuzzer ends at any panic. Those of the decoder below ours are caught, and so they are let pass here.
        drop(take_hook());
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| place.file().contains("rten-onnx-")) {
                return;
            }
            usual(panic);
            abort();
        }));
    },
    |data: &[u8]| unruffled_fuzz::onnx(data)
);
