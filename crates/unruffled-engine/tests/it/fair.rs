//! Callers of one class share a model, in proportion to their weights.

use unruffled_engine::{Caller, Engine};
use unruffled_model::{Batching, Footprint};
use unruffled_testing::scripted::Gate;

use crate::support::{adding, ids, patiently};

/// In which order requests of these callers are served that all came while the only instance was held.
async fn served(requests: impl Iterator<Item = Caller>) -> Vec<String> {
    let gate = Gate::closed();
    let model = adding().gated(&gate).batching(Batching::Single);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    let answers: Vec<_> =
        requests.map(|caller| handle.infer(0).id(caller.key.to_string()).caller(caller).submit()).collect();
    gate.open();
    held.await.unwrap();
    for answer in answers {
        answer.await.unwrap();
    }
    script.batches().into_iter().skip(1).map(|run| run.requests[0].to_string()).collect()
}

#[tokio::test]
async fn a_greedy_caller_does_not_keep_a_modest_one_waiting() {
    let callers = [("greedy", 100), ("modest", 5)];
    let callers = callers.into_iter().flat_map(|(name, count)| vec![Caller::new(name); count]);
    let served = served(callers).await;
    let last = served.iter().rposition(|name| name == "modest").unwrap();
    // The greedy one may be a few rows ahead, and then they take turns.
    assert!(last < 30, "{last}: {served:?}");
}

#[tokio::test]
async fn weights_are_shares() {
    let callers = [Caller::new("heavy").with_weight(3), Caller::new("light")];
    let served = served((0..300).map(|at| callers[at % 2].clone())).await;
    let heavy = served[..100].iter().filter(|name| *name == "heavy").count();
    // Three to one, but for the few rows that one may be ahead.
    assert!((60..85).contains(&heavy), "{heavy} of 100");
}

#[tokio::test]
async fn one_big_request_after_the_other_is_no_way_to_get_more() {
    const BIG: u32 = 64;
    let gate = Gate::closed();
    let model = adding().gated(&gate).batching(Batching::Single);
    let model = model.admitting(|rows: &u32| Ok(Footprint::new(*rows as usize, 4, 0)));
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let submit = |name: &str, rows| handle.infer(rows).id(name).caller(Caller::new(name)).submit();
    let held = handle.infer(1).submit();
    gate.entered();
    let small: Vec<_> = (0..200).map(|_| submit("modest", 1)).collect();
    let mut big = Some(submit("greedy", BIG));
    gate.release(1);
    held.await.unwrap();
    let (mut modest, mut greedy) = (0, 0);
    while modest < 160 {
        let is_greedy = gate.entered() == ids(&["greedy"]);
        gate.release(1);
        if is_greedy {
            greedy += 1;
            big.take().expect("one at a time").await.unwrap();
            // The next run is at the gate already, and this one comes in after it.
            big = Some(submit("greedy", BIG));
        } else {
            modest += 1;
        }
    }
    // 160 rows each, and one that it may be ahead.
    assert!(greedy <= 4, "{greedy} of {BIG} rows each");
    gate.open();
    for answer in small.into_iter().chain(big) {
        patiently(answer).await.unwrap();
    }
}
