//! The usual ways to serve a model: one thread, one bounded queue in order of arrival, and a rule for when to run.
//!
//! They get what servers in use give: a full queue refuses at once, and what has expired by the time a batch is taken is
//! dropped and does not take up room in it. (Triton: `max_queue_size`, `default_timeout_microseconds` with the action
//! `REJECT`, `max_queue_delay_microseconds`; BentoML and LitServe: a maximal batch size and a window.)

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::cost::Device;

/// When to run, and how much at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// One request at a time.
    Single,
    /// What is there, as soon as the instance is free.
    WhatIsThere,
    /// A full batch, or what is there so long after the free instance saw the first request of the batch.
    Window(Duration),
    /// A full batch, or what is there so long after the oldest request arrived: Triton's way.
    WindowFromArrival(Duration),
}

/// What a free instance does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Run,
    WaitUntil(Instant),
    WaitForWork,
}

impl Rule {
    pub(crate) fn name(self) -> String {
        match self {
            Rule::Single => "one at a time".to_owned(),
            Rule::WhatIsThere => "what is there".to_owned(),
            Rule::Window(window) => format!("window {window:?}"),
            Rule::WindowFromArrival(window) => format!("window {window:?} from arrival"),
        }
    }

    fn most(self, max_batch: usize) -> usize {
        if self == Rule::Single { 1 } else { max_batch }
    }

    /// Decides by how many wait, since when the oldest does, and since when the free instance has seen anybody wait.
    fn next(self, queued: usize, oldest: Instant, seen: Instant, now: Instant, max_batch: usize) -> Next {
        let run_at = match self {
            _ if queued == 0 => return Next::WaitForWork,
            _ if queued >= self.most(max_batch) => now,
            Rule::Single | Rule::WhatIsThere => now,
            Rule::Window(window) => seen + window,
            Rule::WindowFromArrival(window) => oldest + window,
        };
        if run_at <= now { Next::Run } else { Next::WaitUntil(run_at) }
    }
}

/// One request in the queue. Its reply is dropped when it has expired.
struct Call {
    input: u64,
    arrived: Instant,
    deadline: Instant,
    reply: oneshot::Sender<u64>,
}

struct Shared {
    rule: Rule,
    device: Arc<Device>,
    queue_limit: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Call>,
    stopped: bool,
}

/// A model served by a rule, on a thread that ends with this.
pub(crate) struct Rival(Arc<Shared>);

impl Rival {
    pub(crate) fn start(rule: Rule, device: Arc<Device>, queue_limit: usize) -> Self {
        let (state, work) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { rule, device, queue_limit, state, work });
        let serving = Arc::clone(&shared);
        #[allow(clippy::disallowed_methods, reason = "this is the rival: a bare thread")]
        std::thread::spawn(move || serving.serve());
        Self(shared)
    }

    /// Sends a request; `None` if the queue is full. The receiver fails if the request expires in the queue.
    pub(crate) fn call(&self, input: u64, deadline: Instant) -> Option<oneshot::Receiver<u64>> {
        let (reply, answer) = oneshot::channel();
        let mut state = self.0.state.lock();
        if state.queue.len() >= self.0.queue_limit {
            return None;
        }
        state.queue.push_back(Call { input, arrived: Instant::now(), deadline, reply });
        drop(state);
        self.0.work.notify_one();
        Some(answer)
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.0.state.lock().stopped = true;
        self.0.work.notify_one();
    }
}

impl Shared {
    fn serve(&self) {
        while let Some(batch) = self.next_batch() {
            if !batch.is_empty() {
                self.device.run(batch.len());
            }
            for call in batch {
                // A caller that has gone is no concern of a bare server.
                let _ = call.reply.send(call.input);
            }
        }
    }

    /// Waits until it is time to run. `None`: there will be no more work.
    fn next_batch(&self) -> Option<Vec<Call>> {
        let max_batch = self.device.cost().max_batch;
        let mut seen = None;
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = Instant::now();
            let first = state.queue.front().map(|call| call.arrived);
            if first.is_some() {
                seen.get_or_insert(now);
            }
            let since = |instant: Option<Instant>| instant.unwrap_or(now);
            match self.rule.next(state.queue.len(), since(first), since(seen), now, max_batch) {
                Next::Run => return Some(take(&mut state.queue, self.rule.most(max_batch), now)),
                Next::WaitUntil(until) => drop(self.work.wait_until(&mut state, until)),
                Next::WaitForWork => self.work.wait(&mut state),
            }
        }
    }
}

/// Takes those that came first, up to `most`; drops those that have expired.
fn take(queue: &mut VecDeque<Call>, most: usize, now: Instant) -> Vec<Call> {
    let mut batch = Vec::new();
    while batch.len() < most
        && let Some(call) = queue.pop_front()
    {
        if now < call.deadline {
            batch.push(call);
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::{Call, Next, Rival, Rule, take};
    use crate::cost::{Cost, Device};

    const MS: Duration = Duration::from_millis(1);

    /// So many wait; the oldest arrived 3 ms ago, and the instance became free 1 ms ago. Gives the wait in ms.
    #[track_caller]
    fn check(rule: Rule, queued: usize, wait: Option<u32>) {
        let now = Instant::now();
        let next = rule.next(queued, now - 3 * MS, now - MS, now, 4);
        let expected = match wait {
            Some(0) => Next::Run,
            Some(wait) => Next::WaitUntil(now + wait * MS),
            None => Next::WaitForWork,
        };
        assert_eq!(next, expected, "{rule:?} with {queued}");
    }

    #[test]
    fn rules_wait_as_long_as_they_say() {
        for rule in [Rule::Single, Rule::WhatIsThere, Rule::Window(5 * MS), Rule::WindowFromArrival(5 * MS)] {
            check(rule, 0, None);
            check(rule, 4, Some(0));
        }
        check(Rule::Single, 1, Some(0));
        check(Rule::WhatIsThere, 1, Some(0));
        check(Rule::Window(5 * MS), 3, Some(4));
        check(Rule::WindowFromArrival(5 * MS), 3, Some(2));
        check(Rule::Window(MS), 3, Some(0));
    }

    #[test]
    fn what_has_expired_takes_no_room_in_a_batch() {
        let now = Instant::now();
        let mut answers = Vec::new();
        let mut queue: VecDeque<Call> = (0..6)
            .map(|input| {
                let (reply, answer) = oneshot::channel();
                answers.push(answer);
                let deadline = if input % 2 == 0 { now } else { now + MS };
                Call { input, arrived: now, deadline, reply }
            })
            .collect();
        let batch: Vec<u64> = take(&mut queue, 2, now).iter().map(|call| call.input).collect();
        assert_eq!((batch, queue.len()), (vec![1, 3], 2));
        assert!(answers[0].try_recv().is_err());
    }

    #[test]
    fn a_rival_answers_refuses_and_ends() {
        let device = Arc::new(Device::new(Cost { base: 20_000_000, row: 1_000, max_batch: 2 }));
        let rival = Rival::start(Rule::WhatIsThere, Arc::clone(&device), 3);
        let deadline = Instant::now() + 10_000 * MS;
        let first = rival.call(7, deadline).expect("the queue is empty");
        assert_eq!(first.blocking_recv(), Ok(7));
        // At most two run and three wait.
        let taken = (0..20).filter_map(|input| rival.call(input, deadline)).collect::<Vec<_>>();
        assert!((3..=5).contains(&taken.len()), "{}", taken.len());
        for (input, answer) in taken.into_iter().enumerate() {
            assert_eq!(answer.blocking_recv(), Ok(input as u64));
        }
        drop(rival);
        // The thread held the other half of it.
        while Arc::strong_count(&device) > 1 {
            std::thread::yield_now();
        }
    }
}
