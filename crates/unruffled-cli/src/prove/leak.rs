//! `prove leak`: a hundred thousand requests leave no memory behind, here or in a worker.

use unruffled::engine::PoolOptions;
use unruffled::model::TensorModel;
use unruffled::{Engine, Tensor, TensorHandle, Tensors};

use super::Proof;
use super::kinds::{self, Ask, Script, answer};
use super::plan::{Broken, Outcome, Plan, runtime};
use super::processes::resident;
use super::report::Findings;
use super::watched::Watched;

pub(super) const PROOF: Proof = Proof {
    name: "leak",
    what: "100,000 requests through a Python worker and through ONNX Runtime: how resident memory grows.",
    pass_line: "after the first fifth by 4 MiB at most, here and in the worker",
    run,
};

/// Requests that are on their way at once.
const AT_ONCE: usize = 50;

/// How often memory is looked at.
const LOOKS: usize = 20;

const GROWTH_BYTES_MAX: u64 = 4 << 20;

fn run(plan: &Plan<'_>) -> Outcome {
    let requests = plan.pick(100_000, 10_000);
    plan.steps(2 * LOOKS);
    let mut findings = Findings::default();
    findings.count("requests", "requests of each kind", requests);
    match kinds::python(plan, Script::Alone) {
        Err(why) => findings.leave_out("python", "Python", why),
        Ok((model, _folder)) => {
            let grown = measure(plan, model, || Ask::Double(1.0).alone(), requests)?;
            judge(&mut findings, "python_here_grown_bytes", "here, with Python", &grown.here);
            judge(&mut findings, "python_worker_grown_bytes", "in the worker", &grown.worker);
        }
    }
    match kinds::identity(plan) {
        Err(why) => findings.leave_out("onnxruntime", "ONNX Runtime", why),
        Ok(model) => {
            let input = || Tensors::new().with("x", Tensor::filled(&[1, 3], 0.5_f32).expect("it is small"));
            let grown = measure(plan, model, input, requests)?;
            judge(&mut findings, "onnxruntime_grown_bytes", "here, with ONNX Runtime", &grown.here);
        }
    }
    Ok(findings)
}

/// Memory as it was, one look after the other; no looks where the system does not tell.
#[derive(Default)]
struct Memory {
    here: Vec<u64>,
    worker: Vec<u64>,
}

fn measure(
    plan: &Plan<'_>,
    model: TensorModel,
    input: fn() -> Tensors,
    requests: usize,
) -> Result<Memory, Broken> {
    let engine = Engine::new();
    let (handle, mut door) = Watched::build(&engine, "leak", PoolOptions::default(), model)?;
    let mut memory = Memory::default();
    let asked = async {
        for _ in 0..LOOKS {
            let worker = ask(&handle, input, requests / LOOKS).await?;
            // What the proof itself has kept.
            while door.begun.try_recv().is_ok() {}
            memory.here.extend(resident(0));
            memory.worker.extend(worker.and_then(resident));
            plan.step();
        }
        Ok(Findings::default())
    };
    plan.run(runtime()?, asked)?;
    Ok(memory)
}

/// Asks so often, and tells the process that has answered last, if it was another.
async fn ask(model: &TensorHandle, input: fn() -> Tensors, requests: usize) -> Result<Option<u32>, Broken> {
    let mut worker = None;
    for _ in 0..requests / AT_ONCE {
        let asked: Vec<_> = (0..AT_ONCE).map(|_| model.infer(input()).submit()).collect();
        for request in asked {
            let outputs = request.await?;
            worker = answer(&outputs).and_then(|(_, process)| u32::try_from(process).ok());
        }
    }
    Ok(worker)
}

/// Holds what was taken at the end against what was taken once a fifth was done.
fn judge(findings: &mut Findings, key: &'static str, label: &'static str, looks: &[u64]) {
    let (Some(first), Some(last)) = (looks.get(LOOKS / 5), looks.last()) else {
        return findings.leave_out(
            key,
            label,
            "the system does not tell how much memory a process takes".into(),
        );
    };
    let grown = last.saturating_sub(*first);
    findings.bytes(key, label, grown);
    findings.require(grown <= GROWTH_BYTES_MAX, || {
        format!("{label}: {grown} bytes more, from {first} to {last}")
    });
}
