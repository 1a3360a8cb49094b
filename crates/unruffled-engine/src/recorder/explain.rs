//! [`Explanation`]: why a request took as long as it did, or was not answered.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use unruffled_model::{Name, RequestId};

use super::{Ending, Place, RunEnd, RunNote};
use crate::error::Error;
use crate::metrics::{Brief, words};
use unruffled_model::Priority;

/// So many neighbours in a run are displayed by id.
const NAMED: usize = 3;

/// What became of one request, and why. Displayed as a timeline. Points in time count from its arrival.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The model that it was for.
    pub model: Name,
    /// The name of the request.
    pub id: RequestId,
    /// Its class.
    pub priority: Priority,
    /// When it came, by the clock of the machine as it is set now.
    pub arrived: SystemTime,
    /// When it ended.
    pub ended: Instant,
    /// How long it had when it came; `None` if it would have waited for ever.
    pub allowed: Option<Duration>,
    /// Requests that were to run before it when it came.
    pub ahead_requests: usize,
    /// The rows of these.
    pub ahead_rows: usize,
    /// Runs of the model in progress when it came.
    pub running: usize,
    /// How long it was expected to wait when it came; `None` if too little was known.
    pub predicted_wait: Option<Duration>,
    /// How long it was expected to run when it came; `None` if too little was known.
    pub predicted_run: Option<Duration>,
    /// How long it was not in a run. This and [`ran`](Self::ran) make [`total`](Self::total).
    pub waited: Duration,
    /// How long it was in runs, together.
    pub ran: Duration,
    /// From arrival to end.
    pub total: Duration,
    /// Its runs, in order. One that it left, and that still goes on, is not among them yet.
    pub runs: Vec<ExplainedRun>,
    /// How it ended: answered, or why not.
    pub outcome: Result<(), Error>,
    place: EndPlace,
}

/// One run that a request was in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExplainedRun {
    /// When it began, counted from the arrival of the request.
    pub began: Duration,
    /// When it ended, counted from the arrival of the request.
    pub ended: Duration,
    /// How long it was expected to take; `None` if too little was known.
    pub predicted: Option<Duration>,
    /// Which instance of the model ran it, counted from 0.
    pub instance: usize,
    /// How many requests shared it, this one included.
    pub requests: usize,
    /// How many rows these had together.
    pub rows: usize,
    /// Who else was in it; the first few.
    pub neighbours: Vec<RequestId>,
    /// How it ended.
    pub end: RunEnd,
}

/// Where the request was when it ended.
#[derive(Clone, Copy, Debug)]
enum EndPlace {
    Arrival,
    Queue,
    /// In a run that went on without it.
    Running(Duration),
    Leased(usize),
    Ran,
}

impl Explanation {
    pub(super) fn new(model: &Name, ending: Ending, notes: &[impl AsRef<RunNote>]) -> Self {
        let Ending { id, priority, deadline, arrival, ended, place, outcome } = ending;
        let since = |at: Instant| at.saturating_duration_since(arrival.at);
        let total = since(ended);
        let mut runs: Vec<_> =
            notes.iter().map(|note| ExplainedRun::new(&id, note.as_ref(), since)).collect();
        runs.sort_by_key(|run| run.began);
        let place = match place {
            Place::Arrival => EndPlace::Arrival,
            Place::Queue => EndPlace::Queue,
            Place::Running { began } => EndPlace::Running(since(began)),
            Place::Leased { instance } => EndPlace::Leased(instance),
            Place::Ran(_) => EndPlace::Ran,
        };
        let mut ran: Duration = runs.iter().map(|run| run.ended.min(total).saturating_sub(run.began)).sum();
        if let EndPlace::Running(began) = place
            && runs.last().is_none_or(|last| last.ended < began)
        {
            ran += total.saturating_sub(began);
        }
        let ago = Instant::now().saturating_duration_since(arrival.at);
        let now = SystemTime::now();
        Self {
            model: Name::clone(model),
            id,
            priority,
            arrived: now.checked_sub(ago).unwrap_or(now),
            ended,
            allowed: deadline.map(since),
            ahead_requests: arrival.ahead_requests,
            ahead_rows: arrival.ahead_rows,
            running: arrival.running,
            predicted_wait: arrival.predicted_wait,
            predicted_run: arrival.predicted_run,
            waited: total.saturating_sub(ran),
            ran: ran.min(total),
            total,
            runs,
            outcome,
            place,
        }
    }

    /// What happened when, in order.
    fn events(&self) -> Vec<(Duration, String)> {
        let mut events = vec![(Duration::ZERO, self.arrival_text())];
        for (at, run) in self.runs.iter().enumerate() {
            events.push((run.began, run.beginning_text()));
            // The last line tells how the run ended that the request ended with.
            let is_last = at + 1 == self.runs.len();
            if !(is_last && matches!(self.place, EndPlace::Ran)) {
                events.push((run.ended, run.end_text(self.total)));
            }
        }
        if let EndPlace::Running(began) = self.place
            && self.runs.last().is_none_or(|last| last.ended < began)
        {
            events.push((began, "taken into a run".to_owned()));
        }
        let end = (self.total, self.end_text());
        // After what has led to it, and before what came later.
        let at = events.iter().rposition(|(at, _)| *at <= self.total).map_or(0, |at| at + 1);
        events.insert(at, end);
        events.sort_by_key(|(at, _)| *at);
        events
    }

    fn arrival_text(&self) -> String {
        let ahead = match self.ahead_requests {
            0 => "nothing ahead".to_owned(),
            requests => format!("{} ({}) ahead", many(requests, "request"), many(self.ahead_rows, "row")),
        };
        let running = match self.running {
            0 => "no run going on".to_owned(),
            running => format!("{} going on", many(running, "run")),
        };
        let predicted = match (self.predicted_wait, self.predicted_run) {
            (None, None) => "nothing predicted yet".to_owned(),
            (Some(wait), None) => format!("predicted: wait {}", Brief(wait)),
            (None, Some(run)) => format!("predicted: run {}", Brief(run)),
            (Some(wait), Some(run)) => format!("predicted: wait {}, run {}", Brief(wait), Brief(run)),
        };
        format!("came; {ahead}, {running}; {predicted}")
    }

    fn end_text(&self) -> String {
        let times = format!("waited {}, ran {}", Brief(self.waited), Brief(self.ran));
        if let EndPlace::Leased(instance) = self.place {
            return format!("given instance {instance} as a lease; waited {}", Brief(self.waited));
        }
        let error = match &self.outcome {
            Ok(()) if self.runs.len() > 1 => return format!("answered; {times} in {} runs", self.runs.len()),
            Ok(()) if matches!(self.place, EndPlace::Arrival) => return "answered from the cache".to_owned(),
            Ok(()) => return format!("answered; {times}"),
            Err(error) => error,
        };
        match self.place {
            EndPlace::Arrival => format!("refused: {}", error.message()),
            EndPlace::Queue if self.runs.is_empty() => {
                format!("{}: {}; never ran", words(error.kind()), error.message())
            }
            EndPlace::Queue | EndPlace::Running(_) | EndPlace::Leased(_) | EndPlace::Ran => {
                format!("{}: {}; {times}", words(error.kind()), error.message())
            }
        }
    }
}

impl ExplainedRun {
    fn new(id: &RequestId, note: &RunNote, since: impl Fn(Instant) -> Duration) -> Self {
        // Another request of the same id is a neighbour.
        let own = note.requests.iter().position(|other| other == id);
        let others = note.requests.iter().enumerate().filter(|(at, _)| Some(*at) != own);
        Self {
            began: since(note.began),
            ended: since(note.ended),
            predicted: note.predicted,
            instance: note.instance,
            requests: note.request_count,
            rows: note.rows,
            neighbours: others.map(|(_, other)| other.clone()).collect(),
            end: note.end,
        }
    }

    fn beginning_text(&self) -> String {
        let mut text = format!("run on instance {}", self.instance);
        let rows = many(self.rows, "row");
        match self.requests.saturating_sub(1) {
            0 => text += &format!(", alone ({rows})"),
            others => {
                let named = self.neighbours.iter().take(NAMED).map(|id| format!("`{id}`"));
                let named: Vec<_> = named.collect();
                text += &format!(" with {} ({rows}): {}", many(others, "other"), named.join(", "));
                match others.saturating_sub(named.len()) {
                    0 => {}
                    more => text += &format!(" and {more} more"),
                }
            }
        }
        if let Some(predicted) = self.predicted {
            text += &format!("; predicted {}", Brief(predicted));
        }
        text
    }

    fn end_text(&self, total: Duration) -> String {
        let took = Brief(self.ended.saturating_sub(self.began));
        if self.ended > total {
            let how = match self.end {
                RunEnd::Completed => "came to its end",
                RunEnd::Failed | RunEnd::Split => "failed",
                RunEnd::Crashed => "broke down",
                RunEnd::Preempted | RunEnd::Stopped => "was stopped",
            };
            return format!("the run {how} after {took}, without this request");
        }
        match self.end {
            RunEnd::Completed => format!("the run came to its end after {took}"),
            RunEnd::Failed => format!("the run failed after {took}"),
            RunEnd::Crashed => format!("the run broke down after {took}"),
            RunEnd::Preempted => {
                format!("pre-empted after {took} by something more urgent; back in the queue")
            }
            RunEnd::Split => format!("the run failed after {took}; its requests are run again in parts"),
            RunEnd::Stopped => format!("the run was stopped after {took}: nobody waited for it any more"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request `{}` to `{}`: ", self.id, self.model)?;
        let total = Brief(self.total);
        match (&self.outcome, self.place) {
            (Ok(()), _) => write!(f, "answered after {total}")?,
            (Err(error), EndPlace::Arrival) => write!(f, "refused on arrival, {}", words(error.kind()))?,
            (Err(error), place) => {
                let place = match place {
                    EndPlace::Queue => " in the queue",
                    EndPlace::Running(_) => " while it ran",
                    EndPlace::Arrival | EndPlace::Leased(_) | EndPlace::Ran => "",
                };
                write!(f, "{} after {total}{place}", words(error.kind()))?;
            }
        }
        let priority = match self.priority {
            Priority::Interactive => "interactive",
            Priority::Normal => "normal",
            Priority::Bulk => "bulk",
        };
        match self.allowed {
            Some(allowed) => writeln!(f, " ({priority}, {} allowed)", Brief(allowed))?,
            None => writeln!(f, " ({priority}, no deadline)")?,
        }

        let events = self.events();
        let clock = Clock::up_to(events.last().map_or(self.total, |(at, _)| *at));
        let times: Vec<_> = events.iter().map(|(at, _)| clock.read(*at)).collect();
        let width = times.iter().map(String::len).max().unwrap_or(0);
        for ((_, text), time) in events.iter().zip(times) {
            // A message may have more lines than one.
            let text = text.replace('\n', &format!("\n{:1$}", "", width + 4));
            writeln!(f, "  {time:>width$}  {text}")?;
        }
        Ok(())
    }
}

/// One unit for all points in time, so that they can be compared at a glance.
struct Clock {
    seconds: f64,
    unit: &'static str,
}

impl Clock {
    fn up_to(last: Duration) -> Self {
        let (seconds, unit) = match last {
            // Nothing but an arrival is not short, only early.
            last if !last.is_zero() && last < Duration::from_millis(1) => (1e-6, "us"),
            last if last < Duration::from_secs(10) => (1e-3, "ms"),
            _ => (1.0, "s"),
        };
        Self { seconds, unit }
    }

    fn read(&self, at: Duration) -> String {
        format!("{:.1} {}", at.as_secs_f64() / self.seconds, self.unit)
    }
}

fn many(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
