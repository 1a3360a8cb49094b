//! The Python side, carried in this crate: it goes to each worker over its socket, and is never written to a disk.

/// What the interpreter is started with.
pub(crate) const BOOT: &str = include_str!("../python/boot.py");

/// Ends the interpreter when numpy cannot be imported; `boot.py` knows it too.
pub(crate) const STATUS_NO_NUMPY: i32 = 71;
/// Ends the interpreter when it is too old; `boot.py` knows it too.
pub(crate) const STATUS_TOO_OLD: i32 = 72;

macro_rules! modules {
    ($($name:literal => $file:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../python/unruffled_worker/", $file)))),*]
    };
}

const MODULES: &[(&str, &str)] = modules! {
    "unruffled_worker" => "__init__.py",
    "unruffled_worker.calls" => "calls.py",
    "unruffled_worker.capture" => "capture.py",
    "unruffled_worker.context" => "context.py",
    "unruffled_worker.declare" => "declare.py",
    "unruffled_worker.errors" => "errors.py",
    "unruffled_worker.estimators" => "estimators.py",
    "unruffled_worker.frames" => "frames.py",
    "unruffled_worker.interrupts" => "interrupts.py",
    "unruffled_worker.memory" => "memory.py",
    "unruffled_worker.source" => "source.py",
    "unruffled_worker.tensors" => "tensors.py",
    "unruffled_worker.worker" => "worker.py",
};

/// All modules as `boot.py` reads them: how many, then names and sources, each after its length.
pub(crate) fn packed() -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).expect("sources are small").to_le_bytes();
    let mut packed = length(MODULES.len()).to_vec();
    for text in MODULES.iter().flat_map(|(name, source)| [name, source]) {
        packed.extend_from_slice(&length(text.len()));
        packed.extend_from_slice(text.as_bytes());
    }
    packed
}
