//! Functions of the app as models: one that gives back what it gets, and one that takes its time and can be stopped.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use tauri_plugin_unruffled::unruffled::engine::Error;
use tauri_plugin_unruffled::unruffled::model::{FnModel, ModelError, RunContext};
use tauri_plugin_unruffled::unruffled::{DType, Dim, Engine, Signature, TensorSpec, Tensors};

pub(crate) fn register(engine: &Engine) -> Result<(), Error> {
    let spec = |name: &str, dtype| TensorSpec::new(name, dtype, [Dim::Any]);
    let any = |name: &str| TensorSpec { dims: None, ..spec(name, DType::F32) };
    let echo = FnModel::fallible(|mut inputs: Tensors| {
        let x = inputs.remove("x").ok_or_else(|| ModelError::invalid_input("is missing").at("x"))?;
        Ok::<_, ModelError>(Tensors::new().with("y", x))
    });
    let signature = Signature { inputs: vec![any("x")], outputs: vec![any("y")] };
    engine.wrap_model(echo.with_signature(signature)).name("demo-echo").register()?;
    let ms = || vec![spec("ms", DType::I64)];
    let wait = FnModel::interruptible(wait).with_threads(0);
    let signature = Signature { inputs: ms(), outputs: ms() };
    engine.wrap_model(wait.with_signature(signature)).name("demo-wait").register().map(drop)
}

/// Waits so many milliseconds, unless nobody waits for it.
fn wait(inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
    let ms = inputs.get("ms").ok_or_else(|| ModelError::invalid_input("is missing").at("ms"))?;
    let time = ms.elements::<i64>()?.first().and_then(|ms| u64::try_from(*ms).ok()).unwrap_or(0);
    let (stop, stopped) = channel();
    let _guard = ctx.on_cancel(move || {
        // It may be over in this moment.
        let _ = stop.send(());
    });
    match stopped.recv_timeout(Duration::from_millis(time)) {
        Err(RecvTimeoutError::Timeout) => Ok(Tensors::new().with("ms", ms.clone())),
        _ => Err(ModelError::cancelled()),
    }
}
