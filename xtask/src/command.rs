//! Other programs: run, captured, or passed through line by line. Errors name the whole command line.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::terminal;

/// Whether a program can be started at all.
pub(crate) fn exists(program: &str, probe: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(probe).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// Runs with the terminal of this process.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| cannot_start(command))?;
    succeeded(command, status)
}

/// What a program printed on standard output. If it fails, the error shows what it said on standard error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({})\n{}", line_of(command), output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs with both outputs joined, shows each line as it comes and hands it, without colours, to `see`.
pub(crate) fn tee(command: &mut Command, mut see: impl FnMut(&str)) -> Result<ExitStatus> {
    let reader = join_outputs(command)?;
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| cannot_start(command))?;
    release_outputs(command);
    each_line(reader, |line| {
        let mut out = std::io::stdout().lock();
        // A closed pipe behind us must not hide how the command ends.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        see(terminal::plain(line.trim_end()).as_str());
    })?;
    Ok(child.wait()?)
}

/// Lets standard output and standard error of a command run into one pipe, in the order written.
pub(crate) fn join_outputs(command: &mut Command) -> Result<std::io::PipeReader> {
    let (reader, writer) = std::io::pipe().context("failed to make a pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    Ok(reader)
}

/// Closes this process's ends of the pipe: the reader sees the end when the child is gone.
pub(crate) fn release_outputs(command: &mut Command) {
    command.stdout(Stdio::null()).stderr(Stdio::null());
}

/// Calls `see` with each line, its line end included. Bytes that are no UTF-8 are replaced.
pub(crate) fn each_line(reader: impl Read, mut see: impl FnMut(&str)) -> Result<()> {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        see(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

pub(crate) fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(anyhow!("`{}` failed ({status})", line_of(command)))
}

/// The command as one would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn cannot_start(command: &Command) -> String {
    format!("failed to start `{}`", line_of(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_are_seen_line_by_line() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three"]);
        let status = tee(&mut command, |line| seen.push(line.to_owned())).unwrap();
        assert!(status.success());
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let mut command = Command::new("sh");
        let error = capture(command.args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("no such thing"), "{text}");
    }
}
