//! Logs go to standard error, as lines for people or as JSON for machines. What is logged may change while it runs.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, dynamic_filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};
use unruffled_server::{LogSettings, Logging};

use crate::exit::{Exit, Failure};
use crate::settings::LogFormat;

/// The kinds of lines, the gravest first.
const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// The log, to be changed.
#[derive(Clone)]
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Which levels are left out though graver than one that is not: a bit for each.
    hidden: Arc<AtomicU8>,
    state: Arc<Mutex<State>>,
}

struct State {
    settings: LogSettings,
    /// The parts of the filter that are about single modules: they stay when operators change the rest.
    modules: Vec<String>,
}

/// Starts logging.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<Log, Failure> {
    let (env_filter, state) = parse(filter).map_err(|error| {
        Failure::new(Exit::Usage, format!("--log {filter}: {error}"))
            .hint("--log info, or a filter such as --log warn,unruffled_engine=debug")
    })?;
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let (env_filter, handle) = reload::Layer::new(env_filter);
    let hidden = Arc::<AtomicU8>::default();
    let bits = Arc::clone(&hidden);
    let shown = dynamic_filter_fn(move |line, _| bits.load(Ordering::Relaxed) & bit(line.level()) == 0);
    let lines =
        fmt::layer().with_ansi(colours && std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(env_filter);
    match format {
        LogFormat::Text => registry.with(lines.with_filter(shown)).init(),
        LogFormat::Json => registry.with(lines.json().with_filter(shown)).init(),
    }
    Ok(Log { filter: handle, hidden, state: Arc::new(Mutex::new(state)) })
}

impl Log {
    /// Logs what this filter says from now on.
    pub(crate) fn set_filter(&self, filter: &str) -> Result<(), String> {
        let (env_filter, state) = parse(filter)?;
        self.exchange(env_filter, 0, state)
    }

    fn exchange(&self, filter: EnvFilter, hidden: u8, new: State) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        self.hidden.store(hidden, Ordering::Relaxed);
        *state = new;
        Ok(())
    }
}

impl Logging for Log {
    fn settings(&self) -> LogSettings {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).settings
    }

    fn set(&self, settings: LogSettings) -> Result<(), String> {
        let modules = self.state.lock().unwrap_or_else(PoisonError::into_inner).modules.clone();
        let (general, hidden) = filter_of(settings);
        let filter = std::iter::once(general).chain(modules.iter().map(String::as_str));
        let filter = filter.collect::<Vec<_>>().join(",");
        let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
        self.exchange(filter, hidden, State { settings, modules })
    }
}

/// A filter as it is typed, and what it says.
fn parse(filter: &str) -> Result<(EnvFilter, State), String> {
    let parsed = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
    let is_general = |part: &&str| !part.contains(['=', '[']) && is_level(part);
    let parts = || filter.split(',').map(str::trim).filter(|part| !part.is_empty());
    let general = parts().rfind(is_general).unwrap_or("off");
    let modules = parts().filter(|part| !is_general(part)).map(str::to_owned).collect();
    Ok((parsed, State { settings: settings_of(general), modules }))
}

fn is_level(part: &str) -> bool {
    part.eq_ignore_ascii_case("off") || part.parse::<Level>().is_ok()
}

/// What a level lets through, by kinds of lines.
fn settings_of(level: &str) -> LogSettings {
    let level: Option<Level> = level.parse().ok();
    let has = |kind: Level| level.is_some_and(|level| kind <= level);
    LogSettings {
        error: has(Level::ERROR),
        warning: has(Level::WARN),
        info: has(Level::INFO),
        verbose: u32::from(has(Level::DEBUG)) + u32::from(has(Level::TRACE)),
    }
}

/// The level that lets all wanted kinds through, and the bits of those that it lets through besides.
fn filter_of(settings: LogSettings) -> (&'static str, u8) {
    let LogSettings { error, warning, info, verbose } = settings;
    let wanted = [error, warning, info, verbose >= 1, verbose >= 2];
    let Some(last) = wanted.iter().rposition(|wanted| *wanted) else { return ("off", 0) };
    let hidden = LEVELS[..last].iter().zip(wanted).filter(|(_, wanted)| !wanted);
    let name = ["error", "warn", "info", "debug", "trace"][last];
    (name, hidden.map(|(level, _)| bit(level)).sum())
}

fn bit(level: &Level) -> u8 {
    LEVELS.iter().position(|known| known == level).map_or(0, |place| 1 << place)
}

#[cfg(test)]
mod tests {
    use unruffled_server::LogSettings;

    use super::{filter_of, parse, settings_of};

    #[test]
    fn filters_say_which_kinds_there_are() {
        let verbose = |filter: &str| parse(filter).map(|(_, state)| (state.settings, state.modules)).unwrap();
        assert_eq!(verbose("off").0, settings_of("off"));
        let (settings, modules) = verbose("warn,unruffled_engine=debug");
        assert_eq!(settings, LogSettings { error: true, warning: true, info: false, verbose: 0 });
        assert_eq!(modules, ["unruffled_engine=debug"]);
        assert_eq!(verbose("debug").0.verbose, 1);
        assert_eq!(verbose("trace").0.verbose, 2);
        assert!(parse("a=b=c").is_err());
    }

    #[test]
    fn kinds_make_a_filter() {
        let filter = |error, warning, info, verbose| filter_of(LogSettings { error, warning, info, verbose });
        assert_eq!(filter(false, false, false, 0), ("off", 0));
        assert_eq!(filter(true, true, false, 0), ("warn", 0));
        assert_eq!(filter(true, false, true, 0), ("info", 0b10));
        assert_eq!(filter(false, false, false, 1), ("debug", 0b111));
        for level in ["off", "error", "warn", "info", "debug", "trace"] {
            assert_eq!(filter_of(settings_of(level)), (level, 0));
        }
    }
}
