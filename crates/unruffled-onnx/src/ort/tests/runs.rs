//! Runs: cancelled, on threads of their own, over shared weights.

use std::sync::{Arc, Barrier, Mutex};

use rten_onnx::onnx::DataType;
use unruffled_model::{
    Backend, BackendOptions, CancelToken, Interrupt, LoadContext, ModelErrorKind, SpecialOptions, Tensor,
    Tensors,
};

use super::{Instance, backend, load, load_with, run, run_on};
use crate::ort::{OrtOptimization, OrtOptions};
use crate::sample::{Sample, fixed, symbol};

/// Two hundred times a large product and a `Tanh`.
fn chain() -> Sample {
    let dims = || [symbol("batch"), fixed(256)];
    let chain = Sample::new().input("x", DataType::FLOAT, dims()).weight("w", &[256, 256]);
    let mut last = String::from("x");
    let chain = (0..200).fold(chain, |chain, i| {
        let (product, next) = (format!("m{i}"), format!("t{i}"));
        let chain = chain.node("MatMul", [&last, "w"], &product).node("Tanh", [&product], &next);
        last = next;
        chain
    });
    chain.node("Identity", [&last], "y").output("y", DataType::FLOAT, dims())
}

fn inputs(rows: usize) -> Tensors {
    Tensors::new().with("x", Tensor::filled(&[rows, 256], 0.01_f32).unwrap())
}

#[test]
fn a_cancelled_run_stops_and_the_instance_goes_on() {
    let model = load(&chain().source()).unwrap();
    assert_eq!(model.info().interrupt, Interrupt::Cooperative);
    let serve = &mut |instance: Instance<'_>| {
        let (cancel, ready) = (CancelToken::new(), Arc::new(Barrier::new(2)));
        let canceller = std::thread::Builder::new().spawn({
            let (cancel, ready) = (cancel.clone(), Arc::clone(&ready));
            move || {
                ready.wait();
                cancel.cancel();
            }
        });
        ready.wait();
        // Many seconds, if nobody stopped it.
        let stopped = run_on(instance, inputs(16_384), &cancel);
        canceller.unwrap().join().unwrap();
        assert_eq!(stopped.unwrap_err().kind(), ModelErrorKind::Cancelled);
        let stopped = run_on(instance, inputs(1), &cancel);
        assert_eq!(stopped.unwrap_err().kind(), ModelErrorKind::Cancelled, "before it began");
        let answer = run_on(instance, inputs(2), &CancelToken::new()).unwrap();
        assert_eq!(answer.get("y").unwrap().shape(), [2, 256]);
    };
    model.with_instance(serve).unwrap();
}

#[test]
fn loading_tells_how_far_it_is_and_can_be_cancelled() {
    let source = chain().source();
    for limit in [0.0, 0.1, 0.3] {
        let (cancel, heard) = (CancelToken::new(), Mutex::new(Vec::new()));
        let hear = |done| {
            heard.lock().unwrap().push(done);
            if done >= limit {
                cancel.cancel();
            }
        };
        let stopped = backend().load(&source, &BackendOptions::default(), &LoadContext::new(&cancel, &hear));
        assert_eq!(stopped.map(|_| ()).unwrap_err().kind(), ModelErrorKind::Cancelled);
        assert_eq!(heard.lock().unwrap().last(), Some(&limit));
    }
}

#[test]
fn instances_over_shared_weights_agree() {
    let model = load(&chain().source()).unwrap();
    let expected = run(&model, inputs(3)).unwrap();
    let serve = &mut |first: Instance<'_>| {
        let first = run_on(first, inputs(3), &CancelToken::new()).unwrap();
        let second = run(&model, inputs(3)).unwrap();
        assert_eq!((&first, &second), (&expected, &expected));
    };
    model.with_instance(serve).unwrap();
    let plain = OrtOptions { optimization: OrtOptimization::None, ..OrtOptions::default() };
    let options =
        BackendOptions { special: SpecialOptions::default().with(plain), ..BackendOptions::default() };
    let plain = run(&load_with(&chain().source(), &options).unwrap(), inputs(3)).unwrap();
    let values = |tensors: &Tensors| tensors.get("y").unwrap().elements::<f32>().unwrap().to_vec();
    let apart = values(&plain).iter().zip(values(&expected)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-5, "{apart} apart");
}

#[test]
fn an_instance_has_the_threads_that_it_was_given() {
    let options = BackendOptions { threads: 2, ..BackendOptions::default() };
    let model = load_with(&chain().source(), &options).unwrap();
    assert_eq!(model.info().threads, 2);
    let serve = &mut |instance: Instance<'_>| {
        let answer = run_on(instance, inputs(3), &CancelToken::new()).unwrap();
        assert_eq!(answer.get("y").unwrap().shape(), [3, 256]);
        #[cfg(target_os = "linux")]
        {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap();
            let mut names =
                tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
            assert!(names.any(|name| name.trim() == "ort-0"));
        }
    };
    model.with_instance(serve).unwrap();
}
