//! `unruffled jobs`: a store on disk, looked into and put right.

use std::path::Path;
use std::time::SystemTime;

use serde_json::json;
use unruffled::engine::ErrorKind;
use unruffled::engine::job::{
    ClaimCall, JobData as _, JobFailure, JobId, JobLimits, JobOutcome, JobQueue as _, JobTerms, NewJob,
    Payload, Want,
};
use unruffled::{DurableJobs, Tensor, Tensors};

use crate::program::run;

/// A store of three jobs: one done, one failed, one that waits.
struct Store {
    folder: tempfile::TempDir,
    done: JobId,
    failed: JobId,
    waits: JobId,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let now = SystemTime::now();
        let [done, failed, waits] =
            [1_u128, 2, 3].map(|number| JobId::from(number << 100 | 0x1234_5678 << 4 | number));
        runtime.block_on(async {
            let queue = DurableJobs::open(folder.path(), JobLimits::default()).await.unwrap();
            for (id, model, input) in [
                (done, "double", tensors(2.0).to_payload().unwrap()),
                (failed, "double", Payload::new("text/plain", "what went in")),
                (waits, "other", Payload::new("text/plain", "later")),
            ] {
                queue.submit(now, NewJob { id, terms: JobTerms::new(model), input }).await.unwrap();
            }
            let wants = vec![Want { model: "double".into(), jobs: 2 }];
            let call = ClaimCall { runner: "test".into(), held: vec![], wants };
            let claims = queue.claim(now, call).await.unwrap().claims;
            let result = JobOutcome::Done(tensors(4.0).to_payload().unwrap());
            let failure = JobOutcome::Failed(JobFailure::new(ErrorKind::InvalidInput, "`x`: expected f32"));
            for (claim, outcome) in claims.iter().zip([result, failure]) {
                queue.complete(now, claim.key, outcome).await.unwrap();
            }
            queue.close().await;
        });
        Self { folder, done, failed, waits }
    }

    fn path(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Says the words, with the store behind the first of them.
    fn say(&self, words: &[&str]) -> crate::program::Said {
        let path = self.path();
        run(&[&["jobs", words[0], &path], &words[1..]].concat())
    }
}

fn tensors(number: f32) -> Tensors {
    Tensors::new().with("y", Tensor::new(&[1, 1], vec![number]).unwrap())
}

#[test]
fn jobs_are_listed_with_what_went_wrong() {
    let store = Store::new();
    let page = store.say(&["list"]).ok();
    for part in [&store.done.to_string(), "done", "`x`: expected f32", "other", "1 queued, 1 done, 1 failed"]
    {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let list = store.say(&["list", "--json", "--state", "failed"]).json();
    assert_eq!(list["counts"]["queued"], 1);
    let jobs = list["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["id"], store.failed.to_string());
    assert_eq!(jobs[0]["failure"], json!({ "kind": "invalid_input", "message": "`x`: expected f32" }));
    assert_eq!(
        store.say(&["list", "--model", "other", "--json"]).json()["jobs"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_job_is_shown_and_what_can_be_done_about_it() {
    let store = Store::new();
    let page = store.say(&["show", &store.failed.to_string()]).ok();
    for part in
        ["attempts   1 of 3", "invalid_input: `x`: expected f32", "12 bytes", "unruffled jobs requeue"]
    {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let document = store.say(&["show", &store.done.to_string().to_uppercase(), "--json"]).json();
    assert_eq!((&document["state"], &document["attempts"]), (&json!("done"), &json!(1)));
}

#[test]
fn jobs_are_cancelled_queued_again_and_dropped() {
    let store = Store::new();
    let name = |id: JobId| id.to_string();
    assert!(store.say(&["cancel", &name(store.waits)]).ok().contains("cancelled"));
    let said = store.say(&["cancel", &name(store.waits)]);
    assert_eq!(said.code, 4);
    assert!(said.err.contains("has ended already"), "{}", said.err);
    assert!(store.say(&["requeue", "--all"]).ok().contains("queued again"));
    assert_eq!(store.say(&["requeue", "--all"]).ok(), "nothing to do\n");
    let said = store.say(&["requeue", &name(store.done)]);
    assert_eq!(said.code, 4);
    assert!(said.err.contains("only what has failed"), "{}", said.err);
    let dropped = store.say(&["drop", &name(store.done), &name(store.waits), "--json"]).json();
    assert_eq!(dropped["jobs"].as_array().unwrap().len(), 2);
    let left = store.say(&["list", "--json"]).json();
    assert_eq!(left["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(left["jobs"][0]["state"], "queued");
}

#[test]
fn results_and_inputs_are_exported() {
    let store = Store::new();
    let result = store.say(&["export", &store.done.to_string()]).json();
    assert_eq!(result["outputs"][0]["data"], json!([4.0]));
    assert_eq!((&result["model_name"], &result["id"]), (&json!("double"), &json!(store.done.to_string())));
    assert_eq!(store.say(&["export", &store.failed.to_string(), "--input"]).ok(), "what went in");
    let file = store.folder.path().join("out.json");
    let exported = store.say(&["export", &store.done.to_string(), "--output", &file.display().to_string()]);
    assert_eq!(exported.ok(), "");
    assert!(std::fs::read_to_string(&file).unwrap().contains("\"outputs\""));
    for (job, code, why) in
        [(store.failed, 1, "has failed: `x`: expected f32"), (store.waits, 5, "has no result yet")]
    {
        let said = store.say(&["export", &job.to_string()]);
        assert_eq!(said.code, code);
        assert!(said.err.contains(why), "{}", said.err);
    }
}

#[test]
fn what_is_mistyped_is_told() {
    let store = Store::new();
    let check = |words: &[&str], code: i32, why: &str| {
        let said = store.say(words);
        assert_eq!(said.code, code, "{}", said.err);
        assert!(said.err.contains(why), "{}", said.err);
    };
    check(&["show", "zzzz"], 4, "there is no job `zzzz`");
    check(&["show", "1"], 4, "there is no job `1`");
    check(&["list", "--state", "lost"], 2, "queued, running, done, failed, cancelled");
    check(&["requeue"], 2, "required");
    let said = run(&["jobs", "list", &Path::new("nowhere").display().to_string()]);
    assert_eq!(said.code, 4);
    assert!(said.err.contains("there is no job store in `nowhere`"), "{}", said.err);
    // An ending that is unlike all others is enough.
    let ending = store.failed.to_string().split_off(20);
    assert!(store.say(&["show", &ending]).ok().contains(&store.failed.to_string()));
}

#[test]
fn a_store_in_use_is_left_alone() {
    let store = Store::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let queue = runtime.block_on(DurableJobs::open(store.folder.path(), JobLimits::default())).unwrap();
    let said = store.say(&["list"]);
    assert_eq!(said.code, 4);
    assert!(said.err.contains("is in use by another process"), "{}", said.err);
    runtime.block_on(queue.close());
    store.say(&["list"]).ok();
}
