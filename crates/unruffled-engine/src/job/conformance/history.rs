//! Random histories: submissions, claims, endings, wishes to cancel, deaths of the process, and a clock that jumps.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use unruffled_model::Priority;

use super::MakeStore;
use super::bench::{Bench, MODELS, text};
use super::reference::{Back, Limits, Reference};
use crate::error::ErrorKind;
use crate::job::{
    ClaimKey, JobFailure, JobFilter, JobId, JobKey, JobLimits, JobOutcome, JobState, Release, Stored,
    Submitted,
};

/// How much is done in one history.
const STEPS: usize = 150;

const LIMITS: Limits = Limits {
    jobs: 9,
    bytes: 300,
    kept: 7,
    kept_bytes: 200,
    keep_failed: Duration::from_secs(300),
    ageing: Duration::from_secs(20),
    hold: Duration::from_secs(30),
};

/// Plays the history of one seed.
pub(super) fn check(make: &mut MakeStore<'_>, seed: u64) {
    let limits = JobLimits::default()
        .with_jobs(LIMITS.jobs)
        .with_bytes(LIMITS.bytes)
        .with_kept(LIMITS.kept)
        .with_kept_bytes(LIMITS.kept_bytes)
        .with_keep_failed(LIMITS.keep_failed)
        .with_ageing(LIMITS.ageing)
        .with_hold(LIMITS.hold);
    let mut history = History {
        bench: Bench::new(make, limits),
        reference: Reference::new(LIMITS),
        random: Rng::with_seed(seed),
        runners: HashMap::new(),
        results: BTreeMap::new(),
        made: Vec::new(),
    };
    let played = catch_unwind(AssertUnwindSafe(|| history.play()));
    if let Err(panic) = played {
        eprintln!("the history of seed {seed} went wrong");
        resume_unwind(panic);
    }
}

struct History {
    bench: Bench,
    reference: Reference,
    random: Rng,
    /// What each runner believes to hold.
    runners: HashMap<&'static str, Vec<ClaimKey>>,
    /// The results that were said to count.
    results: BTreeMap<JobId, String>,
    made: Vec<JobId>,
}

const RUNNERS: [&str; 2] = ["r", "s"];

impl History {
    fn play(&mut self) {
        for _ in 0..STEPS {
            match self.random.u32(..100) {
                0..28 => self.submit(),
                28..50 => self.claim(),
                50..68 => self.complete(),
                68..76 => self.release(),
                76..82 => self.cancel(),
                82..86 => self.requeue(),
                86..88 => self.forget(),
                88..90 => self.die(),
                90..92 => self.jump(),
                _ => {
                    let seconds = self.random.u64(..15);
                    self.bench.pass(seconds);
                }
            }
            self.compare();
        }
        self.finish();
    }

    fn submit(&mut self) {
        let length = self.random.usize(..60);
        let mut job = self.bench.job(&"i".repeat(length));
        let model = MODELS[self.random.usize(..MODELS.len())];
        job.terms.model = model.into();
        job.terms.priority = Priority::ALL[self.random.usize(..3)];
        job.terms.attempts = self.random.u32(1..4);
        job.terms.keep = Duration::from_secs(self.random.u64(1..200));
        let now = self.bench.now;
        if self.random.u32(..4) == 0 {
            job.terms.not_before = Some(now + Duration::from_secs(self.random.u64(..40)));
        }
        if self.random.u32(..4) == 0 {
            job.terms.deadline = Some(now + Duration::from_secs(self.random.u64(..60)));
        }
        if self.random.u32(..3) == 0 {
            let key = ["a", "b", "c"][self.random.usize(..3)];
            job.input = text(&"k".repeat(self.random.usize(1..3)));
            job.terms.key = Some(JobKey::new(key, model, &job.input));
        }
        let expected = self.reference.submit(now, &job);
        let id = job.id;
        let got = self.bench.submit(job).map_err(|error| error.kind());
        let expected = expected.map(|known| known.map_or(Submitted::New, Submitted::Known));
        assert_eq!(got, expected, "submitting {id}");
        self.made.push(id);
    }

    fn claim(&mut self) {
        let runner = RUNNERS[self.random.usize(..2)];
        let wants = MODELS.map(|model| (model, self.random.usize(..4)));
        // One that is silent for a while does not call: then it loses what it holds, and does not know it.
        let held = self.runners.entry(runner).or_default().clone();
        let claimed = self.bench.call(runner, &held, &wants);
        let names: Vec<(JobId, u64)> = held.iter().map(|key| (key.id, key.token)).collect();
        let expected = self.reference.claim(self.bench.now, &names, &wants);
        let got: Vec<JobId> = claimed.claims.iter().map(|claim| claim.key.id).collect();
        assert_eq!(got, expected, "claimed");
        for claim in &claimed.claims {
            self.reference.name(claim.key.id, claim.key.token);
            let known = self.reference.get(claim.key.id).expect("it was claimed");
            assert_eq!((&claim.input, claim.attempt), (&known.job.input, known.attempts));
            assert_eq!(claim.terms, known.job.terms);
        }
        let withdrawn: Vec<ClaimKey> =
            held.iter().filter(|key| self.reference.is_withdrawn(key.id, key.token)).copied().collect();
        assert_eq!(claimed.withdrawn, withdrawn);
        assert!(claimed.next.is_none_or(|next| next > self.bench.now), "it would be called for ever");
        self.runners.entry(runner).or_default().extend(claimed.claims.iter().map(|claim| claim.key));
    }

    /// One of those that a runner believes to hold; it does not any more afterwards.
    fn held(&mut self) -> Option<ClaimKey> {
        let runner = RUNNERS[self.random.usize(..2)];
        let held = self.runners.get_mut(runner)?;
        (!held.is_empty()).then(|| held.swap_remove(self.random.usize(..held.len())))
    }

    fn complete(&mut self) {
        let Some(key) = self.held() else { return };
        let result = format!("{}-{}", key.token, "r".repeat(self.random.usize(..60)));
        let ending = match self.random.u32(..6) {
            0 => JobState::Failed,
            1 => JobState::Cancelled,
            _ => JobState::Done,
        };
        self.end(key, ending, &result);
    }

    fn end(&mut self, key: ClaimKey, ending: JobState, result: &str) {
        let outcome = match ending {
            JobState::Failed => JobOutcome::Failed(JobFailure::new(ErrorKind::ModelFailed, "no")),
            JobState::Cancelled => JobOutcome::Cancelled,
            _ => JobOutcome::Done(text(result)),
        };
        let expected = self.reference.complete(self.bench.now, key.id, key.token, ending, result);
        assert_eq!(self.bench.complete(key, outcome), expected, "completing {}", key.id);
        if expected == Stored::First && ending == JobState::Done {
            let before = self.results.insert(key.id, result.to_owned());
            assert_eq!(before, None, "two results of {} counted", key.id);
        }
    }

    fn release(&mut self) {
        let Some(key) = self.held() else { return };
        let after = Duration::from_secs(self.random.u64(..20));
        let failure = JobFailure::new(ErrorKind::ModelCrashed, "broke");
        let (back, release) = match self.random.u32(..3) {
            0 => (Back::Return, Release::Return),
            1 => (Back::Postpone(after), Release::Postpone { after, failure }),
            _ => (Back::Retry(after), Release::Retry { after, failure }),
        };
        self.reference.release(self.bench.now, key.id, key.token, back);
        self.bench.release(key, release);
    }

    fn any(&mut self) -> Option<JobId> {
        (!self.made.is_empty()).then(|| self.made[self.random.usize(..self.made.len())])
    }

    fn cancel(&mut self) {
        let Some(id) = self.any() else { return };
        assert_eq!(self.bench.cancel(id), self.reference.cancel(self.bench.now, id), "cancelling {id}");
    }

    fn requeue(&mut self) {
        let failed: Vec<JobId> = self.reference.jobs.iter().map(|known| known.job.id).collect();
        if failed.is_empty() {
            return;
        }
        let id = failed[self.random.usize(..failed.len())];
        let expected = self.reference.requeue(self.bench.now, id);
        assert_eq!(self.bench.requeue(id).map_err(|error| error.kind()), expected, "queueing {id} again");
    }

    fn forget(&mut self) {
        let Some(id) = self.any() else { return };
        let expected = self.reference.forget(self.bench.now, id);
        assert_eq!(self.bench.forget(id).map_err(|error| error.kind()), expected, "forgetting {id}");
    }

    /// The process dies: what runners hold is worth nothing any more.
    fn die(&mut self) {
        if self.bench.store.reopen(self.bench.now) {
            self.reference.reopen(self.bench.now);
            self.runners.clear();
        }
    }

    fn jump(&mut self) {
        let by = Duration::from_secs(self.random.u64(..400));
        self.bench.now = if self.random.bool() { self.bench.now + by } else { self.bench.now - by };
    }

    /// Both know the same.
    fn compare(&mut self) {
        self.bench.sweep();
        self.reference.advance(self.bench.now);
        let mut expected: Vec<_> = self
            .reference
            .jobs
            .iter()
            .map(|known| (known.job.id, known.state, known.attempts, known.cancel_asked))
            .collect();
        expected.sort_unstable_by_key(|(id, ..)| *id);
        let list = self.bench.list(JobFilter::default());
        let got: Vec<_> = list
            .iter()
            .map(|status| (status.id, status.state, status.attempts, status.cancel_asked))
            .collect();
        assert_eq!(got, expected);
        let ended = |status: &&_| crate::job::JobStatus::clone(status).state.is_final();
        assert!(list.iter().filter(ended).count() <= LIMITS.kept);
        assert!(list.len() - list.iter().filter(ended).count() <= LIMITS.jobs);
        for known in &self.reference.jobs {
            let outcome = self.bench.outcome(known.job.id);
            match known.state {
                JobState::Queued | JobState::Running => assert_eq!(outcome, None),
                JobState::Done => {
                    let result = &self.results[&known.job.id];
                    assert_eq!(outcome, Some(JobOutcome::Done(text(result))));
                }
                JobState::Failed => assert!(matches!(outcome, Some(JobOutcome::Failed(_))), "{outcome:?}"),
                JobState::Cancelled => assert_eq!(outcome, Some(JobOutcome::Cancelled)),
            }
            let input =
                (!matches!(known.state, JobState::Done | JobState::Cancelled)).then_some(&known.job.input);
            assert_eq!(self.bench.input(known.job.id).as_ref(), input);
        }
    }

    /// From here on somebody runs whatever there is: every job comes to its end.
    fn finish(&mut self) {
        let end: SystemTime = self.bench.now + Duration::from_secs(10_000);
        while self.reference.jobs.iter().any(|known| !known.state.is_final()) {
            assert!(self.bench.now < end, "some job never ends");
            self.claim();
            self.compare();
            for runner in RUNNERS {
                for key in self.runners.remove(runner).unwrap_or_default() {
                    self.end(key, JobState::Done, "late");
                    self.compare();
                }
            }
            self.bench.pass(7);
        }
    }
}
