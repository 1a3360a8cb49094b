//! Recorded cases: what went into a model once, and what came out.

use std::fs;
use std::path::Path;

use unruffled_model::{Data, ModelError, Tensors};

use crate::npy;

/// One recorded run.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) inputs: Tensors,
    /// Empty if the answer was not recorded.
    pub(super) outputs: Tensors,
}

impl Case {
    /// Whether an input holds integers that 32 bits do not.
    pub(super) fn is_wide(&self) -> bool {
        fn wide<T: Copy + TryInto<i32>>(elements: &[T]) -> bool {
            elements.iter().any(|&element| element.try_into().is_err())
        }
        self.inputs.iter().any(|(_, tensor)| match tensor.data() {
            Data::I64(buffer) => wide(buffer),
            Data::U64(buffer) => wide(buffer),
            Data::U32(buffer) => wide(buffer),
            _ => false,
        })
    }
}

/// Reads all cases of a model, in the order of their names.
pub(super) fn read_cases(folder: &Path) -> Result<Vec<Case>, ModelError> {
    let mut cases = Vec::new();
    for name in names(folder)? {
        let (mut inputs, mut outputs) = (Tensors::new(), Tensors::new());
        let case = folder.join(&name);
        for file in names(&case)? {
            let tensor = || npy::read_file(&case.join(&file));
            let Some(stem) = file.strip_suffix(".npy") else {
                continue;
            };
            if let Some(input) = stem.strip_prefix("in.") {
                inputs.insert(decoded(input), tensor()?);
            } else if let Some(output) = stem.strip_prefix("out.") {
                outputs.insert(decoded(output), tensor()?);
            }
        }
        cases.push(Case { name, inputs, outputs });
    }
    Ok(cases)
}

/// The entries of a folder, in order.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, ModelError> {
    let read = || -> std::io::Result<Vec<String>> {
        let entries =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        entries.collect()
    };
    let mut names = read().map_err(|error| {
        let place = folder.display();
        ModelError::failed(format!("cannot read {place}: {error}")).caused_by(error)
    })?;
    names.sort_unstable();
    Ok(names)
}

/// Undoes percent-encoding.
fn decoded(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => bytes.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn names_are_percent_decoded() {
        assert_eq!(decoded("sigmoid_0.tmp_0"), "sigmoid_0.tmp_0");
        assert_eq!(decoded("a%2Fb%3A0%C3%A9"), "a/b:0é");
        assert_eq!(decoded("100%"), "100%");
    }
}
