//! `Cast`: one element type made into another.

use unruffled_model::{Bytes, DType, Data, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Site};
use super::shape::Type;

/// Builds a `Cast`.
pub(super) fn cast(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    // What becomes of floats of 8 bits that are too large.
    site.settings.ignore(&["saturate"]);
    let to = match site.settings.integer("to") {
        Some(1) => DType::F32,
        Some(6) => DType::I32,
        Some(7) => DType::I64,
        Some(8) => DType::Bytes,
        Some(9) => DType::Bool,
        Some(11) => DType::F64,
        other => return Err(format!("casts to type {other:?}, which is not computed with here")),
    };
    let from = input.r#type.dtype;
    let known = match from {
        DType::F32 | DType::F64 => to != DType::Bytes,
        DType::I32 | DType::I64 => true,
        DType::Bool => to != DType::Bytes,
        DType::Bytes => !matches!(to, DType::Bool | DType::I32),
        _ => false,
    };
    if !known {
        return Err(format!("casts {from} to {to}, which is not done here"));
    }
    Ok(Built::new(Cast(to), [Type::new(to, input.r#type.dims.clone())]))
}

struct Cast(DType);

impl Kernel for Cast {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let from = inputs[0];
        if from.dtype() == self.0 {
            outputs.push(from.clone());
            return Ok(());
        }
        macro_rules! numbers {
            ($x:expr) => {
                match self.0 {
                    DType::F32 => {
                        Tensor::new(from.shape(), $x.iter().map(|&x| x as f32).collect::<Vec<_>>())?
                    }
                    DType::F64 => {
                        Tensor::new(from.shape(), $x.iter().map(|&x| x as f64).collect::<Vec<_>>())?
                    }
                    DType::I32 => {
                        Tensor::new(from.shape(), $x.iter().map(|&x| x as i32).collect::<Vec<_>>())?
                    }
                    DType::I64 => {
                        Tensor::new(from.shape(), $x.iter().map(|&x| x as i64).collect::<Vec<_>>())?
                    }
                    DType::Bytes => {
                        let texts = $x.iter().map(|x| Bytes::from(x.to_string()));
                        Tensor::new(from.shape(), texts.collect::<Vec<_>>())?
                    }
                    _ => Tensor::new(from.shape(), $x.iter().map(|&x| x as f64 != 0.0).collect::<Vec<_>>())?,
                }
            };
        }
        outputs.push(match from.data() {
            Data::F32(x) => numbers!(x),
            Data::F64(x) => numbers!(x),
            Data::I32(x) => numbers!(x),
            Data::I64(x) => numbers!(x),
            Data::Bool(x) => {
                let numbers: Vec<i32> = x.iter().map(|&x| x.into()).collect();
                numbers!(numbers)
            }
            Data::Bytes(texts) => match self.0 {
                DType::F32 => Tensor::new(from.shape(), parsed::<f32>(texts)?)?,
                DType::F64 => Tensor::new(from.shape(), parsed::<f64>(texts)?)?,
                _ => Tensor::new(from.shape(), parsed::<i64>(texts)?)?,
            },
            _ => return Err(ModelError::failed("types were checked when the plan was made")),
        });
        Ok(())
    }
}

fn parsed<T: std::str::FromStr>(texts: &[Bytes]) -> Result<Vec<T>, ModelError> {
    let parse = |text: &Bytes| {
        let number = str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| {
            let text = String::from_utf8_lossy(text);
            ModelError::invalid_input(format!("`{text}` is not a number"))
        })
    };
    texts.iter().map(parse).collect()
}
