//! Element types and their names in the protocol.

use unruffled_model::DType;

use crate::brief::Brief;
use crate::error::{ProtocolError, ProtocolErrorKind};

/// The name of an element type in the Open Inference Protocol; `BF16` is Triton's addition.
pub const fn name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "BOOL",
        DType::U8 => "UINT8",
        DType::U16 => "UINT16",
        DType::U32 => "UINT32",
        DType::U64 => "UINT64",
        DType::I8 => "INT8",
        DType::I16 => "INT16",
        DType::I32 => "INT32",
        DType::I64 => "INT64",
        DType::F16 => "FP16",
        DType::BF16 => "BF16",
        DType::F32 => "FP32",
        DType::F64 => "FP64",
        DType::Bytes => "BYTES",
    }
}

/// The element type of that name.
///
/// # Errors
///
/// `InvalidTensor` if there is none; the names are in upper case only.
pub fn parse(text: &str) -> Result<DType, ProtocolError> {
    let called = |text: &str| DType::ALL.into_iter().find(|&dtype| name(dtype) == text);
    called(text).ok_or_else(|| {
        let remedy = match called(&Brief(text).to_string().to_ascii_uppercase()) {
            Some(dtype) => format!("write `{}`", name(dtype)),
            None => format!("expected one of {}", DType::ALL.map(name).join(", ")),
        };
        let message = format!("unknown datatype `{}`; {remedy}", Brief(text));
        ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)
    })
}

#[cfg(test)]
mod tests {
    use unruffled_model::DType;

    #[test]
    fn every_name_reads_back() {
        for dtype in DType::ALL {
            assert_eq!(super::parse(super::name(dtype)), Ok(dtype));
            assert!(super::parse(&super::name(dtype).to_lowercase()).is_err());
        }
    }
}
