//! What a person sees: a few styles, and numbers that read well. Colours go only where a terminal takes them.

use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const NAME: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const BAR: Style = AnsiColor::Cyan.on_default();

/// Prints a whole page to standard output. Whoever reads may stop at any time: `unruffled inspect x | head -3`.
pub(crate) fn print(page: &str) {
    let mut out = anstream::stdout().lock();
    // Nothing is left to be said to somebody who has gone.
    let _ = out.write_all(page.as_bytes()).and_then(|()| out.flush());
}

/// A warning on standard error.
pub(crate) fn warn(text: &str) {
    anstream::eprintln!("{WARN}warning{WARN:#}: {text}");
}

pub(crate) fn milliseconds(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ..1.0 => format!("{ms:.2} ms"),
        ..10.0 => format!("{ms:.1} ms"),
        ..10_000.0 => format!("{ms:.0} ms"),
        _ if ms % 1e3 == 0.0 => format!("{:.0} s", ms / 1e3),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1e3 => format!("{bytes:.0} bytes"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// A bar of at most `width` for a part from 0 to 1, padded to the full width.
pub(crate) fn bar(part: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] =
        ["", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}"];
    let eighths = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let (whole, rest) = (eighths / 8, EIGHTHS[eighths % 8]);
    let blanks = width - whole - usize::from(!rest.is_empty());
    format!("{}{rest}{}", "\u{2588}".repeat(whole), " ".repeat(blanks))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bar, milliseconds, size};

    #[test]
    fn numbers_read_well() {
        let ms = |micros| milliseconds(Duration::from_micros(micros));
        assert_eq!(
            [ms(170), ms(2_340), ms(812_000), ms(12_340_000)],
            ["0.17 ms", "2.3 ms", "812 ms", "12.3 s"]
        );
        assert_eq!([size(12), size(108_200), size(90_298_602)], ["12 bytes", "108.2 kB", "90.3 MB"]);
    }

    #[test]
    fn bars_are_all_of_one_width() {
        for part in [0.0, 0.004, 0.05, 0.5, 0.999, 1.0, f64::NAN] {
            assert_eq!(bar(part, 20).chars().count(), 20, "{part}");
        }
    }
}
