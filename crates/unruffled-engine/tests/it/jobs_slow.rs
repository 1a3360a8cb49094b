//! Jobs in a queue that takes its time, as one on disk or behind a network does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use unruffled_engine::job::{
    CancelAnswer, ClaimCall, ClaimKey, Claimed, JobCall, JobEvents, JobFilter, JobId, JobLimits, JobOutcome,
    JobProgress, JobQueue, JobStatus, MemoryJobs, NewJob, Payload, QueueFuture, Release, Stored, Submitted,
};
use unruffled_engine::{Engine, Error, ErrorKind, JobsOptions};

use crate::support::{patiently, runtime};

/// A queue in memory whose claims are answered once so many outcomes have been stored, by a runner that holds something; and
/// whose first answers to outcomes are errors.
struct Slow {
    queue: MemoryJobs,
    stored: watch::Sender<usize>,
    failures: watch::Sender<usize>,
}

impl Slow {
    fn new(failures: usize) -> Arc<Self> {
        // Nothing but what happens may wake the runner within the time of a test.
        let queue = MemoryJobs::new(JobLimits::default().with_hold(Duration::from_secs(36_000)));
        Arc::new(Self { queue, stored: watch::Sender::new(0), failures: watch::Sender::new(failures) })
    }
}

impl JobQueue for Slow {
    fn limits(&self) -> &JobLimits {
        self.queue.limits()
    }

    fn submit(&self, now: SystemTime, job: NewJob) -> QueueFuture<'_, Submitted> {
        self.queue.submit(now, job)
    }

    fn claim(&self, now: SystemTime, call: ClaimCall) -> QueueFuture<'_, Claimed> {
        let mut stored = self.stored.subscribe();
        let enough = if call.held.is_empty() { 0 } else { *stored.borrow() + 1 };
        let claimed = self.queue.claim(now, call);
        Box::pin(async move {
            let claimed = claimed.await?;
            // What the runner holds comes to its end while it waits for this.
            let _ = stored.wait_for(|stored| *stored >= enough).await;
            Ok(claimed)
        })
    }

    fn complete(&self, now: SystemTime, claim: ClaimKey, outcome: JobOutcome) -> QueueFuture<'_, Stored> {
        if *self.failures.borrow() > 0 {
            self.failures.send_modify(|failures| *failures -= 1);
            return Box::pin(std::future::ready(Err(Error::new(ErrorKind::NotReady, "the disk is full"))));
        }
        let stored = self.queue.complete(now, claim, outcome);
        self.stored.send_modify(|stored| *stored += 1);
        stored
    }

    fn release(&self, now: SystemTime, claim: ClaimKey, release: Release) -> QueueFuture<'_, ()> {
        self.queue.release(now, claim, release)
    }

    fn progress(&self, claim: ClaimKey, progress: JobProgress) {
        self.queue.progress(claim, progress);
    }

    fn cancel(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, CancelAnswer> {
        self.queue.cancel(now, id)
    }

    fn requeue(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()> {
        self.queue.requeue(now, id)
    }

    fn forget(&self, now: SystemTime, id: JobId) -> QueueFuture<'_, ()> {
        self.queue.forget(now, id)
    }

    fn sweep(&self, now: SystemTime) -> QueueFuture<'_, ()> {
        self.queue.sweep(now)
    }

    fn status(&self, id: JobId) -> QueueFuture<'_, Option<JobStatus>> {
        self.queue.status(id)
    }

    fn list(&self, filter: JobFilter) -> QueueFuture<'_, Vec<JobStatus>> {
        self.queue.list(filter)
    }

    fn outcome(&self, id: JobId) -> QueueFuture<'_, Option<JobOutcome>> {
        self.queue.outcome(id)
    }

    fn input(&self, id: JobId) -> QueueFuture<'_, Option<Payload>> {
        self.queue.input(id)
    }

    fn watch(&self, id: JobId) -> QueueFuture<'_, Option<JobEvents>> {
        self.queue.watch(id)
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.queue.changed()
    }
}

fn check_all_are_run(failures: usize) {
    let engine = Engine::new();
    let (go, wait) = watch::channel(false);
    let options = JobsOptions::default().with_in_flight(1);
    let jobs = engine.use_jobs(Slow::new(failures), options).unwrap();
    jobs.serve("echo", move |call: JobCall| {
        let mut wait = wait.clone();
        async move {
            let _ = wait.wait_for(|go| *go).await;
            Ok(call.input)
        }
    });
    runtime().block_on(async {
        let mut all = Vec::new();
        for number in 0..4 {
            all.push(jobs.submit("echo", number.to_string()).await.unwrap());
        }
        go.send_replace(true);
        for (job, number) in all.iter().zip(0..) {
            assert_eq!(patiently(job.wait()).await.unwrap(), number.to_string());
        }
    });
}

/// A run that ends while the queue is asked leaves room that the question did not speak of.
#[test]
fn room_that_comes_while_the_queue_is_asked_is_used() {
    check_all_are_run(0);
}

#[test]
fn an_outcome_that_cannot_be_stored_is_brought_again() {
    check_all_are_run(1);
}
