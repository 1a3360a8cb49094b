//! What ONNX Runtime takes of memory is counted for the whole process, which therefore runs this test and nothing else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "all of it is test")]

#[allow(dead_code, reason = "shared with the unit tests")]
#[path = "../src/sample.rs"]
mod sample;

use std::fs;

use rten_onnx::onnx::DataType;
use sample::{Sample, fixed, symbol};
use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, LoadContext, Model, RunContext, Tensor, TensorModel, Tensors,
};
use unruffled_onnx::{OrtBackend, OrtRuntime, OrtSearch};

/// So large that the system's allocator gives the memory back as soon as it is free: smaller pieces stay with the process.
const SIDE: usize = 3072;
const WEIGHT_BYTES: usize = SIDE * SIDE * 4;

/// One large matrix.
fn load() -> TensorModel {
    let search = OrtSearch::default().with_folder(env!("CARGO_MANIFEST_DIR")).only_given();
    let runtime = OrtRuntime::find(&search).expect("`cargo xtask test setup` installs it");
    let side = SIDE as i64;
    let source = Sample::new()
        .input("x", DataType::FLOAT, [symbol("batch"), fixed(side)])
        .raw_weight("w", DataType::FLOAT, &[side, side], vec![0; WEIGHT_BYTES])
        .node("MatMul", ["x", "w"], "y")
        .output("y", DataType::FLOAT, [symbol("batch"), fixed(side)])
        .source();
    let cancel = CancelToken::new();
    let ctx = LoadContext::new(&cancel, &|_| ());
    OrtBackend::new(runtime).load(&source, &BackendOptions::default(), &ctx).unwrap()
}

/// Holds so many instances at once, each of which runs, and calls `look` while they live.
fn with_instances(model: &TensorModel, count: usize, look: &mut (dyn FnMut() + Send)) {
    if count == 0 {
        return look();
    }
    let serve = &mut |instance: &mut dyn Model<Input = Tensors, Output = Tensors>| {
        let x = Tensor::filled(&[1, SIDE], 1.0_f32).unwrap();
        let mut batch = Batch::new([Tensors::new().with("x", x)]);
        let cancel = CancelToken::new();
        instance.run(&mut batch, &RunContext::new(&cancel, None, &[])).unwrap();
        with_instances(model, count - 1, look);
    };
    model.with_instance(serve).unwrap();
}

/// The bytes of memory in use.
fn memory() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn instances_have_weights_in_common() {
    let model = load();
    let mut counted = Vec::new();
    for instances in [1, 5] {
        with_instances(&model, instances, &mut || counted.push(memory()));
    }
    let grown = counted[1].saturating_sub(counted[0]);
    assert!(grown < WEIGHT_BYTES, "four more instances took {grown} bytes more");
}
