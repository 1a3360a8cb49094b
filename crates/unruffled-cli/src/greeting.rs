//! What the server says once it can be asked: where, and one line to paste.

use unruffled::{Signature, sample};
use unruffled_protocol::example;

use crate::terminal::{FAINT, HINT, NAME};

/// The most elements that an example spells out.
const ELEMENTS: usize = 64;

/// An example request to one model, and what it is.
pub(crate) struct Example {
    /// What is asked, to stand above the line.
    above: String,
    /// The line itself; nothing may stand in front of it.
    curl: String,
    /// What comes back, to stand below.
    below: &'static str,
}

impl Example {
    /// The line for a model of this name and description; `curl` is how it begins.
    pub(crate) fn new(url: &str, curl: &str, name: &str, signature: &Signature) -> Self {
        let model = format!("{url}/v2/models/{}", example::path_step(name));
        if takes_digits(signature) {
            return Self {
                above: "Ask it what this handwritten seven is:".into(),
                curl: format!("{curl}{model}/infer -d '{}'", sample::SEVEN_JSON.trim()),
                below: "The answer ends with the label: \"data\":[7]",
            };
        }
        match zeros(signature) {
            Some(body) => Self {
                above: format!("Ask {name}, with nothing but zeros:"),
                curl: format!("{curl}{model}/infer -d '{}'", body.replace('\'', r"'\''")),
                below: "The answer has every output in full.",
            },
            None => Self {
                above: format!("See what {name} takes:"),
                curl: format!("{curl}{model}"),
                below: "`unruffled infer --url` asks it with pictures, sounds and files.",
            },
        }
    }

    /// The whole greeting.
    pub(crate) fn page(&self, url: &str, count: usize) -> String {
        let Self { above, curl, below } = self;
        let models = if count == 1 { "one model".into() } else { format!("{count} models") };
        format!(
            "{NAME}Serving {models} on {url}{NAME:#}  {FAINT}Open it in a browser to watch; Ctrl-C ends it{FAINT:#}\n\n\
             {HINT}{above}{HINT:#}\n{curl}\n{FAINT}{below}{FAINT:#}\n"
        )
    }
}

/// The greeting where nothing is loaded before it is asked for.
pub(crate) fn on_demand(url: &str, curl: &str, count: usize) -> String {
    let models = if count == 1 { "one model".into() } else { format!("{count} models") };
    format!(
        "{NAME}Serving {models} on {url}{NAME:#}  {FAINT}Open it in a browser to watch; Ctrl-C ends it{FAINT:#}\n\n\
         {HINT}Each is loaded when it is first asked for. See what one takes:{HINT:#}\n{curl}{url}/v2/models/NAME\n"
    )
}

/// How much an example for this model would show: a real question before zeros, zeros before a description.
pub(crate) fn worth(signature: &Signature) -> u8 {
    match zeros(signature) {
        _ if takes_digits(signature) => 2,
        Some(_) => 1,
        None => 0,
    }
}

/// Whether the model takes what the sample request brings, and answers as the digits do.
fn takes_digits(signature: &Signature) -> bool {
    signature.check(&sample::seven()).is_ok()
        && signature.outputs.last().is_some_and(|output| &*output.name == "label")
}

/// A request of zeros, if one is short enough.
fn zeros(signature: &Signature) -> Option<String> {
    let body = example::request(signature, ELEMENTS)?.to_json().ok()?;
    String::from_utf8(body).ok()
}
