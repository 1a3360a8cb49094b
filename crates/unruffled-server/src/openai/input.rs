//! What is to be embedded, as the inputs of a model.

use serde::Deserialize;
use serde_json::value::RawValue;
use unruffled_model::{Bytes, DType, Name, Signature, Tensor, TensorSpec, Tensors};

use crate::budget::Part;
use crate::refusal::Refusal;

/// The most texts of one request.
const TEXTS: usize = 2048;

/// The inputs of a model that takes tokens; the others besides the first are filled in.
const TOKENS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// The body of a request as it is written. What is not here does not matter: `user`, say.
#[derive(Deserialize)]
struct Body<'b> {
    model: String,
    #[serde(borrow)]
    input: &'b RawValue,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
}

/// What is asked.
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) encoding_format: Encoding,
    pub(super) dimensions: Option<usize>,
}

/// How the numbers are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    #[default]
    Float,
    Base64,
}

/// What is to be embedded.
#[derive(Debug, PartialEq)]
pub(super) enum Input {
    Texts(Vec<String>),
    Tokens(Vec<Vec<i64>>),
}

/// Reads a request: what is asked, and of what.
pub(super) fn read(body: &[u8]) -> Result<(Asked, Input), Refusal> {
    let Body { model, input, encoding_format, dimensions } = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("the body is no request for embeddings: {error}")))?;
    if dimensions == Some(0) {
        return Err(Refusal::bad_request("`dimensions` is 0; expected 1 or more"));
    }
    let input = Input::of(input.get()).ok_or_else(|| {
        Refusal::bad_request(
            "`input` is none of a text, a list of texts, a list of token ids, and a list of such lists",
        )
    })?;
    match input.len() {
        0 => Err(Refusal::bad_request("`input` is empty; there is nothing to embed")),
        more if more > TEXTS => Err(Refusal::bad_request(format!(
            "`input` has {more} texts; at most {TEXTS} are taken: split the request"
        ))),
        _ => Ok((Asked { model, encoding_format, dimensions }, input)),
    }
}

impl Input {
    /// What a JSON text stands for, read straight into what it is: a body of numbers would take sixteen times its size
    /// otherwise.
    fn of(json: &str) -> Option<Self> {
        let Some(items) = json.strip_prefix('[') else {
            return serde_json::from_str(json).ok().map(|text| Input::Texts(vec![text]));
        };
        match items.trim_start().as_bytes().first()? {
            b'"' | b']' => serde_json::from_str(json).ok().map(Input::Texts),
            b'[' => serde_json::from_str(json).ok().map(Input::Tokens),
            _ => serde_json::from_str(json).ok().map(|tokens| Input::Tokens(vec![tokens])),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Input::Texts(texts) => texts.len(),
            Input::Tokens(lists) => lists.len(),
        }
    }

    /// How many tokens there are, if that is known before the model has run.
    pub(super) fn tokens(&self) -> Option<usize> {
        match self {
            Input::Texts(_) => None,
            Input::Tokens(lists) => Some(lists.iter().map(Vec::len).sum()),
        }
    }

    /// The inputs of a model. Lists of tokens are filled up to the longest of them: what that takes is counted in `part`, and
    /// may be no more than `limit`.
    pub(super) fn into_tensors(
        self,
        model: &str,
        signature: &Signature,
        limit: usize,
        part: &mut Part,
    ) -> Result<Tensors, Refusal> {
        match self {
            Input::Texts(texts) => {
                let spec = texts_of(signature).ok_or_else(|| {
                    Refusal::bad_request(format!(
                        "model `{model}` does not take texts: ask one with a tokeniser before it, a pipeline say"
                    ))
                })?;
                let texts: Vec<Bytes> = texts.into_iter().map(Bytes::from).collect();
                // One text a row, however many dimensions a row has.
                let rank = spec.dims.as_ref().map_or(1, Vec::len).max(1);
                let shape = [vec![texts.len()], vec![1; rank - 1]].concat();
                Ok(Tensors::new().with(spec.name.clone(), tensor(Tensor::new(&shape, texts))?))
            }
            Input::Tokens(lists) => tokens(&lists, model, signature, limit, part),
        }
    }
}

/// The only input, if it takes texts.
fn texts_of(signature: &Signature) -> Option<&TensorSpec> {
    let mut required = signature.inputs.iter().filter(|spec| spec.default.is_none());
    let (only, more) = (required.next()?, required.next());
    (only.dtype == DType::Bytes && more.is_none()).then_some(only)
}

/// Lists of tokens as rows of the longest of them, and what tells where each ends.
fn tokens(
    lists: &[Vec<i64>],
    model: &str,
    signature: &Signature,
    limit: usize,
    part: &mut Part,
) -> Result<Tensors, Refusal> {
    let takes =
        |name: &str| signature.inputs.iter().any(|spec| &*spec.name == name && spec.dtype == DType::I64);
    if !takes(TOKENS[0]) || signature.inputs.iter().any(|spec| !TOKENS.contains(&&*spec.name)) {
        return Err(Refusal::bad_request(format!("model `{model}` does not take token ids: send texts")));
    }
    let width = lists.iter().map(Vec::len).max().unwrap_or(0);
    let bytes = lists.len().saturating_mul(width).saturating_mul(TOKENS.len() * size_of::<i64>());
    if bytes > limit {
        return Err(Refusal::expands_too_much(limit));
    }
    part.grow_by(bytes)?;
    let filled = |value: fn(i64) -> i64| {
        let row = |list: &Vec<i64>| {
            let tokens: Vec<i64> = list.iter().map(|token| value(*token)).collect();
            tokens.into_iter().chain(std::iter::repeat(0)).take(width)
        };
        tensor(Tensor::new(&[lists.len(), width], lists.iter().flat_map(row).collect::<Vec<_>>()))
    };
    let columns: [fn(i64) -> i64; 3] = [|token| token, |_| 1, |_| 0];
    let mut tensors = Tensors::new();
    for (name, column) in TOKENS.into_iter().zip(columns).filter(|(name, _)| takes(name)) {
        tensors.insert(Name::from(name), filled(column)?);
    }
    Ok(tensors)
}

fn tensor(made: Result<Tensor, unruffled_model::ModelError>) -> Result<Tensor, Refusal> {
    made.map_err(|error| Refusal::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use unruffled_model::{DType, Dim, Signature, TensorSpec};

    use super::Input;
    use crate::budget::Budget;

    fn read(input: &str) -> Result<Input, String> {
        let read = super::read(format!(r#"{{"model":"m","input":{input}}}"#).as_bytes());
        read.map(|(_, input)| input).map_err(|refusal| refusal.message().to_owned())
    }

    #[test]
    fn four_forms_of_input() {
        assert_eq!(read(r#""a""#), Ok(Input::Texts(vec!["a".into()])));
        assert_eq!(read(r#"["a","b"]"#), Ok(Input::Texts(vec!["a".into(), "b".into()])));
        assert_eq!(read("[1,2]"), Ok(Input::Tokens(vec![vec![1, 2]])));
        assert_eq!(read("[[1],[2,3]]"), Ok(Input::Tokens(vec![vec![1], vec![2, 3]])));
        for wrong in ["7", "{}", "null", "[1,\"a\"]", "[\"a\",1]", "[[1],2]", "[[1.5]]", "[null]"] {
            assert!(read(wrong).unwrap_err().contains("none of a text"), "{wrong}");
        }
        assert!(read("[]").unwrap_err().contains("empty"));
        assert!(read(&format!("[{}1]", "1,".repeat(9))).is_ok());
        assert!(read(&format!("[{}[1]]", "[1],".repeat(2048))).unwrap_err().contains("2049"));
    }

    #[test]
    fn lists_of_tokens_are_filled_up() {
        let spec = |name| TensorSpec::new(name, DType::I64, [Dim::Any, Dim::Any]);
        let inputs = vec![spec("input_ids"), spec("attention_mask")];
        let signature = Signature { inputs, outputs: Vec::new() };
        let budget = Budget::new(1000);
        let tensors = |input: &str, limit| {
            read(input).unwrap().into_tensors("m", &signature, limit, &mut budget.part())
        };
        let filled = tensors("[[7],[8,9]]", 1000).unwrap();
        assert_eq!(filled.get("input_ids").unwrap().elements::<i64>().unwrap(), [7, 0, 8, 9]);
        assert_eq!(filled.get("attention_mask").unwrap().elements::<i64>().unwrap(), [1, 0, 1, 1]);
        assert!(filled.get("token_type_ids").is_none());
        assert!(tensors(r#""a""#, 1000).unwrap_err().message().contains("does not take texts"));
        // One long list among many empty ones: far more than was sent.
        let uneven = format!("[[{}1]{}]", "1,".repeat(9), ",[]".repeat(9));
        assert_eq!(tensors(&uneven, 1000).unwrap_err().status(), 413);
        assert_eq!(tensors(&uneven, 10_000).unwrap_err().status(), 503);
    }
}
