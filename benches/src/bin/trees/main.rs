//! Classical models: `trees` beside ONNX Runtime in the same process and beside Python's onnxruntime in a loop, each on one
//! thread, in alternating rounds.
//!
//! `cargo run --release -p benches --bin trees`, after `assets/estimators/make.py --bench --out models/.cache/trees`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use benches::{machine, median};
use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, LoadContext, ModelSource, RequestContext, RequestId,
    RunContext, TensorModel, Tensors,
};
use unruffled_onnx::{OrtBackend, OrtRuntime, OrtSearch, TreesBackend};
use unruffled_testing::npy;

const MODELS: [&str; 6] = ["rf_100x10", "rf_5000x10", "rf_digits784", "histgb", "lightgbm", "xgboost"];
const BATCHES: [usize; 3] = [1, 8, 32];
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(100);

fn main() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = root.join("models/.cache/trees");
    let search = OrtSearch::default().with_folder(&root).only_given();
    let ort = match OrtRuntime::find(&search) {
        Ok(runtime) => OrtBackend::new(runtime),
        Err(missing) => panic!("{missing}"),
    };
    let mut python = Python::start(&root);
    println!(
        "# Classical models\n\n{}; one thread each; medians of {ROUNDS} alternating rounds of {ROUND:?}. Time per call, and how \
         many times the throughput of each rival `trees` has.\n",
        machine()
    );
    println!("| model | rows | trees | ort | onnxruntime in Python | trees / ort | trees / Python |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for name in MODELS {
        let folder = folder.join(name);
        assert!(folder.is_dir(), "{} is not there: see the head of this file", folder.display());
        compare(name, &folder, &ort, &mut python);
    }
}

fn compare(name: &str, folder: &Path, ort: &dyn Backend, python: &mut Python) {
    let (file, rows) = (folder.join("1/model.onnx"), folder.join("rows.npy"));
    let x = npy::read_file(&rows).expect("the rows can be read");
    let trees = Loop::new(&TreesBackend, &file);
    let ort = Loop::new(ort, &file);
    for batch in BATCHES {
        let requests: Vec<Tensors> = (0..x.shape()[0] / batch)
            .map(|i| Tensors::new().with("X", x.rows(i * batch..(i + 1) * batch)))
            .collect();
        assert_same(&trees.once(&requests[0]), &ort.once(&requests[0]));
        let mut seconds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            seconds[0].push(trees.per_call(&requests));
            seconds[1].push(ort.per_call(&requests));
            seconds[2].push(python.per_call(&file, &rows, batch));
        }
        let [trees, ort, python] = seconds.map(median);
        println!(
            "| {name} | {batch} | {:.2} us | {:.2} us | {:.2} us | {:.2} | {:.2} |",
            trees * 1e6,
            ort * 1e6,
            python * 1e6,
            ort / trees,
            python / trees,
        );
    }
}

/// The same labels exactly, and scores as close as sums of floats are.
fn assert_same(a: &Tensors, b: &Tensors) {
    assert_eq!(a.get("label"), b.get("label"), "labels differ");
    let scores = |tensors: &Tensors| {
        let tensor = tensors.get("probabilities").expect("a classifier").clone();
        tensor.elements::<f32>().expect("scores are floats").to_vec()
    };
    let close = scores(a).iter().zip(scores(b)).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close, "scores differ");
}

/// A model that is called in a loop, as an instance calls it.
struct Loop(TensorModel);

impl Loop {
    fn new(backend: &dyn Backend, file: &Path) -> Self {
        let cancel = CancelToken::new();
        let ctx = LoadContext::new(&cancel, &|_| ());
        let source = ModelSource::File(file.into());
        Self(backend.load(&source, &BackendOptions::default(), &ctx).expect("the model loads"))
    }

    fn once(&self, request: &Tensors) -> Tensors {
        let mut answer = None;
        self.with(|run| answer = Some(run(request)));
        answer.expect("the instance was lent")
    }

    fn per_call(&self, requests: &[Tensors]) -> f64 {
        let mut seconds = 0.0;
        self.with(|run| {
            let begin = Instant::now();
            let mut calls = 0_u32;
            'round: loop {
                for request in requests {
                    std::hint::black_box(run(request));
                    calls += 1;
                    if begin.elapsed() >= ROUND {
                        break 'round;
                    }
                }
            }
            seconds = begin.elapsed().as_secs_f64() / f64::from(calls);
        });
        seconds
    }

    fn with(&self, mut work: impl FnMut(&mut dyn FnMut(&Tensors) -> Tensors) + Send) {
        let (cancel, contexts) = (CancelToken::new(), [RequestContext::new(RequestId::Number(1))]);
        let serve = &mut |instance: &mut dyn unruffled_model::Model<Input = Tensors, Output = Tensors>| {
            work(&mut |request| {
                let mut batch = Batch::new([request.clone()]);
                let ctx = RunContext::new(&cancel, None, &contexts);
                instance.run(&mut batch, &ctx).expect("the model runs");
                let row = batch.into_rows().pop().expect("one request");
                row.into_answer().expect("an answer").expect("no error")
            });
        };
        self.0.with_instance(serve).expect("an instance");
    }
}

/// Python's onnxruntime in a process of its own.
struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn start(root: &Path) -> Self {
        let mut child = Command::new(root.join(".venv/bin/python"))
            .args(["-c", include_str!("python.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a Python with onnxruntime in .venv");
        let input = child.stdin.take().expect("it was piped");
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        Self { child, input, output }
    }

    fn per_call(&mut self, file: &Path, rows: &Path, batch: usize) -> f64 {
        let (file, rows) = (file.display(), rows.display());
        writeln!(self.input, "{file}\t{rows}\t{batch}\t{}", ROUND.as_secs_f64()).expect("Python listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("Python answers");
        line.trim().parse().expect("Python answers with a number")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
