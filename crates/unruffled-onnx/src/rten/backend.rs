//! [`RtenBackend`]: from a file to a loaded model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rten::{LoadError, LoadErrorKind, Model, ModelOptions, ShapeInferenceMode};
use rten_onnx::onnx::{ModelProto, NodeProto};
use rten_onnx::protobuf::ProtobufError;
use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};

use super::loaded::Loaded;
use super::rewrite::rewritten;
use super::support;
use crate::graph::{OnnxFile, Values};
use crate::source::{guarded, malformed, unreadable, unsupported};

/// Runs ONNX models with rten, in pure Rust.
///
/// - All instances share one copy of the weights. Matrices are packed for the processor when the model is loaded, beside
///   the weights: up to twice their memory (MiniLM: 127 MB instead of 91) for runs that need not pack them each time.
/// - Each instance runs in a pool of [`BackendOptions::threads`] threads of its own, named `rten-0`, `rten-1` and so on,
///   which inherit the priority of the thread that builds the instance where the system has it so (Linux). A run that was
///   granted half of them or fewer keeps to one thread, which every instance with more than one has for that.
/// - A run cannot be stopped: a cancelled one goes to its end.
/// - rten computes with 32-bit integers and floats. Wider inputs are narrowed, and refused if a value does not fit;
///   outputs come back in the type that the file declares. Integers that *become* too large within the model wrap
///   around, and `f64` models compute in single precision.
/// - A few operators that rten gets wrong are said in other words, for which the model is written anew in memory; what
///   cannot be said otherwise is refused.
/// - Rows of different requests are joined if all inputs and outputs begin with one symbolic dimension, or if a trial when
///   loading shows that they may be although the file does not say so.
/// - Files are read, not mapped: a mapped file that someone changes would be undefined behaviour.
#[derive(Clone, Copy, Debug, Default)]
pub struct RtenBackend;

/// What errors call it.
const NAME: &str = "rten";

impl Backend for RtenBackend {
    fn name(&self) -> &'static str {
        "rten"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["onnx"]
    }

    fn supports(&self, source: &ModelSource) -> Result<Support, ModelError> {
        let reasons = support::lacks(source, &OnnxFile::read(source)?)?;
        Ok(if reasons.is_empty() { Support::Yes } else { Support::No(reasons) })
    }

    fn load(
        &self,
        source: &ModelSource,
        options: &BackendOptions,
        ctx: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        ctx.step(0.0)?;
        let file = OnnxFile::read(source)?;
        ctx.step(0.1)?;
        let reasons = support::lacks(source, &file)?;
        let mut signature = match support::signature(&file) {
            Ok(signature) if reasons.is_empty() => signature,
            _ => return Err(unsupported(NAME, source, &reasons)),
        };
        options.defaults.iter().try_for_each(|default| signature.set_default(default))?;
        ctx.step(0.2)?;
        let model = guarded(source, || load_model(source, &file))?;
        ctx.step(0.8)?;
        // A pool of 0 threads would mean as many as there are cores.
        let threads = options.threads.max(1);
        let loaded = guarded(source, || {
            Loaded::new(model, signature, threads)
                .map_err(|name| malformed(source, format!("nothing computes `{name}`")))
        })?;
        ctx.step(1.0)?;
        Ok(Arc::new(loaded))
    }
}

fn load_model(source: &ModelSource, file: &OnnxFile) -> Result<Model, ModelError> {
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    // Its guesses about shapes end in a panic over some sound models, which run without them.
    match catch_unwind(AssertUnwindSafe(|| load_with(&options, source, file))) {
        Ok(loaded) => loaded,
        Err(_) => load_with(options.shape_inference(ShapeInferenceMode::Off), source, file),
    }
}

fn load_with(options: &ModelOptions, source: &ModelSource, file: &OnnxFile) -> Result<Model, ModelError> {
    let read = |path| std::fs::read(path).map_err(|error| unreadable(source, error));
    let loaded = match (rewritten(&file.nodes, &Values::of(file)), source) {
        (Some(nodes), ModelSource::File(path)) => options.load(with_nodes(source, &read(path)?, nodes)?),
        (Some(nodes), ModelSource::Memory(bytes)) => options.load(with_nodes(source, bytes, nodes)?),
        // rten goes by the extension; without it, weights in a second file are not found.
        (None, ModelSource::File(path))
            if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) =>
        {
            options.load_file(path)
        }
        (None, ModelSource::File(path)) => options.load(read(path)?),
        (None, ModelSource::Memory(bytes)) => options.load(bytes.to_vec()),
    };
    loaded.map_err(|error| load_error(source, error))
}

/// The model with other nodes.
fn with_nodes(source: &ModelSource, bytes: &[u8], nodes: Vec<NodeProto>) -> Result<Vec<u8>, ModelError> {
    let malformed = |error: ProtobufError| malformed(source, &error).caused_by(error);
    let mut model = ModelProto::parse_buf(bytes).map_err(malformed)?;
    if let Some(graph) = &mut model.graph {
        graph.node = nodes;
    }
    model.write_buf().map_err(malformed)
}

fn load_error(source: &ModelSource, error: LoadError) -> ModelError {
    let reason = match error.kind() {
        LoadErrorKind::OperatorInvalid => {
            return unsupported(NAME, source, &[error.to_string()]).caused_by(error);
        }
        // The text of this one has the whole path in it.
        LoadErrorKind::ExternalDataError => match source {
            ModelSource::File(_) => "its weights lie in a second file, which cannot be read beside it".into(),
            ModelSource::Memory(_) => "its weights lie in a second file; load it from its folder".into(),
        },
        _ => error.to_string(),
    };
    malformed(source, reason).caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rten_onnx::onnx::DataType;
    use unruffled_model::{
        Backend, BackendOptions, Batch, Batching, CancelToken, InputDefault, LoadContext, ModelError,
        ModelErrorKind, ModelSource, Row, RunContext, Support, Tensor, TensorModel, Tensors,
    };

    use super::RtenBackend;
    use crate::sample::{Sample, fixed, symbol};

    fn load(source: &ModelSource) -> Result<TensorModel, ModelError> {
        let cancel = CancelToken::new();
        let ctx = LoadContext::new(&cancel, &|_| ());
        RtenBackend.load(source, &BackendOptions::default(), &ctx)
    }

    #[track_caller]
    fn check_refused(source: &ModelSource, kind: ModelErrorKind, message: &str) {
        let error = load(source).map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
    }

    fn relu() -> Sample {
        Sample::new()
            .input("x", DataType::INT64, [symbol("batch"), fixed(-1), fixed(3)])
            .node("Relu", ["x"], "y")
            .output("y", DataType::INT64, [symbol("batch"), symbol(""), fixed(3)])
    }

    #[test]
    fn the_signature_is_that_of_the_file() {
        let model = load(&relu().source()).unwrap();
        let info = model.info();
        assert_eq!(info.signature.inputs[0].to_string(), "x: i64 [batch, ?, 3]");
        assert_eq!(info.signature.outputs[0].to_string(), "y: i64 [batch, ?, 3]");
        assert_eq!((info.batching, info.threads), (Batching::Joint, 1));
    }

    #[test]
    fn inputs_may_have_defaults() {
        let default = |input: &str| InputDefault { input: input.into(), value: 7.0, shape: None };
        let load = |input| {
            let cancel = CancelToken::new();
            let options = BackendOptions { defaults: vec![default(input)], ..BackendOptions::default() };
            RtenBackend.load(&relu().source(), &options, &LoadContext::new(&cancel, &|_| ()))
        };
        let model = load("x").unwrap();
        assert_eq!(model.info().signature.inputs[0].default, Some(Tensor::scalar(7_i64)));
        assert_eq!(load("z").map(|_| ()).unwrap_err().tensor(), Some("z"));
    }

    #[test]
    fn a_missing_file_is_named_without_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let source = ModelSource::File(folder.path().join("gone.onnx"));
        let error = load(&source).map(|_| ()).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.kind(), ModelErrorKind::Failed);
        assert!(message.starts_with("cannot read `gone.onnx`: "), "{message}");
        assert!(!message.contains(&*folder.path().to_string_lossy()), "{message}");
        assert!(RtenBackend.supports(&source).is_err());
    }

    #[test]
    fn a_lacking_operator_is_named() {
        let source = Sample::new()
            .input("x", DataType::FLOAT, [symbol("batch"), fixed(3)])
            .node("ai.onnx.ml/TreeEnsembleClassifier", ["x"], "y")
            .output("y", DataType::FLOAT, [symbol("batch"), fixed(2)])
            .source();
        let reason = "ai.onnx.ml/TreeEnsembleClassifier operator not supported or not enabled";
        assert_eq!(RtenBackend.supports(&source).unwrap(), Support::No(vec![reason.into()]));
        let message = format!(
            "rten cannot run the model: {reason}; run it with another backend, or export it without these"
        );
        check_refused(&source, ModelErrorKind::Unsupported, &message);
    }

    #[test]
    fn a_file_may_have_any_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["model.onnx", "model.ONNX", "model.bin", "model"] {
            let path = folder.path().join(name);
            std::fs::write(&path, relu().bytes()).unwrap();
            assert!(load(&ModelSource::File(path)).is_ok(), "{name}");
        }
    }

    /// The only output of a model, given its only input.
    #[track_caller]
    fn answer(sample: Sample, x: Tensor) -> Tensor {
        let model = load(&sample.source()).unwrap();
        let mut batch = Batch::new([Tensors::new().with("x", x)]);
        let cancel = CancelToken::new();
        let ctx = RunContext::new(&cancel, None, &[]);
        model.with_instance(&mut |instance| instance.run(&mut batch, &ctx).unwrap()).unwrap();
        let row = batch.into_rows().into_iter().next();
        row.and_then(Row::into_answer).unwrap().unwrap().get("y").unwrap().clone()
    }

    #[test]
    fn the_first_of_equals_is_the_largest() {
        let sample = Sample::new()
            .input("x", DataType::FLOAT, [symbol("batch"), fixed(3)])
            .node_with("ArgMax", ["x"], "y", [("axis", 1), ("keepdims", 0)])
            .output("y", DataType::INT64, [symbol("batch")]);
        let x = Tensor::new(&[2, 3], vec![1.0_f32, 2.0, 2.0, 3.0, 3.0, 3.0]).unwrap();
        assert_eq!(answer(sample, x).elements::<i64>().unwrap(), [1, 0]);
    }

    #[test]
    fn old_models_mean_what_they_meant() {
        let softmax = |opset| {
            Sample::new()
                .opset(opset)
                .input("x", DataType::FLOAT, [symbol("batch"), fixed(2), fixed(2)])
                .node_with("Softmax", ["x"], "y", [("axis", 1)])
                .output("y", DataType::FLOAT, [symbol("batch"), fixed(2), fixed(2)])
        };
        let zeros = Tensor::filled(&[1, 2, 2], 0.0_f32).unwrap();
        assert_eq!(answer(softmax(12), zeros.clone()), Tensor::filled(&[1, 2, 2], 0.25_f32).unwrap());
        assert_eq!(answer(softmax(13), zeros), Tensor::filled(&[1, 2, 2], 0.5_f32).unwrap());
    }

    #[test]
    fn malformed_bytes_are_errors_and_nothing_worse() {
        let whole = Sample::new()
            .input("x", DataType::FLOAT, [symbol("batch"), fixed(8)])
            .weight("w", &[8, 8])
            .node("MatMul", ["x", "w"], "y")
            .output("y", DataType::FLOAT, [symbol("batch"), fixed(8)])
            .bytes();
        assert!(load(&ModelSource::Memory(whole.clone().into())).is_ok());
        // Without its end a file may still say all there is to say: the version of an operator set that it does not use.
        for length in 0..whole.len() - 16 {
            let cut = whole[..length].to_vec();
            assert!(load(&ModelSource::Memory(cut.into())).is_err(), "cut to {length}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut noise = vec![0; random.usize(..200)];
            random.fill(&mut noise);
            assert!(load(&ModelSource::Memory(noise.into())).is_err());
            let mut hurt = whole.clone();
            let at = random.usize(..hurt.len());
            hurt[at] = random.u8(..);
            // May still be a model, but must not end the process.
            let _ = load(&ModelSource::Memory(hurt.into()));
        }
    }

    #[test]
    fn loading_tells_how_far_it_is_and_can_be_cancelled() {
        let (cancel, heard) = (CancelToken::new(), Mutex::new(Vec::new()));
        let hear = |done| {
            heard.lock().unwrap().push(done);
            if done >= 0.2 {
                cancel.cancel();
            }
        };
        let ctx = LoadContext::new(&cancel, &hear);
        let stopped = RtenBackend.load(&relu().source(), &BackendOptions::default(), &ctx);
        assert_eq!(stopped.map(|_| ()).unwrap_err().kind(), ModelErrorKind::Cancelled);
        assert_eq!(*heard.lock().unwrap(), [0.0, 0.1, 0.2]);
    }
}
