//! Whether settings fit the model that they are about: names that exist, as many labels as classes.

use unruffled_model::{DType, Dim, InputDefault, Signature, TensorSpec};

use super::typed::{Declared, Decode, InputSource, Layout, ModelConfig, OutputConfig};
use crate::error::{Error, ErrorKind};

impl ModelConfig {
    /// The defaults in the form that backends take.
    pub fn defaults(&self) -> Vec<InputDefault> {
        let defaults = self.inputs.iter().filter_map(|input| {
            let default = input.default.as_ref()?;
            Some(InputDefault {
                input: input.name.as_str().into(),
                value: default.value,
                shape: default.shape.clone(),
            })
        });
        defaults.collect()
    }

    /// What the settings say that the model takes and gives; `None` if they say nothing of it.
    pub fn declared(&self) -> Option<Signature> {
        let spec = |name: &str, declared: &Option<Declared>| {
            let Declared { dtype, dims } = declared.clone()?;
            Some(TensorSpec { name: name.into(), dtype, dims, default: None })
        };
        let inputs: Vec<_> = self.inputs.iter().filter_map(|x| spec(&x.name, &x.declared)).collect();
        let outputs: Vec<_> = self.outputs.iter().filter_map(|y| spec(&y.name, &y.declared)).collect();
        (!inputs.is_empty() || !outputs.is_empty()).then_some(Signature { inputs, outputs })
    }

    /// Checks the settings against the model's own description.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` that names the setting which does not fit, and what there is.
    pub fn fit(&self, signature: &Signature) -> Result<(), Error> {
        self.fit_foreign(signature)?;
        for input in &self.inputs {
            let key = format!("inputs.{}", input.name);
            let spec = find(&signature.inputs, &input.name, "input")
                .map_err(|message| self.misfit(key.clone(), message))?;
            self.fit_declared(input.declared.as_ref(), spec)
                .map_err(|message| self.misfit(key.clone(), message))?;
            if let Some(InputSource::Image(image)) = &input.from {
                let expected = if image.layout == Layout::Nhw { 3 } else { 4 };
                if spec.dims.as_ref().is_some_and(|dims| dims.len() != expected) {
                    let message = format!("makes {expected} dimensions of a picture; the model takes {spec}");
                    return Err(self.misfit(format!("{key}.from.layout"), message));
                }
            }
        }
        for output in &self.outputs {
            let key = format!("outputs.{}", output.name);
            let spec = find(&signature.outputs, &output.name, "output")
                .map_err(|message| self.misfit(key.clone(), message))?;
            self.fit_declared(output.declared.as_ref(), spec)
                .and_then(|()| fit_output(output, spec))
                .map_err(|message| self.misfit(key, message))?;
        }
        self.fit_sequence(signature)
    }

    fn fit_sequence(&self, signature: &Signature) -> Result<(), Error> {
        let Some(sequence) = &self.sequence else { return Ok(()) };
        sequence.spec.check(signature).map_err(|error| {
            let place = error.tensor().unwrap_or_default();
            let is_overlap = sequence.spec.overlap().iter().any(|overlap| *overlap.input == *place);
            let key = if is_overlap { "sequence.overlap" } else { "sequence.state" };
            let misfit = self.misfit(key.into(), error.to_string());
            match sequence.lines.iter().find(|(name, _)| name == place) {
                Some((_, line)) => misfit.at_line(*line),
                None => misfit,
            }
        })
    }

    /// What only settings of other servers say.
    fn fit_foreign(&self, signature: &Signature) -> Result<(), Error> {
        let Some(foreign) = self.foreign.as_deref() else { return Ok(()) };
        let first = |spec: &TensorSpec| spec.dims.as_deref().map(|dims| dims.first().cloned());
        let unbatched =
            |spec: &&TensorSpec| first(spec).is_some_and(|first| matches!(first, None | Some(Dim::Fixed(_))));
        if let (Some(line), Some(spec)) = (foreign.batched, signature.inputs.iter().find(unbatched)) {
            let message =
                format!("the model's input {spec} has no dimension in front that could be a batch; write 0");
            return Err(self.misfit("max_batch_size".into(), message).at_line(line));
        }
        let needed = |spec: &&TensorSpec| {
            spec.default.is_none() && foreign.optional.iter().any(|name| **name == *spec.name)
        };
        match signature.inputs.iter().find(needed) {
            None => Ok(()),
            Some(spec) => {
                let message = "is optional, and the model has no default for it; take `optional` out, or write a model.toml \
                               with a default";
                Err(self.misfit(format!("inputs.{}", spec.name), message.into()))
            }
        }
    }

    /// What the settings say of an input or output may leave sizes open that the model knows, and must not contradict it.
    fn fit_declared(&self, declared: Option<&Declared>, spec: &TensorSpec) -> Result<(), String> {
        let Some(Declared { dtype, dims }) = declared else {
            return Ok(());
        };
        let fits = |ours: &[Dim], theirs: &[Dim]| {
            let open = |dim: &Dim| !matches!(dim, Dim::Fixed(_));
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a == b || open(a) || open(b))
        };
        let dims_fit = match (dims, &spec.dims) {
            (Some(ours), Some(theirs)) => fits(ours, theirs),
            _ => true,
        };
        if *dtype == spec.dtype && dims_fit {
            return Ok(());
        }
        let Some(foreign) = self.foreign.as_deref() else {
            return Err(format!(
                "says something else than the model, which has {spec}; leave dtype and dims out"
            ));
        };
        let given = TensorSpec { dtype: *dtype, dims: dims.clone(), ..spec.clone() };
        let remedy = match foreign.batched {
            Some(_) => "dims leave the batch out, since max_batch_size is not 0",
            None => "dims are whole shapes, since max_batch_size is 0",
        };
        Err(format!("is {given}, and the model has {spec}; {remedy}"))
    }

    fn misfit(&self, key: String, message: String) -> Error {
        let lines = self.foreign.as_deref().map_or(&[][..], |foreign| &foreign.lines);
        let line = lines.iter().find(|(known, _)| *known == key).map(|(_, line)| *line);
        let error = Error::new(ErrorKind::InvalidConfig, message).at_key(key);
        let error = match line {
            Some(line) => error.at_line(line),
            None => error,
        };
        match &self.file {
            Some(file) => error.in_file(file),
            None => error,
        }
    }
}

fn find<'a>(specs: &'a [TensorSpec], name: &str, what: &str) -> Result<&'a TensorSpec, String> {
    specs.iter().find(|spec| *spec.name == *name).ok_or_else(|| {
        let known: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
        format!("there is no such {what}; the model has {}", known.join(", "))
    })
}

fn fit_output(output: &OutputConfig, spec: &TensorSpec) -> Result<(), String> {
    let Some(labels) = &output.labels else {
        return Ok(());
    };
    if spec.dtype == DType::Bytes {
        return Err(format!("labels need numbers; the model gives {spec}"));
    }
    let Some(dims) = &spec.dims else { return Ok(()) };
    if output.decode == Decode::Ctc && dims.len() != 3 {
        return Err(format!("ctc needs [n, step, class]; the model gives {spec}"));
    }
    match dims.last() {
        Some(Dim::Fixed(classes)) if is_scores(spec.dtype) && *classes != labels.len() => {
            let count = labels.len();
            Err(format!("{count} labels for {classes} classes; there must be one line for each class"))
        }
        _ => Ok(()),
    }
}

/// Whether elements are scores of classes; integers are classes themselves.
pub(crate) fn is_scores(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}
