//! Who runs when, and with whom.

use std::time::{Duration, Instant};

use unruffled_engine::{Engine, Priority};
use unruffled_model::{Batching, Footprint};
use unruffled_testing::scripted::Gate;

use crate::support::{adding, ids};

/// Runs one request to hold the only instance, submits the others meanwhile, and tells which runs followed.
async fn runs_of(batching: Batching, requests: &[(&str, Priority, Option<u64>, u32)]) -> Vec<Vec<String>> {
    let gate = Gate::closed();
    let model = adding()
        .gated(&gate)
        .batching(batching)
        .admitting(|x: &u32| Ok(Footprint::new(1, 4, u64::from(x / 100))));
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let first = handle.infer(0).id("first").submit();
    assert_eq!(gate.entered(), ids(&["first"]));
    let begin = Instant::now();
    let answers: Vec<_> = requests
        .iter()
        .map(|(id, priority, deadline, input)| {
            let request = handle.infer(*input).id(*id).priority(*priority);
            match deadline {
                Some(seconds) => request.deadline(begin + Duration::from_secs(*seconds)).submit(),
                None => request.submit(),
            }
        })
        .collect();
    gate.open();
    assert_eq!(first.await.unwrap().output, 1);
    for (answer, (_, _, _, input)) in answers.into_iter().zip(requests) {
        assert_eq!(answer.await.unwrap().output, input + 1, "each caller gets its own answer");
    }
    let runs = script.batches().into_iter().skip(1);
    runs.map(|run| run.requests.iter().map(ToString::to_string).collect()).collect()
}

#[tokio::test]
async fn urgent_work_goes_first() {
    use Priority::{Bulk, Interactive, Normal};
    let runs = runs_of(
        Batching::Single,
        &[
            ("bulk", Bulk, Some(1), 1),
            ("patient", Normal, None, 2),
            ("late", Normal, Some(3000), 3),
            ("soon", Normal, Some(600), 4),
            ("sooner", Normal, Some(300), 5),
            ("click", Interactive, None, 6),
        ],
    )
    .await;
    // Without a deadline a request counts as due a second after it came.
    assert_eq!(runs.concat(), ["click", "patient", "sooner", "soon", "late", "bulk"]);
}

#[tokio::test]
async fn what_waits_becomes_one_batch_when_an_instance_is_free() {
    use Priority::Normal;
    let runs = runs_of(
        Batching::Joint,
        &[
            ("a", Normal, None, 1),
            ("b", Normal, None, 2),
            ("other", Normal, None, 100),
            ("c", Normal, None, 3),
        ],
    )
    .await;
    assert_eq!(runs, [vec!["a", "b", "c"], vec!["other"]]);
}

#[tokio::test]
async fn a_reply_tells_where_the_time_went() {
    let engine = Engine::new();
    let model = engine.wrap(|x: u32| x + 1).name("adder").build().unwrap();
    let response = model.infer(1).id("mine").await.unwrap();
    assert_eq!((*response, response.id.to_string()), (2, "mine".into()));
    let timings = response.timings;
    assert_eq!((timings.batch_requests, timings.batch_rows, timings.instance), (1, 1, 0));
    assert_eq!(model.infer(5).await.unwrap().id.to_string(), "1", "unnamed requests are numbered");
}

#[tokio::test]
async fn a_function_that_fails_says_why() {
    let engine = Engine::new();
    let parse = engine.wrap_fallible(|text: String| text.parse::<u32>()).name("parse").build().unwrap();
    assert_eq!(parse.infer("7".into()).await.unwrap().output, 7);
    let error = parse.infer("seven".into()).await.unwrap_err();
    assert_eq!(error.kind(), unruffled_engine::ErrorKind::ModelFailed);
    assert_eq!(error.to_string(), "model `parse`: invalid digit found in string");
}
