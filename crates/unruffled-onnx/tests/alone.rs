//! What is counted for the whole process, which therefore runs this test and nothing else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "all of it is test")]

#[allow(dead_code, reason = "shared with the unit tests")]
#[path = "../src/sample.rs"]
mod sample;

use std::fs;

use rten_onnx::onnx::DataType;
use sample::{Sample, fixed, symbol};
use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, LoadContext, RunContext, Tensor, TensorModel, Tensors,
};
use unruffled_onnx::RtenBackend;

const SIDE: usize = 2048;
const WEIGHT_BYTES: usize = SIDE * SIDE * 4;

/// One large matrix.
fn load(threads: usize) -> TensorModel {
    let side = SIDE as i64;
    let source = Sample::new()
        .input("x", DataType::FLOAT, [symbol("batch"), fixed(side)])
        .raw_weight("w", DataType::FLOAT, &[side, side], vec![0; WEIGHT_BYTES])
        .node("MatMul", ["x", "w"], "y")
        .output("y", DataType::FLOAT, [symbol("batch"), fixed(side)])
        .source();
    let cancel = CancelToken::new();
    let options = BackendOptions { threads, ..BackendOptions::default() };
    let ctx = LoadContext::new(&cancel, &|_| ());
    RtenBackend.load(&source, &options, &ctx).unwrap()
}

/// Holds so many instances at once, each of which runs, and calls `look` while they live.
fn with_instances(model: &TensorModel, count: usize, look: &mut (dyn FnMut() + Send)) {
    if count == 0 {
        return look();
    }
    let serve = &mut |instance: &mut dyn unruffled_model::Model<Input = Tensors, Output = Tensors>| {
        let thread = std::thread::current();
        assert!(thread.name().is_some_and(|name| name.starts_with("rten-")), "runs would change threads");
        let x = Tensor::filled(&[1, SIDE], 1.0_f32).unwrap();
        let mut batch = Batch::new([Tensors::new().with("x", x)]);
        let cancel = CancelToken::new();
        instance.run(&mut batch, &RunContext::new(&cancel, None, &[])).unwrap();
        with_instances(model, count - 1, look);
    };
    model.with_instance(serve).unwrap();
}

/// How many threads of rten there are.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("rten-")).count()
}

/// The bytes of memory in use.
fn memory() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn instances_have_threads_of_their_own_and_weights_in_common() {
    let model = load(3);
    assert_eq!(model.info().threads, 3);
    let (threads_before, memory_before) = (threads(), memory());
    let (mut threads_now, mut memory_now) = (0, 0);
    with_instances(&model, 4, &mut || {
        (threads_now, memory_now) = (threads(), memory());
    });
    // Those that it asked for, and one for runs that are granted few.
    assert_eq!(threads_now - threads_before, 4 * (3 + 1));
    let grown = memory_now.saturating_sub(memory_before);
    assert!(grown < WEIGHT_BYTES, "four instances took {grown} bytes more");
    // No threads would mean as many as there are cores.
    assert_eq!(load(0).info().threads, 1);
}
