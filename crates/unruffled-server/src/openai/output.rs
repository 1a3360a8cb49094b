//! What a model gives, as embeddings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use unruffled_model::{DType, Name, Signature, Tensor, TensorSpec, Tensors};

use super::input::Encoding;
use crate::refusal::Refusal;

/// What the output is called where there are several that it could be.
const NAMES: [&str; 3] = ["embedding", "embeddings", "sentence_embedding"];

/// What tells how many tokens each text has.
const COUNT: &str = "token_count";

/// The output that is an embedding: a row of numbers for each text.
pub(super) fn spec<'s>(model: &str, signature: &'s Signature) -> Result<&'s TensorSpec, Refusal> {
    let is_rows = |spec: &&TensorSpec| {
        spec.dtype == DType::F32 && spec.dims.as_ref().is_some_and(|dims| dims.len() == 2)
    };
    let mut rows = signature.outputs.iter().filter(is_rows);
    let named = rows.clone().find(|spec| NAMES.contains(&&*spec.name));
    let only = match (rows.next(), rows.next()) {
        (only, None) => only,
        _ => None,
    };
    named.or(only).ok_or_else(|| {
        Refusal::bad_request(format!(
            "model `{model}` does not embed: it has no output of one row of FP32 for each text that is called \
             `embedding`, or is the only one"
        ))
    })
}

/// The output that tells how many tokens each text has, if there is one.
pub(super) fn count(signature: &Signature) -> Option<&Name> {
    let found = signature.outputs.iter().find(|spec| &*spec.name == COUNT && spec.dtype == DType::I64);
    found.map(|spec| &spec.name)
}

/// How many tokens the texts have, if the model tells.
pub(super) fn tokens(outputs: &Tensors) -> Option<usize> {
    let counts = outputs.get(COUNT)?.elements::<i64>().ok()?;
    usize::try_from(counts.iter().sum::<i64>()).ok()
}

/// One object for each row.
pub(super) fn objects(
    embeddings: &Tensor,
    encoding: Encoding,
    dimensions: Option<usize>,
) -> Result<Vec<Value>, Refusal> {
    let width = embeddings.shape().get(1).copied().unwrap_or(0);
    if dimensions.is_some_and(|wanted| wanted > width) {
        let wanted = dimensions.unwrap_or(width);
        let message = format!("`dimensions` is {wanted}; the model gives {width}");
        return Err(Refusal::bad_request(message));
    }
    let numbers = embeddings.elements::<f32>().map_err(|error| Refusal::bad_request(error.to_string()))?;
    let object = |(index, row): (usize, &[f32])| {
        let row = shortened(row, dimensions);
        let embedding = match encoding {
            Encoding::Float => json!(row),
            Encoding::Base64 => {
                let bytes: Vec<u8> = row.iter().flat_map(|number| number.to_le_bytes()).collect();
                json!(STANDARD.encode(bytes))
            }
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    };
    Ok(numbers.chunks_exact(width.max(1)).enumerate().map(object).collect())
}

/// The first numbers of a row, brought to the length of one again, as OpenAI does it.
fn shortened(row: &[f32], dimensions: Option<usize>) -> Vec<f32> {
    let kept = &row[..dimensions.unwrap_or(row.len())];
    if kept.len() == row.len() {
        return kept.to_vec();
    }
    let length = kept.iter().map(|number| number * number).sum::<f32>().sqrt();
    let scale = if length > 0.0 { length.recip() } else { 1.0 };
    kept.iter().map(|number| number * scale).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use unruffled_model::Tensor;

    use super::{Encoding, objects};

    #[test]
    fn rows_in_both_encodings() {
        let rows = Tensor::new(&[2, 2], vec![1.0_f32, 0.5, 3.0, 4.0]).unwrap();
        let floats = objects(&rows, Encoding::Float, None).unwrap();
        assert_eq!(floats[1], json!({ "object": "embedding", "index": 1, "embedding": [3.0, 4.0] }));
        let packed = objects(&rows, Encoding::Base64, None).unwrap();
        assert_eq!(packed[0]["embedding"], "AACAPwAAAD8=");
        assert_eq!(objects(&rows, Encoding::Float, Some(1)).unwrap()[1]["embedding"], json!([1.0]));
        let more = objects(&rows, Encoding::Float, Some(3)).unwrap_err();
        assert!(more.message().contains('3') && more.message().contains('2'), "{}", more.message());
    }
}
