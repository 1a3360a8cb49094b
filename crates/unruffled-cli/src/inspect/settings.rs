//! What was taken from a settings file, and what of it has no effect.

use std::path::Path;

use serde_json::{Value, json};
use unruffled::ModelFolder;
use unruffled::config::{MLSERVER_FILE_NAME, TRITON_FILE_NAME};

use super::{field, heading, line};
use crate::terminal::{FAINT, WARN};

/// The part of the page about settings: for files of other servers, whose words are others, and for what has no effect.
pub(super) fn page(page: &mut String, model: &ModelFolder) {
    let config = &model.config;
    let name = config.file().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let server = match name {
        TRITON_FILE_NAME => "as Triton has them",
        MLSERVER_FILE_NAME => "as MLServer has them",
        _ if config.notes.is_empty() => return,
        _ => "our own",
    };
    heading(page, "settings");
    field(page, "file", format_args!("{name}, {server}"));
    if config.run.one_by_one {
        field(page, "batch", "none: shapes are whole, and requests are run one by one");
    } else if let Some(rows) = config.run.max_batch {
        field(page, "batch", format_args!("up to {rows} rows"));
    }
    if let Some(runs) = config.run.warm_up {
        field(page, "warm-up", format_args!("{runs} of each instance"));
    }
    if config.cache.is_some() {
        field(page, "cache", "answers are remembered");
    }
    for note in &config.notes {
        let place = if note.line > 0 { format!("line {}", note.line) } else { String::new() };
        line(
            page,
            format_args!(
                "  {FAINT}{place:9}{FAINT:#}  {} {WARN}has no effect{WARN:#}: {}",
                note.key, note.why
            ),
        );
    }
}

/// The same for scripts.
pub(super) fn json(model: &ModelFolder) -> Value {
    let config = &model.config;
    let options = config.pool_options();
    let notes =
        config.notes.iter().map(|note| json!({ "line": note.line, "key": note.key, "why": note.why }));
    json!({
        "file": config.file(),
        "instances": options.instances(),
        "max_batch": options.max_batch(),
        "one_by_one": config.run.one_by_one,
        "queue_items": options.queue().items,
        "warm_up": config.run.warm_up.unwrap_or_default(),
        "cache": config.cache.is_some(),
        "without_effect": notes.collect::<Vec<_>>(),
    })
}
