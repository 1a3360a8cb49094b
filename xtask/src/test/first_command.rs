//! The first five minutes of a user, word for word: start the server in an empty folder, run the line that it prints, and
//! look at the answer; then ask without a server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::cargo::{cargo, target_folder};
use crate::command;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(15);

const DIGITS: &[&str] = &["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

pub(crate) fn run() -> Result<()> {
    command::run(&mut cargo(&["build", "--release", "--locked"]))?;
    let program = target_folder()?.join(format!("release/unruffled{}", std::env::consts::EXE_SUFFIX));
    let folder = tempfile::tempdir()?;
    serve(&program, folder.path())?;
    infer(&program, folder.path())
}

fn serve(program: &Path, folder: &Path) -> Result<()> {
    let mut server = Server::start(program, folder)?;
    let said = server.wait_for_example()?;
    let line = said.last().cloned().unwrap_or_default();
    let claimed =
        claimed_digit(&said).with_context(|| format!("the printed line claims no digit: {line}"))?;
    let mut sh = Command::new("sh");
    let answer = command::capture(sh.arg("-c").arg(&line).current_dir(folder))
        .with_context(|| format!("the printed line does not work: {line}"))?;
    println!("answer: {}", answer.trim());
    let label = label(&answer).with_context(|| format!("the answer holds no label: {answer}"))?;
    ensure!(label == claimed.to_string(), "the line claims a {claimed}, the answer says `{label}`");
    server.stop()
}

fn infer(program: &Path, folder: &Path) -> Result<()> {
    let answer = command::capture(Command::new(program).arg("infer").current_dir(folder))?;
    println!("{}", answer.trim_end());
    ensure!(!answer.trim().is_empty(), "`unruffled infer` answered nothing");
    Ok(())
}

/// The server, killed if a check fails before it is stopped.
struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
    reader: Option<std::thread::JoinHandle<()>>,
    program: PathBuf,
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let mut serve = Command::new(program);
        serve.args(["serve", "--http", "127.0.0.1:0"]).current_dir(folder).stdin(Stdio::null());
        let output = command::join_outputs(&mut serve)?;
        let child = serve.spawn().with_context(|| format!("failed to start {}", program.display()))?;
        command::release_outputs(&mut serve);
        // Bounded by what a server says before it is asked anything: its lines are few.
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::Builder::new().name("server-output".into()).spawn(move || {
            let _ = command::each_line(output, |line| {
                print!("| {line}");
                let _ = sender.send(line.to_owned());
            });
        })?;
        Ok(Server { child, lines, reader: Some(reader), program: program.to_path_buf() })
    }

    /// The server's lines up to the first that begins with `curl `, which comes last, joined with its continuations.
    fn wait_for_example(&mut self) -> Result<Vec<String>> {
        let deadline = Instant::now() + STARTS_WITHIN;
        let mut said: Vec<String> = Vec::new();
        let mut example = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => crate::terminal::plain(line.trim()),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the server printed no line that begins with `curl ` within {STARTS_WITHIN:?}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the server ended at once: {}", self.child.wait()?)
                }
            };
            if example.is_empty() && !line.starts_with("curl ") {
                said.push(line);
                continue;
            }
            match line.strip_suffix('\\') {
                Some(begin) => example.push_str(begin),
                None => {
                    said.push(example + &line);
                    return Ok(said);
                }
            }
        }
    }

    /// Asks it to end as an operator would, and expects a clean end.
    fn stop(mut self) -> Result<()> {
        command::run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        // Its output ends when it does: nothing to poll.
        let reader = self.reader.take().context("the output has a reader until here")?;
        let deadline = Instant::now() + STOPS_WITHIN;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} still runs {STOPS_WITHIN:?} after SIGTERM", self.program.display())
                }
            }
        }
        let status = self.child.wait()?;
        reader.join().map_err(|_| anyhow!("the reader of the output panicked"))?;
        ensure!(status.success(), "after SIGTERM the server ended with {status} instead of 0");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The digit that the example, or the line above it, speaks of: in a word such as `seven`, or alone in a comment or a
/// sentence.
fn claimed_digit(said: &[String]) -> Option<usize> {
    let near = said.iter().rev().take(3);
    near.filter_map(|line| digit_in(line)).next()
}

fn digit_in(line: &str) -> Option<usize> {
    let lower = line.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    let named = words.filter_map(|word| DIGITS.iter().position(|digit| *digit == word)).next();
    let remark = || {
        let (_, remark) = lower.rsplit_once('#')?;
        let mut words = remark.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() == 1);
        words.find_map(|word| word.parse().ok())
    };
    named.or_else(remark)
}

/// What the output named `label` says.
fn label(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let outputs = answer.get("outputs")?.as_array()?;
    let label = outputs.iter().find(|output| output.get("name").and_then(Value::as_str) == Some("label"))?;
    let mut first = label.get("data")?.get(0)?;
    while let Value::Array(nested) = first {
        first = nested.first()?;
    }
    Some(first.as_str().map_or_else(|| first.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_is_found_where_a_person_finds_it() {
        for (said, expected) in [
            (&["Try a handwritten seven:", "curl -d @x http://127.0.0.1:80/v2"][..], Some(7)),
            (&["hello", "curl http://127.0.0.1:4/samples/three.json"], Some(3)),
            (&["curl http://127.0.0.1:4/x   # a 9"], Some(9)),
            (&["someone listens", "curl http://127.0.0.1:4/x"], None),
        ] {
            let said: Vec<String> = said.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(claimed_digit(&said), expected, "{said:?}");
        }
    }

    #[cfg(unix)]
    /// A program that serves as a script does: it prints a line that reads `answer` from a file, and on SIGTERM exits
    /// with `code`.
    #[track_caller]
    fn check_script(answer: &str, code: u8, expected: Result<(), &str>) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (program, json) = (folder.path().join("serve.sh"), folder.path().join("answer.json"));
        std::fs::write(&json, answer).unwrap();
        let script = format!(
            "#!/bin/sh\ntrap 'exit {code}' TERM\necho 'A handwritten seven:'\necho '  curl -s \\'\n\
             echo '    file://{}'\nwhile :; do sleep 0.05; done\n",
            json.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let result = serve(&program, folder.path()).map_err(|error| format!("{error:#}"));
        match expected {
            Ok(()) => assert_eq!(result, Ok(())),
            Err(part) => assert!(result.as_ref().is_err_and(|text| text.contains(part)), "{result:?}"),
        }
    }

    #[test]
    #[cfg(unix)]
    fn the_printed_line_is_taken_at_its_word() {
        let answer =
            |label: &str| format!("{{\"outputs\": [{{\"name\": \"label\", \"data\": [\"{label}\"]}}]}}");
        check_script(&answer("7"), 0, Ok(()));
        check_script(&answer("1"), 0, Err("the line claims a 7, the answer says `1`"));
        check_script(&answer("7"), 3, Err("instead of 0"));
        check_script("no json", 0, Err("the answer holds no label"));
    }

    #[test]
    fn the_label_is_read_in_any_form() {
        for data in ["[\"7\"]", "[7]", "[[\"7\"]]"] {
            let answer = format!(
                "{{\"outputs\": [{{\"name\": \"p\", \"data\": [0.1]}}, {{\"name\": \"label\", \"data\": {data}}}]}}"
            );
            assert_eq!(label(&answer).as_deref(), Some("7"), "{data}");
        }
        assert_eq!(label("{\"error\": \"no\"}"), None);
    }
}
