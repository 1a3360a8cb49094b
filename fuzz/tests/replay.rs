//! Every input that is kept holds what its target asks for: seeds, and what the fuzzer once found.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use unruffled_fuzz::TARGETS;

/// The inputs of a folder by their names, in order.
fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn what_is_kept_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let seeds = inputs(&root.join("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (input, bytes) in seeds.into_iter().chain(inputs(&root.join("regressions").join(name))) {
            if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                failed.push(format!("{name}/{input}"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn no_input_is_kept_for_a_target_that_is_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["seeds", "regressions"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(TARGETS.iter().any(|(target, _)| *target == name), "{folder}/{name}");
        }
    }
}

/// Cut and damaged seeds: a run of the fuzzer in small, the same every time.
#[test]
fn damaged_seeds_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in TARGETS {
        for (_, bytes) in inputs(&root.join("seeds").join(name)).into_iter().take(8) {
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 24) {
                target(&bytes[..at]);
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                target(&damaged);
            }
        }
    }
}
