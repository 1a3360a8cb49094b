//! What is said of jobs: pages for people, documents for scripts.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use unruffled::engine::job::{JobId, PayloadInfo};
use unruffled::{JobState, JobStatus};
use unruffled_server::job_status;

use crate::terminal::{BAD, FAINT, GOOD, HINT, NAME, WARN, milliseconds, size};

const ROOM: &str = "a String takes everything";

/// The jobs, one a line, and how many there are of each state.
pub(super) fn list(all: &[JobStatus], listed: &[JobStatus], now: SystemTime) -> String {
    let mut page = String::new();
    let width = listed.iter().map(|status| one_line(&status.model).chars().count()).max().unwrap_or(0);
    for status in listed {
        let age = age(now, status.finished.unwrap_or(status.submitted));
        let state = state(status.state);
        write!(page, "{NAME}{}{NAME:#}  {state}  {:width$}  {age:>9}", status.id, one_line(&status.model))
            .expect(ROOM);
        if let Some(failure) = &status.failure {
            write!(page, "  {FAINT}{}{FAINT:#}", one_line(&failure.message)).expect(ROOM);
        }
        page.push('\n');
    }
    let counts: Vec<String> = JobState::ALL
        .iter()
        .map(|state| (state, count(all, *state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    let counts = if counts.is_empty() { "no jobs".to_owned() } else { counts.join(", ") };
    writeln!(page, "{FAINT}{counts}{FAINT:#}").expect(ROOM);
    page
}

pub(super) fn list_json(all: &[JobStatus], listed: &[JobStatus]) -> Value {
    let counts: serde_json::Map<String, Value> =
        JobState::ALL.iter().map(|state| (state.name().to_owned(), json!(count(all, *state)))).collect();
    json!({ "counts": counts, "jobs": listed.iter().map(job_status).collect::<Vec<_>>() })
}

/// All that is known of a job.
pub(super) fn page(status: &JobStatus, now: SystemTime, store: &str) -> String {
    let mut page = format!("{NAME}{}{NAME:#}  {}\n", status.id, state(status.state));
    let mut line = |label: &str, text: &str| {
        writeln!(page, "  {FAINT}{label:9}{FAINT:#}  {text}").expect(ROOM);
    };
    line("model", &one_line(&status.model));
    if let Some(key) = &status.key {
        line("key", &one_line(key));
    }
    line("priority", &format!("{:?}", status.priority).to_lowercase());
    line("input", &payload(&status.input));
    if let Some(result) = &status.result {
        line("result", &payload(result));
    }
    line("attempts", &format!("{} of {}", status.attempts, status.attempts_max));
    line("submitted", &age(now, status.submitted));
    if let Some(started) = status.started {
        line("started", &age(now, started));
    }
    if let Some(finished) = status.finished {
        line("finished", &age(now, finished));
    }
    if status.state == JobState::Queued && status.ready > now {
        line("begins", &age(now, status.ready));
    }
    if let Some(deadline) = status.deadline {
        line("deadline", &age(now, deadline));
    }
    if status.cancel_asked {
        line("cancelled", "was asked for");
    }
    if let Some(failure) = &status.failure {
        line("failure", &format!("{}: {}", failure.kind.code(), one_line(&failure.message)));
    }
    let next = match status.state {
        JobState::Queued => Some("cancel"),
        JobState::Failed => Some("requeue"),
        JobState::Done => Some("export"),
        JobState::Running | JobState::Cancelled => None,
    };
    if let Some(next) = next {
        writeln!(page, "{HINT}try{HINT:#}: unruffled jobs {next} {store} {}", status.id).expect(ROOM);
    }
    page
}

/// What was done to jobs.
pub(super) fn done(done: &[(JobId, &str)]) -> String {
    if done.is_empty() {
        return "nothing to do\n".into();
    }
    done.iter().map(|(id, what)| format!("{NAME}{id}{NAME:#}  {what}\n")).collect()
}

pub(super) fn done_json(done: &[(JobId, &str)]) -> Value {
    json!({ "jobs": done.iter().map(|(id, what)| json!({ "id": id.to_string(), "what": what })).collect::<Vec<_>>() })
}

fn count(all: &[JobStatus], state: JobState) -> usize {
    all.iter().filter(|status| status.state == state).count()
}

/// The state, coloured and as wide as all others.
fn state(state: JobState) -> String {
    let style = match state {
        JobState::Done => GOOD,
        JobState::Failed => BAD,
        JobState::Running => WARN,
        JobState::Queued | JobState::Cancelled => FAINT,
    };
    format!("{style}{:9}{style:#}", state.name())
}

fn payload(info: &PayloadInfo) -> String {
    format!("{}  {FAINT}{}{FAINT:#}", size(info.bytes), info.kind)
}

/// How long ago that was, or how soon it will be.
fn age(now: SystemTime, at: SystemTime) -> String {
    match now.duration_since(at) {
        Ok(ago) => format!("{} ago", rough(ago)),
        Err(ahead) => format!("in {}", rough(ahead.duration())),
    }
}

fn rough(time: Duration) -> String {
    match time.as_secs() {
        0 => milliseconds(time),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Text that stays on its line, and cannot steer the terminal.
fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{age, one_line};

    #[test]
    fn ages_read_well() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ago = |seconds| age(now, now - Duration::from_secs(seconds));
        assert_eq!(
            [ago(5), ago(119), ago(120), ago(7_200), ago(200_000)],
            ["5 s ago", "119 s ago", "2 min ago", "2 h ago", "2 days ago"]
        );
        assert_eq!(age(now, now + Duration::from_secs(90)), "in 90 s");
    }

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
    }
}
