//! `GET /`: a page in plain text for whoever opens the address in a browser.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use unruffled_engine::ModelStatus;
use unruffled_model::{DType, Dim, Signature, TensorSpec};
use unruffled_protocol::datatype;

use crate::service::Service;

/// The most elements that an example spells out.
const ELEMENTS: usize = 16;

pub(crate) async fn welcome(State(service): State<Service>, headers: HeaderMap) -> String {
    let host = host(&headers);
    let mut page = format!(
        "This is Unruffled {}: machine-learning models behind the Open Inference Protocol V2.\n\n\
         curl http://{host}/v2/health/ready\n",
        env!("CARGO_PKG_VERSION")
    );
    let models = service.models();
    page.push_str(if models.is_empty() { "\nThere are no models.\n" } else { "\nModels:\n" });
    for model in &models {
        let name = &model.name;
        let state = if model.is_ready() { "" } else { " (not ready)" };
        let version = service.version(name);
        let version = version.map_or(String::new(), |version| format!(", version {version}"));
        let url = format!("http://{host}/v2/models/{}", percent_encoded(name));
        let ask = ask(model, &url);
        write!(page, "\n  {name}{version}{state}\n    {ask}\n").expect("a String takes everything");
    }
    page
}

/// A line that asks the model something, or asks about it where an example would be too long.
fn ask(model: &ModelStatus, url: &str) -> String {
    let signature = model.info.as_ref().map(|info| &info.signature);
    match signature.and_then(example) {
        Some(body) => format!("curl {url}/infer -d '{}'", body.replace('\'', r"'\''")),
        None => format!("curl {url}"),
    }
}

/// A request that the model takes, if one is short enough.
fn example(signature: &Signature) -> Option<String> {
    let required = signature.inputs.iter().filter(|spec| spec.default.is_none());
    let inputs: Vec<String> = required.map(example_input).collect::<Option<_>>()?;
    (!inputs.is_empty()).then(|| format!(r#"{{"inputs":[{}]}}"#, inputs.join(",")))
}

fn example_input(spec: &TensorSpec) -> Option<String> {
    let shape: Vec<usize> = spec
        .dims
        .as_ref()?
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbolic(_) | Dim::Any => 1,
        })
        .collect();
    let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))?;
    if count > ELEMENTS {
        return None;
    }
    let element = match spec.dtype {
        DType::Bool => "false",
        DType::Bytes => "\"text\"",
        _ => "0",
    };
    let data = vec![element; count].join(",");
    let name = serde_json::Value::from(&*spec.name);
    let datatype = datatype::name(spec.dtype);
    Some(format!(r#"{{"name":{name},"shape":{shape:?},"datatype":"{datatype}","data":[{data}]}}"#))
}

/// The address as the client knows it, if it is one.
fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_plain = |host: &&str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    };
    host.filter(is_plain).unwrap_or("localhost")
}

/// A text as one step of a path.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}
