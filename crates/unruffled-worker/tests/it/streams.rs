//! Models that give several outputs for one input.

use std::sync::{Arc, Mutex};

use unruffled_model::{
    Batch, CancelToken, ModelError, ModelErrorKind, OutputSink, Row, RunContext, Tensor, Tensors,
};

use crate::python::{Instance, load, run};

const COUNT: &str = r#"
from typing import Iterator
from unruffled_worker import Tensor

class Model:
    open = 0

    def predict(self, n: Tensor["i64"]) -> Iterator[Tensor["i64"]]:
        self.open += 1
        try:
            for at in range(int(n)):
                yield self.open * 1000 + at
        finally:
            self.open -= 1
"#;

const COUNT_LATER: &str = r#"
import asyncio
from typing import AsyncIterator
from unruffled_worker import Tensor

class Model:
    open = 0

    async def predict(self, n: Tensor["i64"]) -> AsyncIterator[Tensor["i64"]]:
        self.open += 1
        try:
            for at in range(int(n)):
                await asyncio.sleep(0)
                yield self.open * 1000 + at
        finally:
            self.open -= 1
"#;

/// Takes outputs until it has enough.
struct Sink {
    taken: Arc<Mutex<Vec<i64>>>,
    enough: usize,
}

impl OutputSink<Tensors> for Sink {
    fn send(&mut self, output: Tensors) -> Result<(), ModelError> {
        let mut taken = self.taken.lock().unwrap();
        if taken.len() == self.enough {
            return Err(ModelError::cancelled());
        }
        taken.push(output.get("output").unwrap().elements::<i64>().unwrap()[0]);
        Ok(())
    }
}

fn count(n: i64) -> Tensors {
    Tensors::new().with("n", Tensor::scalar(n))
}

fn stream(instance: &mut Instance<'_>, n: i64, enough: usize) -> (Vec<i64>, Option<ModelErrorKind>) {
    let taken = Arc::default();
    let sink = Sink { taken: Arc::clone(&taken), enough };
    let mut batch: Batch<_, _> = [Row::with_sink(count(n), Box::new(sink))].into_iter().collect();
    instance.run(&mut batch, &RunContext::new(&CancelToken::new(), None, &[])).unwrap();
    let parts = batch.into_rows().remove(0).into_parts();
    let taken = taken.lock().unwrap().clone();
    (taken, parts.answer.unwrap().err().map(|error| error.kind()))
}

#[test]
fn outputs_come_in_order_and_end() {
    for source in [COUNT, COUNT_LATER] {
        let python = load(source);
        python.serve(|instance| {
            assert_eq!(stream(instance, 5, 9), (vec![1000, 1001, 1002, 1003, 1004], None));
            assert_eq!(stream(instance, 0, 9), (vec![], None));
        });
    }
}

#[test]
fn a_stream_that_nobody_wants_more_of_is_closed() {
    for source in [COUNT, COUNT_LATER] {
        let python = load(source);
        python.serve(|instance| {
            assert_eq!(stream(instance, i64::MAX, 2), (vec![1000, 1001], Some(ModelErrorKind::Cancelled)));
            // The generator has ended, so that no other is open now.
            assert_eq!(stream(instance, 1, 9), (vec![1000], None));
        });
    }
}

#[test]
fn who_asks_for_one_answer_is_told() {
    let python = load(COUNT);
    python.serve(|instance| {
        let error = run(instance, count(3)).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::InvalidInput);
        assert_eq!(stream(instance, 1, 9), (vec![1000], None));
    });
}

#[test]
fn large_outputs_do_not_overwrite_each_other() {
    let python = load(
        r#"
import numpy as np
from unruffled_worker import Tensor

class Model:
    def predict(self, n: Tensor["i64"]):
        for at in range(3):
            yield np.full(100_000, at, "i8")
    sample = np.int64(1)
"#,
    );
    python.serve(|instance| assert_eq!(stream(instance, 3, 9), (vec![0, 1, 2], None)));
}
