//! What `serve` can be told: by flags, by variables, by a file, and if by none of them, by itself.
//!
//! [`Settings`] is the one place that lists the options. A flag, a variable and a key of the file have the same name, written as
//! each writes names: `--body-bytes`, `UNRUFFLED_BODY_BYTES`, `body_bytes`.

mod values;

mod options;

mod reference;

mod file;

mod layers;

#[cfg(test)]
mod page;

pub(crate) use layers::{Effective, Layers, Source};
pub(crate) use options::{LogFormat, Settings};
pub(crate) use reference::schema;
pub(crate) use values::{Address, Amount, OtherAddress, Rate, duration};

/// The variable of an option.
pub(crate) fn variable(key: &str) -> String {
    match key {
        // As it has always been called.
        "onnxruntime" => "UNRUFFLED_ORT_LIB".to_owned(),
        key => format!("UNRUFFLED_{}", key.to_uppercase()),
    }
}
