//! `GET /` for whoever does not want HTML: a text with a line for each model that asks it something.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};
use unruffled_engine::ModelStatus;
use unruffled_protocol::example;

use crate::access::Identity;
use crate::service::Service;

/// The most elements that an example spells out.
const ELEMENTS: usize = 16;

pub(super) fn welcome(service: &Service, identity: &Identity, headers: &HeaderMap) -> String {
    let host = host(headers);
    let scheme = if service.options().tls.is_some() { "https" } else { "http" };
    let mut page = format!(
        "This is Unruffled {}: machine-learning models behind the Open Inference Protocol V2.\n\n\
         curl {scheme}://{host}/v2/health/ready\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut models = service.models();
    models.retain(|model| identity.sees(&model.name));
    page.push_str(if models.is_empty() { "\nThere are no models.\n" } else { "\nModels:\n" });
    for model in &models {
        let name = &model.name;
        let state = if model.is_ready() { "" } else { " (not ready)" };
        let version = service.version(name);
        let version = version.map_or(String::new(), |version| format!(", version {version}"));
        let url = format!("{scheme}://{host}/v2/models/{}", example::path_step(name));
        let ask = ask(model, &url);
        write!(page, "\n  {name}{version}{state}\n    {ask}\n").expect("a String takes everything");
    }
    page
}

/// A line that asks the model something, or asks about it where an example would be too long.
fn ask(model: &ModelStatus, url: &str) -> String {
    let signature = model.info.as_ref().map(|info| &info.signature);
    let request = signature.and_then(|signature| example::request(signature, ELEMENTS));
    match request.and_then(|request| request.to_json().ok()) {
        Some(body) => {
            let body = String::from_utf8_lossy(&body).replace('\'', r"'\''");
            format!("curl {url}/infer -d '{body}'")
        }
        None => format!("curl {url}"),
    }
}

/// The address as the client knows it, if it is one.
fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_plain = |host: &&str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    };
    host.filter(is_plain).unwrap_or("localhost")
}
