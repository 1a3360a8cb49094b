//! `unruffled explain`: what became of a request to a server.

use serde_json::Value;

use crate::args::Explain;
use crate::exit::{Exit, Failure};
use crate::remote::Remote;
use crate::terminal;

pub(crate) fn run(args: &Explain) -> Result<(), Failure> {
    let body = Remote::server(&args.url, None)?.explain(args.model.as_deref(), &args.id)?;
    let story: Value =
        serde_json::from_slice(&body).map_err(|error| strange(&args.url, &error.to_string()))?;
    let text = story["story"].as_str().ok_or_else(|| strange(&args.url, "its answer has no `story`"))?;
    let page = if args.json { format!("{story:#}\n") } else { text.to_owned() };
    terminal::print(&page);
    Ok(())
}

fn strange(url: &str, why: &str) -> Failure {
    Failure::new(Exit::Network, format!("{url} does not explain requests: {why}"))
}
