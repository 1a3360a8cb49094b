//! [`PlainRequest`]: values beside the names of inputs, without types and shapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use unruffled_model::{Dim, Name, Signature, Tensor, TensorSpec, element_count};

use crate::brief::Brief;
use crate::decode::{self, Null};
use crate::document::{Document, text_end};
use crate::encode;
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::parameters::{Members, Parameters};
use crate::request::InferRequest;
use crate::response::{InferResponse, head};

/// The most inputs that a message names.
const LISTED: usize = 16;

/// A request whose types and shapes are those of the model, as Triton's generate extension has it.
///
/// ```
/// use unruffled_model::{DType, Dim, Signature, TensorSpec};
/// use unruffled_protocol::{Limits, PlainRequest};
///
/// let x = TensorSpec::new("x", DType::F32, [Dim::Any, Dim::Fixed(2)]);
/// let signature = Signature { inputs: vec![x], outputs: vec![] };
/// let plain = PlainRequest::from_json(br#"{"x":[1,2.5],"timeout":9}"#, &signature, &Limits::default())?;
/// assert_eq!(plain.request.inputs.get("x").map(|x| x.shape()), Some(&[1, 2][..]));
/// assert_eq!(plain.request.parameters.i64("timeout")?, Some(9));
/// assert!(plain.is_row);
/// # Ok::<(), unruffled_protocol::ProtocolError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PlainRequest {
    /// What is asked.
    pub request: InferRequest,
    /// Whether it was one row, to which the dimension of the batch had to be added.
    pub is_row: bool,
}

impl PlainRequest {
    /// Reads a request: members that are inputs of the model become tensors, `parameters` and members that are none become
    /// parameters, and `id` is the id.
    ///
    /// Values are nested as deep as the model's shape, or one level less, which is one row; flat, where only one shape fits;
    /// or bare, where one element does.
    ///
    /// # Errors
    ///
    /// What the client got wrong and in which input; `InvalidTensor` if the model does not say what it takes.
    pub fn from_json(json: &[u8], signature: &Signature, limits: &Limits) -> Result<Self, ProtocolError> {
        let document = Document::new(json, limits)?;
        let members = document.parse(Members { most: limits.tensors })?;
        if members.given > limits.tensors {
            let (given, most) = (members.given, limits.tensors);
            let message = format!("the request has {given} members; at most {most} are allowed");
            return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
        }
        if signature.inputs.is_empty() {
            let message =
                "the model does not say what it takes: describe the inputs, as an inference has them";
            return Err(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message));
        }
        let mut request = InferRequest::default();
        let mut is_row = false;
        for (name, value) in members.kept {
            let value = document.text_of(value);
            if let Some(spec) = signature.inputs.iter().find(|spec| *spec.name == *name) {
                let place = |error: ProtocolError| error.at(Place::input(&name));
                if request.inputs.get(&name).is_some() {
                    return Err(place(invalid("is given twice".into())));
                }
                let (tensor, row) = tensor(value, spec, limits).map_err(place)?;
                is_row |= row;
                request.inputs.insert(spec.name.clone(), tensor);
                continue;
            }
            match &*name {
                "id" => request.id = id(value, limits)?,
                "parameters" => {
                    for (name, value) in Parameters::from_json(Some(value), limits)?.iter() {
                        request.parameters.insert(name, value.clone());
                    }
                }
                _ if value.starts_with(['[', '{']) => {
                    let given = Brief(&name);
                    let known = signature.inputs.iter().take(LISTED);
                    let known: Vec<_> = known.map(|spec| Brief(&spec.name).to_string()).collect();
                    let message =
                        format!("the model has no input `{given}`; it takes `{}`", known.join("`, `"));
                    return Err(invalid(message));
                }
                _ => request.parameters.read(name, value, limits)?,
            }
        }
        Ok(Self { request, is_row })
    }

    /// Whether a message is plain: an inference has `inputs`, unless that is what an input of the model is called.
    pub fn is_plain(json: &[u8], signature: &Signature, limits: &Limits) -> bool {
        if signature.inputs.iter().any(|spec| &*spec.name == "inputs") {
            return true;
        }
        // What cannot be read is told by who reads it.
        let Ok(document) = Document::new(json, limits) else { return false };
        document.parse(Has("inputs")).is_ok_and(|has_inputs| !has_inputs)
    }
}

impl InferResponse {
    /// Writes a response whose outputs are members, their elements nested as their shapes; a single element is bare. Outputs
    /// of a request that [was one row](PlainRequest::is_row) lack the dimension of the batch.
    ///
    /// # Errors
    ///
    /// As [`write_json`](Self::write_json).
    pub fn write_plain<'a>(
        model_name: &str,
        model_version: Option<&str>,
        id: Option<&str>,
        parameters: &Parameters,
        outputs: impl Iterator<Item = (&'a Name, &'a Tensor)>,
        is_row: bool,
    ) -> Result<Vec<u8>, ProtocolError> {
        let mut out = head(model_name, model_version, id, parameters);
        for (name, tensor) in outputs {
            encode::write(&mut out, &**name);
            out.push(b':');
            let shape = match tensor.shape() {
                [1, row @ ..] if is_row => row,
                whole => whole,
            };
            encode::write_nested(&mut out, shape, tensor).map_err(|error| error.at(Place::output(name)))?;
            out.push(b',');
        }
        // The name of the model at least is before it.
        out.pop();
        out.push(b'}');
        Ok(out)
    }
}

/// Finds out whether an object has a member of this name, however many others it has.
struct Has(&'static str);

impl<'d> DeserializeSeed<'d> for Has {
    type Value = bool;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'d> Visitor<'d> for Has {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut has = false;
        while let Some((name, _)) = map.next_entry::<Cow<'d, str>, IgnoredAny>()? {
            has |= name == self.0;
        }
        Ok(has)
    }
}

fn invalid(message: String) -> ProtocolError {
    ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)
}

/// The id: text, or a number as text.
fn id(json: &str, limits: &Limits) -> Result<Option<String>, ProtocolError> {
    match json.as_bytes() {
        b"null" => Ok(None),
        [b'0'..=b'9' | b'-', ..] if json.len() <= limits.name_bytes => Ok(Some(json.to_owned())),
        _ => decode::text(Some(json), "id", limits),
    }
}

/// The tensor that a value stands for, and whether the dimension of the batch was added to it.
fn tensor(json: &str, spec: &TensorSpec, limits: &Limits) -> Result<(Tensor, bool), ProtocolError> {
    let given = nested(json, limits.rank)?;
    let row = row(&given, spec);
    // Flat elements are read as the row that they are.
    let shape = row.as_deref().filter(|_| given.len() == 1).unwrap_or(&given);
    let tensor = decode::tensor_of(spec.dtype, shape, json, Null::Refused)?;
    match &row {
        None => Ok((tensor, false)),
        Some(row) => Ok((tensor.reshaped(row).map_err(|error| invalid(error.to_string()))?, true)),
    }
}

/// The shape of a value of this shape that is one row; none if it is not. What the model has against it is told by its signature.
fn row(given: &[usize], spec: &TensorSpec) -> Option<Vec<usize>> {
    let dims = spec.dims.as_ref()?;
    let rank = dims.len();
    match given.len() {
        depth if depth == rank => None,
        depth if depth + 1 == rank => Some([&[1], given].concat()),
        0 => Some(vec![1; rank]),
        1 => fitting(dims).filter(|shape| element_count(shape).is_ok_and(|count| count == given[0])),
        _ => None,
    }
}

/// The only shape of one row, if its other dimensions are fixed.
fn fitting(dims: &[Dim]) -> Option<Vec<usize>> {
    let size = |(index, dim): (usize, &Dim)| match dim {
        Dim::Fixed(size) => Some(*size),
        _ => (index == 0).then_some(1),
    };
    dims.iter().enumerate().map(size).collect()
}

/// How many items each level of arrays has, by the first of each.
fn nested(json: &str, rank: usize) -> Result<Vec<usize>, ProtocolError> {
    let mut shape = Vec::new();
    let mut level = json.as_bytes();
    while let [b'[', inner @ ..] = level.trim_ascii_start() {
        if shape.len() == rank {
            let message = format!("nests deeper than {rank} levels, which is the most that is allowed");
            return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
        }
        shape.push(items(inner));
        level = inner;
    }
    Ok(shape)
}

/// How many items an array has, whose text begins after its bracket. It is JSON.
fn items(json: &[u8]) -> usize {
    if json.trim_ascii_start().starts_with(b"]") {
        return 0;
    }
    let (mut depth, mut items, mut at) = (1_usize, 1, 0);
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at = text_end(json, at),
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 1 => break,
            b']' | b'}' => depth -= 1,
            b',' if depth == 1 => items += 1,
            _ => {}
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use unruffled_model::{DType, Dim, Signature, Tensor, TensorSpec, Tensors};

    use super::PlainRequest;
    use crate::limits::Limits;
    use crate::parameters::Parameters;
    use crate::response::InferResponse;

    fn signature() -> Signature {
        let image = TensorSpec::new("image", DType::F32, [Dim::Any, Dim::Fixed(2), Dim::Fixed(2)]);
        let text = TensorSpec::new("text", DType::Bytes, [Dim::Any]);
        Signature { inputs: vec![image, text], outputs: vec![] }
    }

    fn read(json: &str) -> Result<PlainRequest, String> {
        PlainRequest::from_json(json.as_bytes(), &signature(), &Limits::default())
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn shape(json: &str, name: &str, expected: &[usize], is_row: bool) {
        let plain = read(json).unwrap();
        assert_eq!((plain.request.inputs.get(name).unwrap().shape(), plain.is_row), (expected, is_row));
    }

    #[test]
    fn shapes_are_those_of_the_model() {
        shape(r#"{"image":[[[1,2],[3,4]]]}"#, "image", &[1, 2, 2], false);
        shape(r#"{"image":[[1,2],[3,4]]}"#, "image", &[1, 2, 2], true);
        shape(r#"{"image":[1,2,3,4]}"#, "image", &[1, 2, 2], true);
        shape(r#"{"image":[[[1,2],[3,4]],[[NaN,2],[3,4]]]}"#, "image", &[2, 2, 2], false);
        shape(r#"{"text":"one"}"#, "text", &[1], true);
        shape(r#"{"text":["a","b, ]","c\"]"]}"#, "text", &[3], false);
        shape(r#"{"text":[ ]}"#, "text", &[0], false);
    }

    #[test]
    fn the_rest_are_parameters() {
        let plain =
            read(r#"{"id":7,"text":"a","temperature":0.5,"parameters":{"timeout":9},"x":null}"#).unwrap();
        let parameters = Parameters::new().with("temperature", 0.5).with("timeout", 9_i64);
        assert_eq!((plain.request.id.as_deref(), plain.request.parameters), (Some("7"), parameters));
    }

    #[test]
    fn mistakes_are_named() {
        for (json, part) in [
            (r#"{"text":[1]}"#, "input `text`: element 0 is `1`; BYTES takes text"),
            (r#"{"image":[[1,2],[3]]}"#, "input `image`: shape [2, 2] asks for 2 at depth 2"),
            (r#"{"picture":[1]}"#, "no input `picture`; it takes `image`, `text`"),
            (r#"{"text":"a","text":"b"}"#, "input `text`: is given twice"),
            (r#"{"id":[1]}"#, "`id` is `[1]`; expected text"),
            ("[1]", "expected"),
            ("{", "not JSON"),
        ] {
            let told = read(json).unwrap_err();
            assert!(told.contains(part), "{told}");
        }
        let deep = format!(r#"{{"text":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        assert!(read(&deep).unwrap_err().contains("32 levels"));
        let told = PlainRequest::from_json(b"{}", &Signature::default(), &Limits::default()).unwrap_err();
        assert!(told.to_string().contains("does not say what it takes"));
    }

    #[test]
    fn more_elements_than_can_be_counted_are_refused() {
        let many = (0..32).fold("0".to_owned(), |inner, _| format!("[{inner},0,0,0]"));
        let told = read(&format!(r#"{{"image":{many}}}"#)).unwrap_err();
        assert!(told.ends_with("is too large"), "{told}");
    }

    #[test]
    fn names_of_the_model_break_no_line() {
        let odd = Signature { inputs: vec![TensorSpec::new("y\n", DType::F32, [Dim::Any])], outputs: vec![] };
        let told = PlainRequest::from_json(br#"{"x":[1]}"#, &odd, &Limits::default()).unwrap_err();
        assert_eq!(told.to_string(), r"the model has no input `x`; it takes `y\n`");
    }

    #[test]
    fn an_inference_is_none() {
        let is_plain = |json: &str| PlainRequest::is_plain(json.as_bytes(), &signature(), &Limits::default());
        assert!(is_plain(r#"{"text":"a"}"#));
        assert!(!is_plain(r#"{"inputs":[]}"#) && !is_plain("no"));
        let many = (0..2000).fold("{".to_owned(), |all, at| all + &format!("\"a{at}\":1,"));
        assert!(!is_plain(&(many + "\"inputs\":[]}")));
        let own =
            Signature { inputs: vec![TensorSpec::new("inputs", DType::F32, [Dim::Any])], outputs: vec![] };
        assert!(PlainRequest::is_plain(br#"{"inputs":[1]}"#, &own, &Limits::default()));
    }

    #[test]
    fn outputs_are_members() {
        let outputs = Tensors::new()
            .with("label", Tensor::new(&[1], vec![7_i64]).unwrap())
            .with("scores", Tensor::new(&[1, 2, 1], vec![0.5_f32, f32::NAN]).unwrap())
            .with("none", Tensor::new(&[1, 0, 3], Vec::<f32>::new()).unwrap());
        let write = |is_row| {
            let none = Parameters::new();
            let written = InferResponse::write_plain("m", None, Some("a"), &none, outputs.iter(), is_row);
            String::from_utf8(written.unwrap()).unwrap()
        };
        let row = r#"{"model_name":"m","id":"a","label":7,"scores":[[0.5],[NaN]],"none":[]}"#;
        assert_eq!(write(true), row);
        let rows = r#"{"model_name":"m","id":"a","label":7,"scores":[[[0.5],[NaN]]],"none":[[]]}"#;
        assert_eq!(write(false), rows);
    }
}
