//! What operators may see and change of traces and logs, by the protocol's extensions: the same over HTTP and gRPC.

use std::sync::Arc;

use crate::logging::{LogSettings, Logging};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::spans::Tracing;

const LEVEL: &str = "trace_level";
const RATE: &str = "trace_rate";

/// How requests are traced, by the names of the extension.
pub(crate) fn trace(service: &Service) -> [(&'static str, String); 6] {
    let tracing = service.options().tracing.as_ref();
    let (level, rate, mode) = match tracing {
        None => ("OFF", "1000".to_owned(), "triton"),
        Some(tracing) => ("TIMESTAMPS", rate(tracing.ratio()), "opentelemetry"),
    };
    [
        (LEVEL, level.to_owned()),
        (RATE, rate),
        ("trace_count", "-1".to_owned()),
        ("log_frequency", "0".to_owned()),
        ("trace_file", String::new()),
        ("trace_mode", mode.to_owned()),
    ]
}

/// The extension says of how many requests one is traced; 0 is none of those whose traces begin here.
fn rate(ratio: f64) -> String {
    if ratio > 0.0 { format!("{:.0}", 1.0 / ratio) } else { "0".to_owned() }
}

/// Whether a setting has several values, as the extension has it.
pub(crate) fn is_list(name: &str) -> bool {
    name == LEVEL
}

/// Changes how many requests are traced; what would change nothing is taken, and all else is not set here, nor for one model.
pub(crate) fn set_trace(
    service: &Service,
    model: Option<&str>,
    wanted: &[(String, Vec<String>)],
) -> Result<(), Refusal> {
    let known = trace(service);
    for (name, values) in wanted {
        let Some((_, now)) = known.iter().find(|(known, _)| known == name) else {
            return Err(unknown(name, &known.each_ref().map(|(name, _)| *name)));
        };
        // Nothing, or null, is what it was.
        if values.is_empty() || values.iter().all(|value| value == now) {
            continue;
        }
        match &service.options().tracing {
            Some(_) if model.is_some() => {
                return Err(Refusal::unsupported(format!(
                    "`{name}` is the same for all models; set it without a model"
                )));
            }
            Some(tracing) if name == RATE => set_rate(tracing, values)?,
            Some(_) => {
                return Err(Refusal::unsupported(format!(
                    "`{name}` is `{now}` as long as spans are exported; `{RATE}` says of how many requests one is"
                )));
            }
            None => {
                return Err(Refusal::unsupported(format!(
                    "requests are not traced here: leave `{name}` at `{now}`, or start the server with an exporter \
                     of spans"
                )));
            }
        }
    }
    Ok(())
}

fn set_rate(tracing: &Arc<dyn Tracing>, values: &[String]) -> Result<(), Refusal> {
    let rate: Option<u32> = values.first().filter(|_| values.len() == 1).and_then(|rate| rate.parse().ok());
    let Some(rate) = rate else {
        return Err(Refusal::bad_request(format!(
            "`{RATE}` is `{}`; expected of how many requests one is traced, such as 100, or 0 for none",
            shown(&values.join(","))
        )));
    };
    let ratio = if rate == 0 { 0.0 } else { 1.0 / f64::from(rate) };
    tracing.set_ratio(ratio).map_err(Refusal::unsupported)
}

/// A setting of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogValue {
    Bool(bool),
    Number(u32),
    Text(String),
}

const FILE: &str = "log_file";
const FORMAT: &str = "log_format";

/// Lines begin with a moment of this form.
const OUR_FORMAT: &str = "ISO8601";

/// What is logged, by the names of the extension.
pub(crate) fn log(service: &Service) -> Result<[(&'static str, LogValue); 6], Refusal> {
    let LogSettings { error, warning, info, verbose } = logging(service)?.settings();
    Ok([
        (FILE, LogValue::Text(String::new())),
        ("log_info", LogValue::Bool(info)),
        ("log_warning", LogValue::Bool(warning)),
        ("log_error", LogValue::Bool(error)),
        ("log_verbose_level", LogValue::Number(verbose)),
        (FORMAT, LogValue::Text(OUR_FORMAT.to_owned())),
    ])
}

/// Changes what is logged: all that is wanted, or nothing.
pub(crate) fn set_log(service: &Service, wanted: Vec<(String, LogValue)>) -> Result<(), Refusal> {
    let logging = logging(service)?;
    let known = log(service)?;
    let mut settings = logging.settings();
    for (name, value) in wanted {
        match (&*name, value) {
            ("log_info", LogValue::Bool(on)) => settings.info = on,
            ("log_warning", LogValue::Bool(on)) => settings.warning = on,
            ("log_error", LogValue::Bool(on)) => settings.error = on,
            ("log_verbose_level", LogValue::Number(level)) => settings.verbose = level,
            (FILE, LogValue::Text(file)) if file.is_empty() => {}
            (FILE, LogValue::Text(_)) => {
                return Err(Refusal::unsupported(
                    "`log_file` is not set by clients: the log goes to standard error; leave it empty",
                ));
            }
            (FORMAT, LogValue::Text(format)) if format == OUR_FORMAT => {}
            (FORMAT, LogValue::Text(format)) => {
                return Err(Refusal::unsupported(format!(
                    "`log_format` is `{}`; lines are written as {OUR_FORMAT} here",
                    shown(&format)
                )));
            }
            (name, _) => match known.iter().find(|(known, _)| *known == name) {
                Some((_, now)) => {
                    let expected = match now {
                        LogValue::Bool(_) => "true or false",
                        LogValue::Number(_) => "a level from 0 on",
                        LogValue::Text(_) => "a text",
                    };
                    return Err(Refusal::bad_request(format!("`{name}` takes {expected}")));
                }
                None => return Err(unknown(name, &known.each_ref().map(|(name, _)| *name))),
            },
        }
    }
    logging.set(settings).map_err(Refusal::unsupported)
}

fn logging(service: &Service) -> Result<&Arc<dyn Logging>, Refusal> {
    service.options().logging.as_ref().ok_or_else(|| {
        Refusal::unsupported("what is logged is not set by clients here; it is up to who started the server")
    })
}

fn unknown(name: &str, known: &[&str]) -> Refusal {
    Refusal::bad_request(format!("there is no setting `{}`; there are {}", shown(name), known.join(", ")))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
