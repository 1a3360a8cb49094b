//! What a person sees: colours where the terminal takes them, bars where it can redraw a line.

use std::io::IsTerminal;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HEADING: Style = AnsiColor::Cyan.on_default().bold();

/// Whether standard output is a terminal, so that programs whose output passes through may colour it.
pub(crate) fn is_interactive() -> bool {
    std::io::stdout().is_terminal()
}

pub(crate) fn heading(text: &str) {
    anstream::println!("{HEADING}{text}{HEADING:#}");
}

pub(crate) fn note(text: &str) {
    anstream::println!("{NOTE}{text}{NOTE:#}");
}

pub(crate) fn failure(text: &str) {
    anstream::eprintln!("{BAD}error{BAD:#}: {text}");
}

/// A bar over a download. Without a terminal there is none, only the plain lines around it.
pub(crate) fn byte_bar(label: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}")
        .expect("the template is a constant");
    ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_message(label.to_owned())
}

pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A line without its colour codes, for reading what another program printed.
pub(crate) fn plain(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(plain("\u{1b}[32;1m     Summary\u{1b}[0m 3 passed"), "     Summary 3 passed");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(2340)), "2.3 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
