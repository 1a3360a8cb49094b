//! What models take and give.

use unruffled_model::{
    Batching, Bytes, CancelToken, DType, Dim, Interrupt, Signature, Tensor, TensorSpec, Tensors,
};

use crate::python::{load, options, run, run_all, try_load};

fn vector(values: &[f32]) -> Tensor {
    Tensor::new(&[values.len()], values.to_vec()).unwrap()
}

fn x(values: &[f32]) -> Tensors {
    Tensors::new().with("x", vector(values))
}

fn floats(outputs: &Tensors, name: &str) -> Vec<f32> {
    outputs.get(name).unwrap_or_else(|| panic!("no `{name}` in {outputs:?}")).elements().unwrap().to_vec()
}

#[test]
fn requests_one_by_one() {
    let python = load(
        r#"
from unruffled_worker import Tensor

class Model:
    def load(self):
        self.times = 2

    def predict(self, x: Tensor["f32", "n"], y: Tensor["f32", "n"]) -> Tensor["f32", "n"]:
        return (x + y) * self.times
"#,
    );
    let info = python.model.info();
    assert_eq!(
        (&*info.backend, info.batching, info.interrupt),
        ("python", Batching::Sequential, Interrupt::Kill)
    );
    let specs: Vec<String> =
        info.signature.inputs.iter().chain(&info.signature.outputs).map(ToString::to_string).collect();
    assert_eq!(specs, ["x: f32 [n]", "y: f32 [n]", "output: f32 [n]"]);
    python.serve(|instance| {
        for at in 0..3 {
            let answer = run(instance, x(&[1.0, at as f32]).with("y", vector(&[1.0, 1.0]))).unwrap();
            assert_eq!(floats(&answer, "output"), [4.0, 2.0 * (at as f32 + 1.0)]);
        }
    });
}

#[test]
fn rows_of_several_requests_at_once() {
    let python = load(
        r#"
from unruffled_worker import current_batch, signature

@signature(inputs={"x": "f32 [n, 2]"}, outputs={"y": "f32 [n]", "calls": "i64 [n]"})
class Model:
    calls = 0

    def predict_batch(self, x):
        self.calls += 1
        return {"y": x.sum(axis=1), "calls": [self.calls] * len(x)}
"#,
    );
    assert_eq!(python.model.info().batching, Batching::Joint);
    for rows in [1_usize, 10_000] {
        let request = |value: f32| Tensors::new().with("x", Tensor::filled(&[rows, 2], value).unwrap());
        python.serve(|instance| {
            let answers = run_all(instance, [1.0, 2.0, 3.0].map(request), &CancelToken::new(), &[]);
            for (answer, value) in answers.into_iter().zip([2.0, 4.0, 6.0]) {
                let answer = answer.unwrap();
                assert_eq!(floats(&answer, "y"), vec![value; rows]);
                assert_eq!(answer.get("calls").unwrap().elements::<i64>().unwrap(), vec![1; rows]);
            }
        });
    }
}

#[track_caller]
fn check_answer(returned: &str, expected: Result<&[(&str, &[f32])], &str>) {
    let python = load(&format!(
        r#"
import numpy as np
from unruffled_worker import signature

class Model:
    @signature(inputs={{"x": "f32 [?]"}}, outputs={{"a": "f32 [?]", "b": "f32 [2]"}})
    def predict(self, x):
        return {returned}
"#
    ));
    let answer = python.run(x(&[1.0, 2.0])).map_err(|error| error.to_string());
    match (answer, expected) {
        (Ok(answer), Ok(expected)) => {
            for (name, values) in expected {
                assert_eq!(floats(&answer, name), *values, "{returned}");
            }
        }
        (Err(error), Err(expected)) => assert!(error.contains(expected), "{returned}: {error}"),
        (answer, _) => panic!("{returned}: {answer:?}"),
    }
}

#[test]
fn outputs_in_every_form() {
    let both: &[(&str, &[f32])] = &[("a", &[1.0, 2.0]), ("b", &[2.0, 4.0])];
    check_answer("{'b': x * 2, 'a': x}", Ok(both));
    check_answer("x, x * 2", Ok(both));
    // Numbers of Python, and of a type that loses nothing but digits.
    check_answer("[1, 2.0], (x * 2).astype('f8')", Ok(both));
    check_answer("np.asfortranarray(x)[::1], np.stack([x * 2, x], 1)[:, 0]", Ok(both));
    check_answer("{'a': x}", Err("`b`: is an output that was not returned"));
    check_answer("{'a': x, 'b': x, 'c': x}", Err("`c`: was returned, but is no output; declared are a, b"));
    check_answer("x, x, x", Err("returned 3 outputs, but the outputs are a, b"));
    check_answer("x", Err("returned a ndarray, but the outputs are a, b"));
    check_answer("None", Err("returned a NoneType, but the outputs are a, b"));
    check_answer("x, ['p', 'q']", Err("`b`: has elements of type bytes, but f32 was declared"));
    check_answer("x, x + 1j", Err("`b`: has elements of type complex64, which no tensor can hold"));
    check_answer("x, [x, x[:1]]", Err("`b`: is no array"));
    check_answer(
        "x, x[:1]",
        Err("`b`: is not what the model said it gives: `b`: expected shape [2], got [1]"),
    );
}

#[test]
fn every_element_type_there_and_back() {
    for dtype in DType::ALL {
        let name = dtype.name();
        let python = load(&format!(
            r#"
from unruffled_worker import Tensor

class Model:
    def predict(self, x: Tensor["{name}", None, 2]) -> Tensor["{name}", None, 2]:
        assert x.shape[1] == 2
        return x
"#
        ));
        python.serve(|instance| {
            for rows in [0_usize, 1, 50_000] {
                let shape = [rows, 2];
                let tensor = match Tensor::from_number(dtype, 1.0) {
                    Ok(one) => one.repeated(&shape).unwrap(),
                    Err(_) => Tensor::filled(&shape, Bytes::from_static(b"\0\xff")).unwrap(),
                };
                let answer = run(instance, Tensors::new().with("x", tensor.clone()));
                assert_eq!(answer.unwrap().get("output"), Some(&tensor), "{dtype} {shape:?}");
            }
        });
    }
}

#[test]
fn strings_become_objects_and_texts_become_strings() {
    let python = load(
        r#"
import numpy as np

class Model:
    sample = {"words": np.array([b"a"], object)}

    def predict(self, words):
        return {
            "bytes": words,
            "text": [word.decode() + "é" for word in words],
            "array": np.array([word.decode() for word in words]),
        }
"#,
    );
    let words = Tensor::new(&[2], vec![Bytes::from_static(b"one"), Bytes::from_static(b"")]).unwrap();
    let answer = python.run(Tensors::new().with("words", words.clone())).unwrap();
    assert_eq!(answer.get("bytes"), Some(&words));
    assert_eq!(answer.get("array"), Some(&words));
    assert_eq!(answer.get("text").unwrap().elements::<Bytes>().unwrap(), ["oneé", "é"].map(Bytes::from));
}

#[test]
fn a_signature_is_learned_from_a_sample() {
    let python = load(
        r#"
import numpy as np

class Model:
    def sample(self):
        return np.zeros((1, 4), "f4"), 3

    def predict(self, x, scale):
        return x.sum(axis=1) * int(scale), "done"
"#,
    );
    let signature = &python.model.info().signature;
    let specs: Vec<String> =
        signature.inputs.iter().chain(&signature.outputs).map(ToString::to_string).collect();
    assert_eq!(specs, ["x: f32 [?, ?]", "scale: i64 []", "output_0: f32 [?]", "output_1: bytes []"]);
    let inputs = Tensors::new()
        .with("x", Tensor::filled(&[2, 3], 1_f32).unwrap())
        .with("scale", Tensor::scalar(2_i64));
    assert_eq!(floats(&python.run(inputs).unwrap(), "output_0"), [6.0, 6.0]);
}

#[test]
fn a_signature_may_come_with_the_options() {
    let given = Signature {
        inputs: vec![TensorSpec::new("in", DType::F32, [Dim::Symbolic("n".into()), Dim::Fixed(2)])],
        outputs: vec![TensorSpec::new("out", DType::F32, [Dim::Symbolic("n".into()), Dim::Any])],
    };
    let source = r#"
class Model:
    def predict_batch(self, inputs):
        return -inputs["in"]
"#;
    let python = try_load(source, options().with_signature(given.clone())).unwrap();
    assert_eq!(python.model.info().signature, given);
    let answer = python.run(Tensors::new().with("in", Tensor::filled(&[1, 2], 1_f32).unwrap())).unwrap();
    assert_eq!(floats(&answer, "out"), [-1.0, -1.0]);
}

#[test]
fn coroutines_share_a_loop() {
    let python = load(
        r#"
import asyncio

class Model:
    sample = 1.0

    async def load(self):
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()

    async def predict(self, x):
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is self.loop
        first, second = await asyncio.gather(self.half(x), self.half(x))
        return first + second

    async def half(self, x):
        await asyncio.sleep(0)
        return x / 2
"#,
    );
    let answer = python.run(Tensors::new().with("x", Tensor::scalar(3_f64))).unwrap();
    assert_eq!(answer.get("output").unwrap().elements::<f64>().unwrap(), [3.0]);
}

#[test]
fn state_goes_to_the_model_and_comes_back() {
    let python = load(
        r#"
import numpy as np
from unruffled_worker import Tensor

class Model:
    def initial_state(self):
        return {"sum": np.zeros(1, "f4"), "count": np.int64(0)}

    def predict(self, x: Tensor["f32", 1], state) -> Tensor["f32", 1]:
        total = state["sum"] + x
        count = state["count"] + 1
        return total / count, {"sum": total, "count": count}
"#,
    );
    let signature = &python.model.info().signature;
    let names: Vec<&str> =
        signature.inputs.iter().chain(&signature.outputs).map(|spec| &*spec.name).collect();
    assert_eq!(names, ["x", "state.sum", "state.count", "output", "state.sum", "state.count"]);
    python.serve(|instance| {
        let mut inputs = x(&[1.0]);
        let mut means = Vec::new();
        for value in [2.0, 3.0] {
            let outputs = run(instance, inputs).unwrap();
            means.extend(floats(&outputs, "output"));
            inputs = x(&[value]);
            for name in ["state.sum", "state.count"] {
                inputs.insert(name, outputs.get(name).unwrap().clone());
            }
        }
        assert_eq!(means, [1.0, 1.5]);
        // Left out, the state is what it is in the beginning.
        assert_eq!(floats(&run(instance, x(&[8.0])).unwrap(), "output"), [8.0]);
    });
}

#[test]
fn inputs_that_a_model_keeps_stay_as_they_are() {
    let python = load(
        r#"
from unruffled_worker import Tensor

class Model:
    last = None

    def predict(self, x: Tensor["f32", None]) -> Tensor["f32", None]:
        last, self.last = self.last, x
        return x if last is None else last
"#,
    );
    python.serve(|instance| {
        let large = |value: f32| Tensors::new().with("x", Tensor::filled(&[100_000], value).unwrap());
        let mut expected = 0.0;
        for value in [0.0, 1.0, 2.0, 3.0] {
            assert_eq!(floats(&run(instance, large(value)).unwrap(), "output"), vec![expected; 100_000]);
            expected = value;
        }
    });
}

#[test]
fn shared_memory_is_bounded() {
    let source = r#"
import numpy as np
from unruffled_worker import Tensor

class Model:
    def predict(self, x: Tensor["f32", None]) -> Tensor["f32", None]:
        return np.zeros(1_000_000, "f4") if len(x) == 1 else x
"#;
    let python = try_load(source, options().with_shared_memory_max(1 << 20)).unwrap();
    python.serve(|instance| {
        let too_large = Tensors::new().with("x", Tensor::filled(&[300_000], 1_f32).unwrap());
        let error = run(instance, too_large).unwrap_err().to_string();
        assert!(
            error.contains("inputs of 1200000 bytes do not fit into 1048576 bytes of shared memory"),
            "{error}"
        );
        let error = run(instance, x(&[1.0])).unwrap_err().to_string();
        assert!(error.contains("over the limit of 1048576: raise `shared_memory_max`"), "{error}");
        assert_eq!(floats(&run(instance, x(&[1.0, 2.0])).unwrap(), "output"), [1.0, 2.0]);
    });
}
