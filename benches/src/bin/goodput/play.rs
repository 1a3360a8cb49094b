//! Plays a trace to a contender in real time, and notes how every request ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::{histogram, record};
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;

use crate::contender::{Contender, Miss, Way};
use crate::cost::{Cost, Device, Done};
use crate::workload::{Class, Request};

/// How one contender fared with one trace.
pub(crate) struct Score {
    pub(crate) requests: usize,
    pub(crate) tight: usize,
    /// Answered in time, of all and of the tight.
    pub(crate) good: usize,
    pub(crate) good_tight: usize,
    pub(crate) refused: usize,
    /// Taken in, and then dropped or answered late.
    pub(crate) broken: usize,
    /// From the planned arrival to an answer in time.
    pub(crate) latency: Histogram<u64>,
    /// How much later than planned requests were sent: the load generator's own fault.
    pub(crate) sent_late: Histogram<u64>,
    pub(crate) done: Done,
    pub(crate) seconds: f64,
}

impl Score {
    /// Part of all requests.
    pub(crate) fn share(&self, count: usize) -> f64 {
        count as f64 / self.requests.max(1) as f64
    }

    /// Part of those taken in that were not answered in time.
    pub(crate) fn broken_share(&self) -> f64 {
        self.broken as f64 / (self.requests - self.refused).max(1) as f64
    }

    /// Part of those of the tight class that were answered in time.
    pub(crate) fn good_tight_share(&self) -> f64 {
        self.good_tight as f64 / self.tight.max(1) as f64
    }

    pub(crate) fn mean_batch(&self) -> f64 {
        self.done.rows as f64 / self.done.runs.max(1) as f64
    }

    /// How much longer than they should have runs took, as a part of that.
    pub(crate) fn overrun(&self, cost: &Cost) -> f64 {
        let nominal = self.done.runs * cost.base + self.done.rows * cost.row;
        self.done.over as f64 / nominal.max(1) as f64
    }
}

/// What became of one request.
struct Fate {
    class: Class,
    sent_late: Duration,
    /// How long the answer took, and whether it was in time.
    answer: Result<(Duration, bool), Miss>,
}

/// Starts the contender, warms it up, and plays the trace.
pub(crate) fn play(
    runtime: &Runtime,
    way: Way,
    cost: Cost,
    queue_limit: usize,
    warm_up: &[Request],
    trace: &[Request],
) -> Score {
    let device = Arc::new(Device::new(cost));
    let contender = Arc::new(way.start(&device, queue_limit));
    send(runtime, &contender, warm_up);
    let before = device.done();
    let fates = send(runtime, &contender, trace);
    let mut score = tally(&fates);
    score.done = device.done().since(before);
    score.seconds = trace.last().map_or(0.0, |request| request.arrival as f64 / 1e9);
    score
}

/// Sends each request when its time has come, from this thread: it sleeps in between, and does nothing else.
fn send(runtime: &Runtime, contender: &Arc<Contender>, trace: &[Request]) -> Vec<Fate> {
    let begin = Instant::now() + Duration::from_millis(5);
    let mut tasks = Vec::with_capacity(trace.len());
    for (number, &request) in trace.iter().enumerate() {
        let planned = begin + Duration::from_nanos(request.arrival);
        loop {
            let left = planned.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
        tasks.push(runtime.spawn(ask(Arc::clone(contender), number as u64, begin, request)));
    }
    runtime.block_on(async {
        let mut fates = Vec::with_capacity(tasks.len());
        for task in tasks {
            fates.push(task.await.expect("no caller panics"));
        }
        fates
    })
}

async fn ask(contender: Arc<Contender>, number: u64, begin: Instant, request: Request) -> Fate {
    let planned = begin + Duration::from_nanos(request.arrival);
    let deadline = begin + Duration::from_nanos(request.deadline);
    let sent_late = planned.elapsed();
    let output = contender.call(number, deadline).await;
    let now = Instant::now();
    let answer = output.map(|output| {
        assert_eq!(output, number, "an answer went astray");
        (now - planned, now <= deadline)
    });
    Fate { class: request.class, sent_late, answer }
}

fn tally(fates: &[Fate]) -> Score {
    let (mut latency, mut sent_late) = (histogram(), histogram());
    let count = |of: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| of(fate)).count();
    let good = |fate: &Fate| matches!(fate.answer, Ok((_, true)));
    for fate in fates {
        record(&mut sent_late, fate.sent_late);
        if let Ok((took, true)) = fate.answer {
            record(&mut latency, took);
        }
    }
    Score {
        requests: fates.len(),
        tight: count(&|fate| fate.class == Class::Tight),
        good: count(&good),
        good_tight: count(&|fate| fate.class == Class::Tight && good(fate)),
        refused: count(&|fate| fate.answer == Err(Miss::Refused)),
        broken: count(&|fate| matches!(fate.answer, Ok((_, false)) | Err(Miss::Dropped))),
        latency,
        sent_late,
        done: Done::default(),
        seconds: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Fate, tally};
    use crate::contender::Miss;
    use crate::workload::Class;

    #[test]
    fn every_request_is_counted_once() {
        let ms = Duration::from_millis;
        let answers = [Ok((ms(5), true)), Ok((ms(90), false)), Err(Miss::Dropped), Err(Miss::Refused)];
        let fates = answers.map(|answer| Fate { class: Class::Tight, sent_late: ms(1), answer });
        let score = tally(&fates);
        assert_eq!((score.requests, score.good, score.broken, score.refused), (4, 1, 2, 1));
        assert_eq!((score.tight, score.good_tight, score.latency.len()), (4, 1, 1));
        assert_eq!(score.share(score.good), 0.25);
        assert!((score.broken_share() - 2.0 / 3.0).abs() < 1e-9);
    }
}
