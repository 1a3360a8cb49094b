//! Jobs on disk: the suite that every queue passes, and what only a disk can do.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use unruffled::engine::ErrorKind as EngineErrorKind;
use unruffled::engine::job::conformance::{self, Store};
use unruffled::engine::job::{
    ClaimCall, JobId, JobLimits, JobOutcome, JobQueue, JobState, JobTerms, NewJob, Payload, Want,
};
use unruffled::{DurableJobs, Engine, ErrorKind, Job, JobsOptions, Load, Tensors, sample};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn open(folder: &Path, limits: JobLimits, now: SystemTime) -> Result<Arc<DurableJobs>, unruffled::Error> {
    runtime().block_on(DurableJobs::open_at(folder, limits, now)).map(Arc::new)
}

fn open_now(folder: &Path) -> Result<Arc<DurableJobs>, unruffled::Error> {
    open(folder, JobLimits::default(), SystemTime::now())
}

fn close(queue: &DurableJobs) {
    runtime().block_on(queue.close());
}

struct OnDisk {
    folder: TempDir,
    limits: JobLimits,
    queue: Arc<DurableJobs>,
}

impl Store for OnDisk {
    fn queue(&self) -> Arc<dyn JobQueue> {
        self.queue.clone()
    }

    fn reopen(&mut self, now: SystemTime) -> bool {
        close(&self.queue);
        self.queue = open(self.folder.path(), self.limits.clone(), now).unwrap();
        true
    }
}

fn make(limits: JobLimits) -> Box<dyn Store> {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), limits.clone(), SystemTime::UNIX_EPOCH).unwrap();
    Box::new(OnDisk { folder, limits, queue })
}

#[test]
fn a_disk_keeps_what_every_queue_promises() {
    conformance::check_cases(&mut make);
}

#[test]
fn a_disk_does_what_the_reference_does() {
    conformance::check_histories(&mut make, 1..=12);
}

fn job(number: u128, input: Payload) -> NewJob {
    NewJob { id: JobId::from(number), terms: JobTerms::new("m"), input }
}

fn text(text: &str) -> Payload {
    Payload::new("text/plain", text.to_owned())
}

/// Takes the next job of a queue and gives it this result.
fn run_one(queue: &DurableJobs, result: Payload) -> JobId {
    runtime().block_on(async {
        let wants = vec![Want { model: "m".into(), jobs: 1 }];
        let call = ClaimCall { runner: "r".into(), held: vec![], wants };
        let claim = queue.claim(SystemTime::now(), call).await.unwrap().claims.pop().unwrap();
        queue.complete(SystemTime::now(), claim.key, JobOutcome::Done(result)).await.unwrap();
        claim.key.id
    })
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("blobs")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn large_payloads_are_files_that_come_and_go_with_their_job() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open_now(folder.path()).unwrap();
    let large = |byte: u8| Payload::new("application/octet-stream", vec![byte; 100_000]);
    let block_on = |future| runtime().block_on::<unruffled::engine::job::QueueFuture<'_, _>>(future);
    block_on(queue.submit(SystemTime::now(), job(1, large(1)))).unwrap();
    block_on(queue.submit(SystemTime::now(), job(2, text("small")))).unwrap();
    let first = JobId::from(1);
    assert_eq!(files(folder.path()), [format!("{first}.in")]);
    close(&queue);
    // What belongs to nobody is swept, what belongs to somebody is not.
    fs::write(folder.path().join("blobs").join(format!("{}.in", JobId::from(9))), "left").unwrap();
    let queue = open_now(folder.path()).unwrap();
    assert_eq!(files(folder.path()), [format!("{first}.in")]);
    assert_eq!(runtime().block_on(queue.input(first)).unwrap(), Some(large(1)));

    assert_eq!(run_one(&queue, large(2)), first);
    assert_eq!(files(folder.path()), [format!("{first}.out")]);
    assert_eq!(run_one(&queue, text("result")), JobId::from(2));
    let outcome = |id| runtime().block_on(queue.outcome(id)).unwrap();
    assert_eq!(outcome(first), Some(JobOutcome::Done(large(2))));
    assert_eq!(outcome(JobId::from(2)), Some(JobOutcome::Done(text("result"))));
    runtime().block_on(queue.forget(SystemTime::now(), first)).unwrap();
    assert_eq!(files(folder.path()), [""; 0]);
    assert_eq!(runtime().block_on(queue.results_stored()).unwrap(), 2);
}

#[test]
fn a_store_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!DurableJobs::exists(folder.path()));
    let queue = open_now(folder.path()).unwrap();
    assert!(DurableJobs::exists(folder.path()));
    let error = open_now(folder.path()).unwrap_err();
    assert_eq!((error.kind(), error.file()), (ErrorKind::Unreadable, Some(folder.path())));
    assert!(error.to_string().contains("is in use by another process"), "{error}");
    close(&queue);
    let refused = runtime().block_on(queue.submit(SystemTime::now(), job(1, text("late"))));
    assert_eq!(refused.unwrap_err().kind(), EngineErrorKind::ShuttingDown);
    open_now(folder.path()).unwrap();
}

#[track_caller]
fn check_unreadable(folder: &Path, why: &str) {
    let error = open_now(folder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert!(error.to_string().contains(why), "`{error}` does not mention `{why}`");
}

#[test]
fn a_store_that_cannot_be_read_says_why_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.redb");
    let foreign = "this is no database, and long enough to be one".repeat(1000);
    fs::write(&file, &foreign).unwrap();
    check_unreadable(folder.path(), "is damaged");
    assert_eq!(fs::read_to_string(&file).unwrap(), foreign);

    let folder = tempfile::tempdir().unwrap();
    let change = |key: &str, number: u64| {
        let database = redb::Database::create(folder.path().join("jobs.redb")).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(redb::TableDefinition::<&str, u64>::new("meta"))
            .unwrap()
            .insert(key, number)
            .unwrap();
        write.commit().unwrap();
    };
    change("format", 2);
    check_unreadable(folder.path(), "has format 2, and this version reads format 1");
    change("format", 1);
    open_now(folder.path()).unwrap();

    let file = tempfile::NamedTempFile::new().unwrap();
    check_unreadable(file.path(), "cannot be read or written");
}

#[test]
fn what_cannot_be_written_is_not_accepted_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open_now(folder.path()).unwrap();
    let submit = |number, input| runtime().block_on(queue.submit(SystemTime::now(), job(number, input)));
    submit(1, text("before")).unwrap();
    let wants = vec![Want { model: "m".into(), jobs: 1 }];
    let call = ClaimCall { runner: "r".into(), held: vec![], wants };
    let held = runtime().block_on(queue.claim(SystemTime::now(), call)).unwrap().claims.pop().unwrap().key;
    // A disk that takes no more files, as far as the store can tell.
    let blobs = folder.path().join("blobs");
    fs::remove_dir(&blobs).unwrap();
    fs::write(&blobs, "in the way").unwrap();
    let large = || Payload::new("application/octet-stream", vec![1; 100_000]);
    let error = submit(2, large()).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::NotReady);
    assert!(error.to_string().contains("cannot be read or written"), "{error}");
    fs::remove_file(&blobs).unwrap();
    assert_eq!(
        submit(2, large()).unwrap(),
        unruffled::engine::job::Submitted::New,
        "it was not accepted before"
    );
    // Who held something before holds it still.
    let call = ClaimCall { runner: "r".into(), held: vec![held], wants: vec![] };
    assert_eq!(runtime().block_on(queue.claim(SystemTime::now(), call)).unwrap().withdrawn, []);
    let out = JobOutcome::Done(text("out"));
    let stored = runtime().block_on(queue.complete(SystemTime::now(), held, out)).unwrap();
    assert_eq!(stored, unruffled::engine::job::Stored::First);
    let known: Vec<_> = runtime()
        .block_on(queue.list(Default::default()))
        .unwrap()
        .iter()
        .map(|status| status.state)
        .collect();
    assert_eq!(known, [JobState::Done, JobState::Queued]);
}

/// Another process, here another engine, finds what the first one accepted, and runs it once.
#[test]
fn what_one_engine_accepted_another_completes() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let patiently = |future| {
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), future).await.unwrap() })
    };
    let first = Engine::new();
    let queue = Arc::new(runtime.block_on(DurableJobs::open(folder.path(), JobLimits::default())).unwrap());
    let jobs = first.use_jobs(queue.clone(), JobsOptions::default()).unwrap();
    runtime.block_on(first.load_folder(&sample::digits()).unwrap()).unwrap();
    let later = jobs.submit("digits", sample::seven()).key("seven").delay(Duration::from_secs(3600));
    let id = runtime.block_on(later.into_future()).unwrap().id();
    runtime.block_on(first.shutdown(Duration::ZERO));
    runtime.block_on(queue.close());

    let second = Engine::new();
    // An hour later.
    let now = SystemTime::now() + Duration::from_secs(3601);
    let queue = runtime.block_on(DurableJobs::open_at(folder.path(), JobLimits::default(), now)).unwrap();
    let jobs = second.use_jobs(Arc::new(queue), JobsOptions::default()).unwrap();
    let job: Job<Tensors> = runtime.block_on(jobs.attach(id)).unwrap();
    assert_eq!(runtime.block_on(job.status()).unwrap().state, JobState::Queued, "its model is not there yet");
    runtime.block_on(second.load_folder(&sample::digits()).unwrap()).unwrap();
    let outputs: Result<Tensors, _> = patiently(Box::pin(job.wait()));
    assert!(outputs.unwrap().get("probabilities").is_some());
    let again = runtime.block_on(jobs.submit("digits", sample::seven()).key("seven").into_future()).unwrap();
    assert_eq!(again.id(), id);
}
