//! [`Head`]: the choices of an input, in front of the bytes that are read.

use unruffled_model::{DType, Dim, Signature, TensorSpec};
use unruffled_protocol::Limits;

/// The most bytes of a head.
const BYTES_MAX: usize = 64;

/// Names of inputs: ordinary ones, and those that mean something else in a message.
const NAMES: [&str; 8] = ["x", "text", "y\"\n", "timeout", "inputs", "id", "parameters", "model_name"];

/// Choices, taken one after the other. Behind the last all are 0, which always stands for something ordinary: an input
/// that begins with a zero has no head and is read as a client would send it.
#[derive(Clone, Copy)]
pub struct Head<'a>(&'a [u8]);

impl<'a> Head<'a> {
    /// The head, whose length is in the first byte, and what follows it.
    pub fn split(data: &'a [u8]) -> (Self, &'a [u8]) {
        let Some((length, rest)) = data.split_first() else { return (Self(&[]), &[]) };
        let (head, body) = rest.split_at(usize::from(*length).min(BYTES_MAX).min(rest.len()));
        (Self(head), body)
    }

    /// The next choice.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// A size: small ones as they are, then powers of two up to the greatest.
    pub fn size(&mut self) -> usize {
        match usize::from(self.byte()) {
            small @ 0..192 => small,
            255 => usize::MAX,
            large => 1 << (large - 191),
        }
    }

    /// A part of `bytes`, split where the next choice says, in 255ths.
    pub fn part<'b>(&mut self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        bytes.split_at(bytes.len() * usize::from(self.byte()) / 255)
    }

    /// An element type.
    pub fn dtype(&mut self) -> DType {
        DType::ALL[usize::from(self.byte()) % DType::ALL.len()]
    }

    /// Limits: ordinary ones but for the number of parts, so that little memory is a constant; or narrow ones.
    pub fn limits(&mut self) -> Limits {
        let parts = Limits {
            tensors: 64,
            requested_outputs: 64,
            parameters: 64,
            name_bytes: 1024,
            rank: 32,
            nesting: 100,
        };
        match self.byte() {
            0 => parts,
            narrow => Limits {
                tensors: usize::from(narrow % 4),
                requested_outputs: usize::from(narrow / 4 % 4),
                parameters: usize::from(narrow / 16 % 4),
                name_bytes: usize::from(narrow / 2),
                rank: usize::from(narrow / 64),
                nesting: usize::from(narrow / 16),
            },
        }
    }

    /// What a model takes.
    pub fn signature(&mut self) -> Signature {
        let inputs = match self.byte() {
            0 => ordinary(),
            count => (0..count % 4).map(|_| self.spec()).collect(),
        };
        Signature { inputs, outputs: vec![] }
    }

    fn spec(&mut self) -> TensorSpec {
        let name = NAMES[usize::from(self.byte()) % NAMES.len()];
        let dtype = self.dtype();
        match self.byte() {
            255 => TensorSpec { dims: None, ..TensorSpec::new(name, dtype, []) },
            rank => TensorSpec::new(name, dtype, (0..rank % 6).map(|_| self.dim()).collect::<Vec<_>>()),
        }
    }

    fn dim(&mut self) -> Dim {
        match self.size() {
            0 => Dim::Any,
            1 => Dim::Symbolic("batch".into()),
            size => Dim::Fixed(size - 2),
        }
    }
}

/// Rows of two numbers, rows of a text, rows of a table, and a truth value for each.
fn ordinary() -> Vec<TensorSpec> {
    let batch = || Dim::Symbolic("batch".into());
    vec![
        TensorSpec::new("x", DType::F32, [batch(), Dim::Fixed(2)]),
        TensorSpec::new("text", DType::Bytes, [batch(), Dim::Fixed(1)]),
        TensorSpec::new("table", DType::I64, [batch(), Dim::Fixed(3), Dim::Fixed(2)]),
        TensorSpec::new("flag", DType::Bool, [batch()]),
    ]
}
