//! What a model takes and gives, in tensors, from what its file declares and what ONNX Runtime makes of it.

use ort::value::Outlet;
use rten_onnx::onnx::ValueInfoProto;
use unruffled_model::{Name, Signature, TensorSpec};

use super::compound::Form;
use crate::graph::{Declared, OnnxFile, declared};

/// The inputs that a file declares.
///
/// # Errors
///
/// Which inputs are no tensors that we know, one a line.
pub(super) fn inputs(file: &OnnxFile) -> Result<Vec<TensorSpec>, Vec<String>> {
    let (mut specs, mut reasons) = (Vec::new(), Vec::new());
    for value in &file.inputs {
        match declared(value) {
            Declared::Tensor(spec) => specs.push(spec),
            Declared::Other(what) => reasons.push(format!("input `{}` is {what}", name(value))),
        }
    }
    if reasons.is_empty() { Ok(specs) } else { Err(reasons) }
}

/// The signature, and what to do with each output of the session.
///
/// # Errors
///
/// Which inputs and outputs cannot be had as tensors, one a line.
pub(super) fn signature(
    file: &OnnxFile,
    session_outputs: &[Outlet],
) -> Result<(Signature, Vec<(Name, Form)>), Vec<String>> {
    let mut signature = Signature { inputs: inputs(file)?, outputs: Vec::new() };
    let (mut forms, mut reasons) = (Vec::new(), Vec::new());
    for value in &file.outputs {
        let name = name(value);
        let outlet = session_outputs.iter().find(|outlet| outlet.name() == name);
        match output(value, outlet) {
            Ok((form, specs)) => {
                forms.push((name.into(), form));
                signature.outputs.extend(specs);
            }
            Err(what) => reasons.push(format!("output `{name}` is {what}")),
        }
    }
    if reasons.is_empty() { Ok((signature, forms)) } else { Err(reasons) }
}

fn output(value: &ValueInfoProto, outlet: Option<&Outlet>) -> Result<(Form, Vec<TensorSpec>), String> {
    let name = name(value);
    let what = match declared(value) {
        Declared::Tensor(spec) => return Ok((Form::Tensor, vec![spec])),
        Declared::Other(what) => what,
    };
    let ty = outlet.map(Outlet::dtype).ok_or_else(|| what.clone())?;
    // A sparse tensor passes for a plain one here, but is declared as something that we do not know.
    if ty.is_tensor() && value.r#type.is_some() {
        return Err(what);
    }
    Form::of(name, ty).ok_or_else(|| ty.to_string())
}

fn name(value: &ValueInfoProto) -> &str {
    value.name.as_deref().unwrap_or_default()
}
