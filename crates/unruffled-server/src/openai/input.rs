//! What is to be embedded, as the inputs of a model.

use serde::Deserialize;
use serde_json::Value;
use unruffled_model::{Bytes, DType, Name, Signature, Tensor, TensorSpec, Tensors};

use crate::refusal::Refusal;

/// The most texts of one request.
const TEXTS: usize = 2048;

/// The inputs of a model that takes tokens; the others besides the first are filled in.
const TOKENS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// The body of a request. What is not here does not matter: `user`, say.
#[derive(Deserialize)]
pub(super) struct Asked {
    pub(super) model: String,
    input: Value,
    #[serde(default)]
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

impl Asked {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let asked: Self = serde_json::from_slice(body).map_err(|error| {
            Refusal::bad_request(format!("the body is no request for embeddings: {error}"))
        })?;
        match asked.dimensions {
            Some(0) => Err(Refusal::bad_request("`dimensions` is 0; expected 1 or more")),
            _ => Ok(asked),
        }
    }

    pub(super) fn input(&mut self) -> Result<Input, Refusal> {
        let input = Input::of(self.input.take()).ok_or_else(|| {
            Refusal::bad_request(
                "`input` is none of a text, a list of texts, a list of token ids, and a list of such lists",
            )
        })?;
        match input.len() {
            0 => Err(Refusal::bad_request("`input` is empty; there is nothing to embed")),
            more if more > TEXTS => Err(Refusal::bad_request(format!(
                "`input` has {more} texts; at most {TEXTS} are taken: split the request"
            ))),
            _ => Ok(input),
        }
    }
}

impl Input {
    fn of(value: Value) -> Option<Self> {
        let ids = |items: Vec<Value>| items.iter().map(Value::as_i64).collect::<Option<Vec<_>>>();
        let items = match value {
            Value::String(text) => return Some(Input::Texts(vec![text])),
            Value::Array(items) => items,
            _ => return None,
        };
        match items.first() {
            Some(Value::Number(_)) => Some(Input::Tokens(vec![ids(items)?])),
            Some(Value::Array(_)) => {
                let lists = items.into_iter().map(|item| match item {
                    Value::Array(items) => ids(items),
                    _ => None,
                });
                Some(Input::Tokens(lists.collect::<Option<_>>()?))
            }
            _ => {
                let texts = items.into_iter().map(|item| match item {
                    Value::String(text) => Some(text),
                    _ => None,
                });
                Some(Input::Texts(texts.collect::<Option<_>>()?))
            }
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

    /// The inputs of a model.
    pub(super) fn into_tensors(self, model: &str, signature: &Signature) -> Result<Tensors, Refusal> {
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
            Input::Tokens(lists) => tokens(&lists, model, signature),
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
fn tokens(lists: &[Vec<i64>], model: &str, signature: &Signature) -> Result<Tensors, Refusal> {
    let takes =
        |name: &str| signature.inputs.iter().any(|spec| &*spec.name == name && spec.dtype == DType::I64);
    if !takes(TOKENS[0]) || signature.inputs.iter().any(|spec| !TOKENS.contains(&&*spec.name)) {
        return Err(Refusal::bad_request(format!("model `{model}` does not take token ids: send texts")));
    }
    let width = lists.iter().map(Vec::len).max().unwrap_or(0);
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

    use super::{Asked, Input};

    fn read(input: &str) -> Result<Input, String> {
        let mut asked = Asked::read(format!(r#"{{"model":"m","input":{input}}}"#).as_bytes()).unwrap();
        asked.input().map_err(|refusal| refusal.message().to_owned())
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
        let tensors = read("[[7],[8,9]]").unwrap().into_tensors("m", &signature).unwrap();
        assert_eq!(tensors.get("input_ids").unwrap().elements::<i64>().unwrap(), [7, 0, 8, 9]);
        assert_eq!(tensors.get("attention_mask").unwrap().elements::<i64>().unwrap(), [1, 0, 1, 1]);
        assert!(tensors.get("token_type_ids").is_none());
        let texts = read(r#""a""#).unwrap().into_tensors("m", &signature).unwrap_err();
        assert!(texts.message().contains("does not take texts"));
    }
}
