//! ONNX files, of which only what `unruffled-onnx` reads itself is of interest.

use bytes::Bytes;
use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, Dim, LoadContext, LoadedModel, ModelError, ModelSource,
    RunContext, Signature, Tensors,
};
use unruffled_onnx::{OnnxSummary, TreesBackend};

use crate::head::Head;
use crate::memory::{within, within_and};

/// The most bytes for each byte of a file: two are an empty node, which takes some hundred.
const TIMES: u64 = 512;

/// What a model may take besides: a window of nodes that is zeroed by the system, and tables for each of a million features.
const TABLES: u64 = 256 << 20;

/// The most bytes of an error besides names, of which a file may hold any.
const TOLD: usize = 2000;

/// The most elements of a sample that is run.
const SAMPLE: usize = 4096;

/// A file is refused in few words or told the same every time; classical models that are taken run, or say why not.
pub fn onnx(data: &[u8]) {
    let (_, body) = Head::split(data);
    let source = ModelSource::Memory(Bytes::copy_from_slice(body));
    match within(body.len(), TIMES, || OnnxSummary::read(&source)) {
        Ok(summary) => {
            assert_eq!(OnnxSummary::read(&source).as_ref().ok(), Some(&summary));
            assert!(!summary.opsets.is_empty());
        }
        Err(error) => short(&error, body),
    }
    if let Err(error) = TreesBackend.supports(&source) {
        short(&error, body);
    }
    let cancel = CancelToken::new();
    let context = LoadContext::new(&cancel, &|_| ());
    let options = BackendOptions::default();
    match within_and(TABLES, body.len(), TIMES, || TreesBackend.load(&source, &options, &context)) {
        Ok(model) => run(&*model),
        Err(error) => short(&error, body),
    }
}

fn short(error: &ModelError, body: &[u8]) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= TOLD + 4 * body.len(), "{text}");
}

fn run(model: &dyn LoadedModel<Input = Tensors, Output = Tensors>) {
    let signature = &model.info().signature;
    if !is_small(signature) {
        return;
    }
    let Ok(sample) = signature.sample() else { return };
    model.admit(&sample).expect("a sample is what the model takes");
    let (cancel, mut batch) = (CancelToken::new(), Batch::new([sample]));
    let served = model.with_instance(&mut |instance| {
        // It may fail, of which it tells by its answer.
        let _ = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
    });
    served.expect("an instance can be had");
    let row = batch.into_rows().remove(0);
    if let Some(Ok(answer)) = row.into_answer() {
        for spec in &signature.outputs {
            let output = answer.get(&spec.name).expect("what was promised is given");
            assert_eq!(output.dtype(), spec.dtype, "{spec}");
        }
    }
}

fn is_small(signature: &Signature) -> bool {
    let size = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
    signature.inputs.iter().all(|spec| {
        let dims = spec.dims.iter().flatten();
        dims.map(size).try_fold(1_usize, usize::checked_mul).is_some_and(|count| count <= SAMPLE)
    })
}
