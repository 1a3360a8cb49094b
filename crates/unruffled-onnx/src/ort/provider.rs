//! Execution providers: what ONNX Runtime can run models on, by name.

use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use unruffled_model::ModelError;

/// The processor: always there, and asked for whatever the providers before it cannot do.
const CPU: &str = "cpu";

/// One that is there beside the processor.
#[derive(Clone, Copy)]
struct Provider {
    name: &'static str,
    is_available: fn() -> bool,
    build: fn() -> ExecutionProviderDispatch,
}

macro_rules! providers {
    ($($name:literal => $provider:ident),* $(,)?) => {
        &[$(Provider {
            name: $name,
            // A library that cannot say what it was built with has nothing but the processor.
            is_available: || ep::$provider::is_available().unwrap_or(false),
            build: || ep::$provider::default().build().error_on_failure(),
        }),*]
    };
}

/// All that can be asked for.
const PROVIDERS: &[Provider] = providers! {
    "tensorrt" => TensorRT,
    "nv_tensorrt_rtx" => NVRTX,
    "cuda" => CUDA,
    "migraphx" => MIGraphX,
    "directml" => DirectML,
    "coreml" => CoreML,
    "openvino" => OpenVINO,
    "qnn" => QNN,
    "cann" => CANN,
    "webgpu" => WebGPU,
    "xnnpack" => XNNPACK,
};

/// The names of those that the loaded library was built with.
pub(super) fn available() -> Vec<&'static str> {
    let there = PROVIDERS.iter().filter(|provider| (provider.is_available)());
    there.map(|provider| provider.name).chain([CPU]).collect()
}

/// The providers of these names, in order.
///
/// # Errors
///
/// `Unsupported` that names the first that is not available, and those that are.
pub(super) fn choose(
    names: &[String],
    available: &[&'static str],
) -> Result<Vec<ExecutionProviderDispatch>, ModelError> {
    let mut chosen = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if name == CPU {
            return match names.get(i + 1) {
                Some(next) => Err(ModelError::unsupported(format!(
                    "execution provider `{next}` would never be asked after `cpu`, which runs everything: name it before"
                ))),
                None => Ok(chosen),
            };
        }
        let provider = PROVIDERS.iter().find(|known| known.name == name && available.contains(&known.name));
        match provider {
            Some(provider) => chosen.push((provider.build)()),
            None => {
                return Err(ModelError::unsupported(format!(
                    "execution provider `{name}` is not available: this ONNX Runtime has {}",
                    available.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                )));
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[track_caller]
    fn check(names: &[&str], expected: Result<usize, &str>) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let chosen = choose(&names, &["cuda", "xnnpack", "cpu"]);
        let chosen = chosen.map(|chosen| chosen.len()).map_err(|error| error.to_string());
        assert_eq!(chosen, expected.map_err(Into::into));
    }

    #[test]
    fn names_are_those_available() {
        check(&[], Ok(0));
        check(&["cpu"], Ok(0));
        check(&["xnnpack", "cuda"], Ok(2));
        check(&["cuda", "cpu"], Ok(1));
        let missing = "is not available: this ONNX Runtime has `cuda`, `xnnpack`, `cpu`";
        check(&["cuda", "coreml"], Err(&format!("execution provider `coreml` {missing}")));
        check(&["gpu"], Err(&format!("execution provider `gpu` {missing}")));
        check(
            &["cpu", "cuda"],
            Err(
                "execution provider `cuda` would never be asked after `cpu`, which runs everything: name it before",
            ),
        );
    }
}
