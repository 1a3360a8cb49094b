//! A server under test and a client that can also misbehave.

mod certificates;
mod client;
mod server;

pub(crate) use certificates::{Authority, Certificate, tls_client};
pub(crate) use client::{Answer, Client};
pub(crate) use server::{TestServer, wait_until};

/// The body of a request for the doubling model: one row.
pub(crate) const ONE_ROW: &str =
    r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]}"#;

/// The same under a name.
pub(crate) fn one_row(id: &str) -> String {
    format!(r#"{{"id":"{id}",{}"#, &ONE_ROW[1..])
}

/// The same with a parameter.
pub(crate) fn one_row_with(id: &str, parameters: &str) -> String {
    format!(r#"{{"id":"{id}","parameters":{{{parameters}}},{}"#, &ONE_ROW[1..])
}

/// Many rows: too large for the event loop.
pub(crate) fn many_rows(rows: usize) -> String {
    let data = vec!["1.25,2"; rows].join(",");
    format!(r#"{{"inputs":[{{"name":"x","shape":[{rows},2],"datatype":"FP32","data":[{data}]}}]}}"#)
}
