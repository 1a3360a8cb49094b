//! A request and the batch that it was part of are spans that know of each other.
//!
//! Apart from the other tests, because spans of instance threads go to the subscriber of the whole process.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use unruffled_engine::{Engine, TraceContext};
use unruffled_testing::scripted::{Gate, ScriptedModel};

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// The names of spans, with their fields.
    spans: HashMap<u64, (String, HashMap<String, String>)>,
    follows: Vec<(u64, u64)>,
}

struct Fields<'a>(&'a mut HashMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = HashMap::new();
        attributes.record(&mut Fields(&mut fields));
        let name = attributes.metadata().name().to_owned();
        self.0.lock().unwrap().spans.insert(id.into_u64(), (name, fields));
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, _: Context<'_, S>) {
        self.0.lock().unwrap().follows.push((span.into_u64(), follows.into_u64()));
    }
}

impl Seen {
    fn named(&self, name: &str) -> Vec<(u64, &HashMap<String, String>)> {
        let named = self.spans.iter().filter(|(_, (known, _))| known == name);
        named.map(|(id, (_, fields))| (*id, fields)).collect()
    }
}

#[tokio::test]
async fn a_request_and_its_batch_are_linked() {
    let spans = Spans::default();
    let keeps_ids = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::set_global_default(keeps_ids).unwrap();
    let gate = Gate::closed();
    let model = ScriptedModel::new(|x: &u32, _| Ok(x + 1)).gated(&gate);
    let handle = Engine::new().wrap_model(model).name("adder").build().unwrap();
    let held = handle.infer(0).id("held").submit();
    gate.entered();
    let trace = TraceContext::new(7, 8, true).unwrap();
    // The ids of spans that are over are given out again: these are alive until the test has looked.
    let (a, b) = (handle.infer(1).id("a").trace(trace.clone()).submit(), handle.infer(2).id("b").submit());
    gate.release(1);
    held.await.unwrap();
    gate.entered();
    {
        let seen = spans.0.lock().unwrap();
        let batches = seen.named("batch");
        let (batch, fields) = batches.iter().find(|(_, fields)| fields["requests"] == "2").unwrap();
        assert_eq!((fields["model"].as_str(), fields["rows"].as_str()), ("\"adder\"", "2"));
        let requests = seen.named("request");
        for name in ["a", "b"] {
            let (request, fields) = requests.iter().find(|(_, fields)| fields["id"] == name).unwrap();
            assert_eq!(fields.get("trace"), (name == "a").then(|| trace.to_string()).as_ref());
            assert!(seen.follows.contains(&(*batch, *request)), "the batch comes from the request");
            assert!(seen.follows.contains(&(*request, *batch)), "the request leads to the batch");
        }
    }
    gate.open();
    assert_eq!((a.await.unwrap().output, b.await.unwrap().output), (2, 3));
}
