//! [`Limits`]: how much of everything one message may hold.

/// How much of everything one message may hold, so that what is kept of it stays a small multiple of its size.
///
/// The size of the body itself is the transport's to limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Inputs of a request or outputs of a response: 1024 unless set.
    pub tensors: usize,
    /// Outputs that one request may ask for: 1024 unless set.
    pub requested_outputs: usize,
    /// Parameters of one message, tensor or requested output: 256 unless set.
    pub parameters: usize,
    /// Bytes of a name or an id: 1024 unless set.
    pub name_bytes: usize,
    /// Dimensions of a tensor: 32 unless set. Nested data are read by recursion as deep as this.
    pub rank: usize,
    /// How deep arrays and objects of the whole message may nest: 100 unless set.
    pub nesting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tensors: 1024,
            requested_outputs: 1024,
            parameters: 256,
            name_bytes: 1024,
            rank: 32,
            nesting: 100,
        }
    }
}
