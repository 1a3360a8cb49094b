//! Element types: the runtime [`DType`] and the compile-time [`Element`].

use std::fmt;

use bytes::Bytes;
use half::{bf16, f16};

use crate::buffer::Buffer;

/// The type of a tensor's elements.
///
/// The set is that of ONNX and of the Open Inference Protocol V2; `Bytes` is called `string` by the former and `BYTES`
/// by the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// Truth values.
    Bool,
    /// Unsigned 8-bit integers.
    U8,
    /// Unsigned 16-bit integers.
    U16,
    /// Unsigned 32-bit integers.
    U32,
    /// Unsigned 64-bit integers.
    U64,
    /// Signed 8-bit integers.
    I8,
    /// Signed 16-bit integers.
    I16,
    /// Signed 32-bit integers.
    I32,
    /// Signed 64-bit integers.
    I64,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an IEEE 754 single ("brain float").
    BF16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
    /// Byte strings of any length and content.
    Bytes,
}

impl DType {
    /// Every element type, in declaration order.
    pub const ALL: [DType; 14] = [
        DType::Bool,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
        DType::Bytes,
    ];

    /// The bytes that one element takes, or `None` for byte strings, which vary.
    pub const fn size(self) -> Option<usize> {
        match self {
            DType::Bool | DType::U8 | DType::I8 => Some(1),
            DType::U16 | DType::I16 | DType::F16 | DType::BF16 => Some(2),
            DType::U32 | DType::I32 | DType::F32 => Some(4),
            DType::U64 | DType::I64 | DType::F64 => Some(8),
            DType::Bytes => None,
        }
    }

    /// The name in lower case, as Rust writes it: `f32`, `i64`, `bool`, `bytes`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::U16 => "u16",
            DType::U32 => "u32",
            DType::U64 => "u64",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::Bytes => "bytes",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The elements of a tensor, typed at run time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "one variant per element type, named after it")]
pub enum Data {
    Bool(Buffer<bool>),
    U8(Buffer<u8>),
    U16(Buffer<u16>),
    U32(Buffer<u32>),
    U64(Buffer<u64>),
    I8(Buffer<i8>),
    I16(Buffer<i16>),
    I32(Buffer<i32>),
    I64(Buffer<i64>),
    F16(Buffer<f16>),
    BF16(Buffer<bf16>),
    F32(Buffer<f32>),
    F64(Buffer<f64>),
    Bytes(Buffer<Bytes>),
}

/// Runs the same expression for the buffer of whichever element type a [`Data`] holds.
#[macro_export]
macro_rules! for_each_dtype {
    ($data:expr, $buffer:ident => $body:expr) => {
        match $data {
            $crate::Data::Bool($buffer) => $body,
            $crate::Data::U8($buffer) => $body,
            $crate::Data::U16($buffer) => $body,
            $crate::Data::U32($buffer) => $body,
            $crate::Data::U64($buffer) => $body,
            $crate::Data::I8($buffer) => $body,
            $crate::Data::I16($buffer) => $body,
            $crate::Data::I32($buffer) => $body,
            $crate::Data::I64($buffer) => $body,
            $crate::Data::F16($buffer) => $body,
            $crate::Data::BF16($buffer) => $body,
            $crate::Data::F32($buffer) => $body,
            $crate::Data::F64($buffer) => $body,
            $crate::Data::Bytes($buffer) => $body,
        }
    };
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that can be an element of a [`Tensor`](crate::Tensor). Sealed: the list is that of [`DType`].
pub trait Element: sealed::Sealed + Clone + Default + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The run-time name of this type.
    const DTYPE: DType;

    /// Wraps a buffer of this type.
    fn wrap(buffer: Buffer<Self>) -> Data;

    /// The buffer within, if it is of this type.
    fn unwrap_ref(data: &Data) -> Option<&Buffer<Self>>;
}

macro_rules! element {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const DTYPE: DType = DType::$variant;

            fn wrap(buffer: Buffer<Self>) -> Data {
                Data::$variant(buffer)
            }

            fn unwrap_ref(data: &Data) -> Option<&Buffer<Self>> {
                match data {
                    Data::$variant(buffer) => Some(buffer),
                    _ => None,
                }
            }
        }
    )*};
}

element! {
    bool => Bool, u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    f16 => F16, bf16 => BF16, f32 => F32, f64 => F64, Bytes => Bytes,
}
