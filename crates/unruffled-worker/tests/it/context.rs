//! What a model knows of its requests, and what its prints and logs say of them.

use std::time::{Duration, Instant};

use unruffled_model::{
    Bytes, Caller, CancelToken, Priority, RequestContext, RequestId, Tensor, Tensors, TraceContext,
};

use crate::logs;
use crate::python::{load, run_all};

fn requests() -> Vec<RequestContext> {
    let first = RequestContext::new(RequestId::Text("first".into()))
        .with_deadline(Some(Instant::now() + Duration::from_secs(1000)))
        .with_priority(Priority::Interactive)
        .with_trace(TraceContext::new(1, 2, true).unwrap().with_state("vendor=1"))
        .with_caller(Caller::new("window"))
        .with_baggage("tenant", "ä");
    vec![first, RequestContext::new(RequestId::Number(7))]
}

fn text(outputs: &Tensors) -> Vec<String> {
    let texts = outputs.get("output").unwrap().elements::<Bytes>().unwrap();
    texts.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

const FIRST: &str = "first 00-00000000000000000000000000000001-0000000000000002-01 vendor=1 True interactive window {'tenant': 'ä'}";

const SEEN: &str = r#"
from unruffled_worker import Tensor, current, current_batch

def seen(context):
    left = context.remaining()
    return "%s %s %s %s %s %s %s" % (context.request_id, context.traceparent, context.tracestate,
        left and 900 < left <= 1000, context.priority, context.caller, context.baggage)

assert current() is None
"#;

#[test]
fn each_request_has_its_own_context() {
    let plain = "class Model:\n    def predict(self, x: Tensor['f32']) -> Tensor['bytes']:\n        return seen(current())\n";
    let later = r#"
import asyncio

class Model:
    async def inner(self):
        await asyncio.sleep(0)
        return seen(current())

    async def predict(self, x: Tensor["f32"]) -> Tensor["bytes"]:
        return await asyncio.create_task(self.inner())
"#;
    for source in [plain, later] {
        let python = load(&format!("{SEEN}{source}"));
        python.serve(|instance| {
            let inputs = || Tensors::new().with("x", Tensor::scalar(0_f32));
            let answers = run_all(instance, [inputs(), inputs()], &CancelToken::new(), &requests());
            let seen: Vec<_> = answers.iter().flat_map(|answer| text(answer.as_ref().unwrap())).collect();
            assert_eq!(seen, [FIRST, "7 None None None normal None {}"]);
        });
    }
}

#[test]
fn a_batch_has_the_contexts_of_its_rows() {
    let python = load(&format!(
        r#"{SEEN}
class Model:
    def predict_batch(self, x: Tensor["f32", "n"]) -> Tensor["bytes", "n"]:
        assert (current() is None) == (len(current_batch()) != 1)
        return [seen(context) for context in current_batch() for _ in range(context.rows)]
"#
    ));
    python.serve(|instance| {
        let inputs = |rows| Tensors::new().with("x", Tensor::filled(&[rows], 0_f32).unwrap());
        let answers = run_all(instance, [inputs(2), inputs(1)], &CancelToken::new(), &requests());
        let seen: Vec<_> = answers.iter().map(|answer| text(answer.as_ref().unwrap())).collect();
        assert_eq!(seen, [vec![FIRST, FIRST], vec!["7 None None None normal None {}"]]);
    });
}

#[test]
fn prints_and_logs_carry_the_request() {
    logs::begin();
    let python = load(
        r#"
import logging, os, sys, warnings
from unruffled_worker import Tensor

print("logged while loading")

class Model:
    def predict(self, x: Tensor["f32"]) -> Tensor["f32"]:
        print("logged to", "output")
        sys.stderr.write("logged to errors")
        logging.getLogger("my.logger").warning("logged as %s", "warning")
        logging.getLogger("my.logger").debug("logged as detail")
        warnings.warn("logged as a warning of Python")
        os.write(1, b"logged by native code\n")
        return x
"#,
    );
    python.serve(|instance| {
        let inputs = Tensors::new().with("x", Tensor::scalar(0_f32));
        let only = RequestContext::new(RequestId::Text("the-request".into()));
        run_all(instance, [inputs], &CancelToken::new(), &[only]).remove(0).unwrap();
    });
    let check = |text: &str, parts: &[&str]| {
        let line = logs::wait_for(text);
        for part in parts {
            assert!(line.contains(part), "`{part}` is not in {line}");
        }
    };
    check("logged while loading", &["INFO", "\"target\":\"python\"", "model.py", "\"pid\":"]);
    check("logged to output", &["INFO", "\"request\":\"the-request\""]);
    check("logged to errors", &["INFO", "\"request\":\"the-request\""]);
    check("logged as warning", &["WARN", "\"request\":\"the-request\"", "my.logger"]);
    check("logged as detail", &["DEBUG", "\"request\":\"the-request\"", "my.logger"]);
    check("logged as a warning of Python", &["WARN"]);
    check("logged by native code", &["INFO", "\"target\":\"python\""]);
}
