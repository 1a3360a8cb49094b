//! What the server keeps of what the engine does in one process: three models, one, eight and sixty-four callers, over REST in
//! JSON, REST in binary, and gRPC. The load runs on the same machine.
//!
//! `cargo build --release -p unruffled-cli && cargo run --release -p benches --bin serve`, about five minutes. Options: `--quick`,
//! `--models forest,mlp`, `--callers 1,64`, `--ways json,grpc`, `--seconds S` per figure. It needs `cargo xtask test setup`, and `cargo xtask models minilm`.

mod load;

mod direct;
mod grpc;
mod http;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use fastrand::Rng;
use unruffled::{Backends, OrtSearch, Runtimes};
use unruffled_model::{Tensor, Tensors};
use unruffled_protocol::InferRequest;

use crate::direct::Direct;
use crate::load::Seen;
use crate::server::Server;

/// What is asked for.
struct Options {
    models: Vec<String>,
    callers: Vec<usize>,
    ways: Vec<String>,
    length: Duration,
}

/// A model, and the request that all callers send.
struct Subject {
    name: &'static str,
    inputs: fn() -> Tensors,
}

const SUBJECTS: [Subject; 3] = [
    Subject { name: "forest", inputs: || floats("X", 10) },
    Subject { name: "mlp", inputs: || floats("x", 784) },
    Subject { name: "minilm", inputs: words },
];

fn floats(name: &str, width: usize) -> Tensors {
    let mut random = Rng::with_seed(1);
    let row: Vec<f32> = (0..width).map(|_| random.f32()).collect();
    Tensors::new().with(name, Tensor::new(&[1, width], row).expect("it fits"))
}

fn words() -> Tensors {
    let mut random = Rng::with_seed(1);
    let ids: Vec<i64> = (0..64).map(|_| random.i64(1000..20_000)).collect();
    Tensors::new().with("input_ids", Tensor::new(&[1, 64], ids).expect("it fits"))
}

fn main() -> Result<()> {
    let options = options()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("benches are in the workspace")?;
    let folder = tempfile::tempdir()?;
    make(root, folder.path())?;
    let search = OrtSearch::default().with_python(root.join(".venv"));
    let runtimes = Runtimes::default().with_onnxruntime(search);
    let backends = Backends::new(&runtimes);
    println!(
        "model    backend      callers  way        per second  of the engine   p50        p99        health p99"
    );
    for subject in SUBJECTS.iter().filter(|one| options.models.iter().any(|name| name == one.name)) {
        let models = folder.path().join("alone").join(subject.name);
        std::fs::create_dir_all(&models)?;
        let own = folder.path().join(subject.name);
        let source = if own.exists() { own } else { root.join("models").join(subject.name) };
        copy(&source, &models.join(subject.name))?;
        compare(root, subject, &models, &backends, &options)?;
    }
    Ok(())
}

fn compare(
    root: &Path,
    subject: &Subject,
    models: &Path,
    backends: &Backends,
    options: &Options,
) -> Result<()> {
    let inputs = (subject.inputs)();
    let warm_up = options.length / 4;
    let direct = Direct::load(backends, &models.join(subject.name))?;
    let mut raw = Vec::new();
    for &callers in &options.callers {
        let seen = direct.run(&inputs, callers, warm_up, options.length)?;
        line(subject.name, &direct.backend(), callers, "engine", &seen, 1.0, None);
        raw.push(seen.per_second());
    }
    let backend = direct.backend();
    drop(direct);
    let server = Server::start(root, models)?;
    let idle = server.resident()?;
    let requests = requests(subject.name, inputs)?;
    for (&callers, raw) in options.callers.iter().zip(raw) {
        for way in &options.ways {
            let stop = AtomicBool::new(false);
            let (seen, health) = std::thread::scope(|scope| {
                let health = scope.spawn(|| http::health(server.address, &stop));
                let seen = match way.as_str() {
                    "grpc" => grpc::load(server.address, &requests.grpc, callers, warm_up, options.length),
                    "json" => http::load(server.address, &requests.json, callers, warm_up, options.length),
                    _ => http::load(server.address, &requests.binary, callers, warm_up, options.length),
                };
                stop.store(true, Ordering::Relaxed);
                (seen, health.join().expect("it does not panic"))
            });
            let seen = seen?;
            line(subject.name, &backend, callers, way, &seen, seen.per_second() / raw, Some(health?));
        }
    }
    println!(
        "{:8} ready after {:.0} ms, {:.0} MB idle, {:.0} MB after",
        subject.name,
        server.ready_after.as_secs_f64() * 1e3,
        idle as f64 / 1e6,
        server.resident()? as f64 / 1e6
    );
    Ok(())
}

fn line(
    name: &str,
    backend: &str,
    callers: usize,
    way: &str,
    seen: &Seen,
    share: f64,
    health: Option<Duration>,
) {
    let millis = |time: Duration| format!("{:.3} ms", time.as_secs_f64() * 1e3);
    let health = health.map(millis).unwrap_or_default();
    println!(
        "{name:8} {backend:12} {callers:>7}  {way:8} {:>12.0} {:>12.3}   {:>10} {:>10} {health:>10}",
        seen.per_second(),
        share,
        millis(seen.quantile(0.5)),
        millis(seen.quantile(0.99)),
    );
}

/// The request in each form.
struct Requests {
    json: Vec<u8>,
    binary: Vec<u8>,
    grpc: bytes::Bytes,
}

fn requests(name: &str, inputs: Tensors) -> Result<Requests> {
    let path = format!("/v2/models/{name}/infer");
    let request = InferRequest { inputs, ..InferRequest::default() };
    let mut data = Vec::new();
    let mut described = Vec::new();
    for (name, tensor) in request.inputs.iter() {
        let before = data.len();
        unruffled_protocol::raw::write(tensor, &mut data)?;
        described.push(serde_json::json!({
            "name": &**name,
            "shape": tensor.shape(),
            "datatype": unruffled_protocol::datatype::name(tensor.dtype()),
            "parameters": { "binary_data_size": data.len() - before },
        }));
    }
    let text =
        serde_json::json!({ "inputs": described, "parameters": { "binary_data_output": true } }).to_string();
    let headers = format!("Inference-Header-Content-Length: {}\r\n", text.len());
    let message = request.to_grpc(name, "")?;
    Ok(Requests {
        json: http::request(&path, "Content-Type: application/json\r\n", &request.to_json()?),
        binary: http::request(&path, &headers, &[text.as_bytes(), &data].concat()),
        grpc: grpc::framed(&unruffled_protocol::grpc::encode(&message)),
    })
}

/// Writes the models that are made for this.
fn make(root: &Path, folder: &Path) -> Result<()> {
    let script = root.join("benches/python/serve_models.py");
    let status = Command::new(root.join(".venv/bin/python")).arg(script).arg(folder).status();
    ensure!(
        status.context("no .venv; remedy: cargo xtask test setup")?.success(),
        "the models could not be made"
    );
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        std::fs::copy(from, to)?;
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry: PathBuf = entry?.path();
        copy(&entry, &to.join(entry.file_name().context("it has a name")?))?;
    }
    Ok(())
}

fn options() -> Result<Options> {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut options = Options {
        models: all(&["forest", "mlp", "minilm"]),
        callers: vec![1, 8, 64],
        ways: all(&["json", "binary", "grpc"]),
        length: Duration::from_secs(5),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        let listed = |text: String| text.split(',').map(str::to_owned).collect();
        match argument.as_str() {
            "--quick" => options.length = Duration::from_secs(1),
            "--models" => options.models = listed(value()?),
            "--ways" => options.ways = listed(value()?),
            "--callers" => {
                options.callers =
                    value()?.split(',').map(str::parse).collect::<Result<_, _>>().context("--callers")?;
            }
            "--seconds" => options.length = Duration::try_from_secs_f64(value()?.parse()?)?,
            _ => bail!("unknown option {argument}; see the top of benches/src/bin/serve/main.rs"),
        }
    }
    Ok(options)
}
