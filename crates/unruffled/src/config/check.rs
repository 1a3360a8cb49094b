//! From what is written to what is meant: every value checked, every refusal with its line and key.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use unruffled_engine::{BreakerOptions, CacheOptions, PoolOptions};
use unruffled_model::{DType, Dim, SequenceSpec};

use super::beside::is_beside;
use super::place::{key_at, line_at};
use super::raw::{
    Raw, RawBreaker, RawCache, RawDim, RawFallback, RawFrom, RawInput, RawOutput, RawPython, RawRun,
    RawSequence,
};
use super::typed::{
    AudioInput, Color, Declared, Decode, DefaultValue, FallbackConfig, FallbackOrder, FileInput, ImageInput,
    InputConfig, InputSource, Labels, Layout, ModelConfig, OnnxRuntimeConfig, OutputConfig, PythonConfig,
    RunConfig, SequenceConfig,
};
use crate::error::{Error, ErrorKind};

/// How many classes are told unless the settings say otherwise.
pub(super) const TOP: usize = 3;

/// A text under check: what refusals need to say where they stand.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a Path,
    /// Reads a file that lies beside the settings.
    pub(super) read_beside: &'a dyn Fn(&str) -> std::io::Result<String>,
}

impl Checker<'_> {
    pub(super) fn config(&self, raw: Raw) -> Result<ModelConfig, Error> {
        let inputs = raw.inputs.into_iter().map(|(name, raw)| self.input(name, raw));
        let inputs = inputs.collect::<Result<_, _>>()?;
        let outputs = raw.outputs.into_iter().map(|(name, raw)| self.output(name, raw));
        let outputs = outputs.collect::<Result<_, _>>()?;
        Ok(ModelConfig {
            description: raw.description,
            license: raw.license,
            source: raw.source,
            backend: raw.backend,
            run: self.run(raw.run)?,
            sequence: self.sequence(raw.sequence)?,
            cache: raw.cache.map(|raw| cache(&raw)),
            fallback: raw.fallback.map(|raw| self.fallback(raw.into_inner())).transpose()?,
            onnxruntime: OnnxRuntimeConfig { providers: raw.onnxruntime.providers },
            python: self.python(raw.python)?,
            step: raw.step.map(|step| self.step(&step)).transpose()?,
            inputs,
            outputs,
            file: Some(self.file.to_owned()),
            ..ModelConfig::default()
        })
    }

    /// A refusal of what stands at a place of the text.
    pub(super) fn refuse(&self, span: Option<Range<usize>>, message: impl Into<String>) -> Error {
        let error = Error::new(ErrorKind::InvalidConfig, message).in_file(self.file);
        let Some(span) = span else { return error };
        let error = error.at_line(line_at(self.text, span.start));
        match key_at(self.text, span.start) {
            Some(key) => error.at_key(key),
            None => error,
        }
    }

    fn sequence(&self, raw: RawSequence) -> Result<Option<SequenceConfig>, Error> {
        let RawSequence { state, overlap } = raw;
        let (mut spec, mut lines) = (SequenceSpec::new(), Vec::new());
        for (output, input) in state {
            let (span, input) = (input.span(), input.into_inner());
            if spec.feedback().iter().any(|known| *known.input == *input) {
                let message =
                    format!("feeds `{input}`, which another output is for already; an input has one past");
                return Err(self.refuse(Some(span), message));
            }
            lines.push((output.clone(), line_at(self.text, span.start)));
            lines.push((input.clone(), line_at(self.text, span.start)));
            spec = spec.with_state(output, input);
        }
        for (input, elements) in overlap {
            let (span, elements) = (elements.span(), elements.into_inner());
            if spec.feedback().iter().any(|known| *known.input == *input) {
                let message = format!(
                    "keeps a part of `{input}`, which an output is for already; an input has one past"
                );
                return Err(self.refuse(Some(span), message));
            }
            lines.push((input.clone(), line_at(self.text, span.start)));
            spec = spec.with_overlap(input, elements.get());
        }
        Ok((!lines.is_empty()).then_some(SequenceConfig { spec, lines }))
    }

    fn run(&self, raw: RawRun) -> Result<RunConfig, Error> {
        if let Some(most) = &raw.instances_max {
            let least = raw.instances.map_or(PoolOptions::default().instances(), usize::from);
            if most.get_ref().get() < least {
                let message =
                    format!("is {most}, less than the {least} of `instances`", most = most.get_ref());
                return Err(self.refuse(Some(most.span()), message));
            }
        }
        Ok(RunConfig {
            instances: raw.instances,
            instances_max: raw.instances_max.map(Spanned::into_inner),
            grow_after: raw.grow_after_ms.map(Duration::from_millis),
            shrink_after: raw.shrink_after_ms.map(Duration::from_millis),
            lease_idle_max: raw.lease_idle_ms.map(Duration::from_millis),
            warm_up: raw.warm_up,
            threads: raw.threads,
            max_batch: raw.max_batch,
            queue_items: raw.queue_items,
            queue_bytes: raw.queue_bytes,
            reload: raw.reload,
            ..RunConfig::default()
        })
    }

    fn fallback(&self, raw: RawFallback) -> Result<FallbackConfig, Error> {
        let (span, chain) = (raw.chain.span(), raw.chain.into_inner());
        if chain.is_empty() {
            return Err(self.refuse(Some(span), "names no model; name those to be asked, the best first"));
        }
        if let Some(twice) = chain.iter().enumerate().find(|(at, name)| chain[..*at].contains(name)) {
            let message = format!("names `{}` twice; a model that has failed is not asked again", twice.1);
            return Err(self.refuse(Some(span), message));
        }
        let order = match raw.order {
            None => FallbackOrder::InTurn,
            Some(order) => match order.get_ref().as_str() {
                "in-turn" => FallbackOrder::InTurn,
                "by-slack" => FallbackOrder::BySlack,
                "race" => FallbackOrder::Race,
                other => {
                    let message =
                        format!("unknown order \"{other}\"; expected \"in-turn\", \"by-slack\" or \"race\"");
                    return Err(self.refuse(Some(order.span()), message));
                }
            },
        };
        Ok(FallbackConfig {
            chain,
            order,
            budget: raw.budget_ms.map(|ms| Duration::from_millis(ms.into())),
            hedge_after: raw.hedge_after_ms.map(|ms| Duration::from_millis(ms.into())),
            breaker: self.breaker(&raw.breaker)?,
        })
    }

    fn breaker(&self, raw: &RawBreaker) -> Result<BreakerOptions, Error> {
        let mut options = BreakerOptions::default();
        if let Some(rate) = &raw.failure_rate {
            let value = *rate.get_ref();
            if !(value > 0.0 && value <= 1.0) {
                let message = format!("is {value}; expected a part of 1, above 0");
                return Err(self.refuse(Some(rate.span()), message));
            }
            options = options.with_failure_rate(value);
        }
        if let Some(calls) = raw.calls_min {
            options = options.with_calls_min(calls.into());
        }
        if raw.open_ms.is_some() || raw.open_ms_max.is_some() {
            let first = raw.open_ms.map_or(Duration::from_secs(1), |ms| Duration::from_millis(ms.into()));
            let max = raw.open_ms_max.map_or(30 * first, |ms| Duration::from_millis(ms.into()));
            options = options.with_open(first, max);
        }
        if raw.probes.is_some() || raw.successes.is_some() {
            options =
                options.with_probes(raw.probes.map_or(1, usize::from), raw.successes.map_or(2, usize::from));
        }
        Ok(options)
    }

    fn python(&self, raw: RawPython) -> Result<PythonConfig, Error> {
        let interpreter = raw.interpreter.map(|path| match path.get_ref().as_str() {
            "" => Err(self.refuse(Some(path.span()), "names no interpreter; leave it out for the usual one")),
            // A bare name is looked for as a shell would; a path is meant from where the settings are.
            name if !name.contains(['/', '\\']) && !name.starts_with('.') => Ok(PathBuf::from(name)),
            relative => Ok(self.file.parent().unwrap_or(Path::new("")).join(relative)),
        });
        Ok(PythonConfig {
            interpreter: interpreter.transpose()?,
            trust_pickle: raw.trust_pickle,
            trusted_types: raw.trusted_types,
            memory_bytes: raw.memory_bytes.map(u64::from),
            load_timeout: raw.load_timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            cancel_grace: raw.cancel_grace_ms.map(Duration::from_millis),
            rerun: raw.rerun,
            reload: raw.reload.unwrap_or_default(),
        })
    }

    fn declared(
        &self,
        dtype: Option<&Spanned<String>>,
        dims: Option<Spanned<Vec<RawDim>>>,
    ) -> Result<Option<Declared>, Error> {
        let Some(dtype) = dtype else {
            return match dims {
                None => Ok(None),
                Some(dims) => {
                    let message = "are the dimensions of what? add its type: dtype = \"f32\"";
                    Err(self.refuse(Some(dims.span()), message))
                }
            };
        };
        let known = DType::ALL.iter().find(|known| known.name() == dtype.get_ref());
        let dtype = *known.ok_or_else(|| {
            let names: Vec<_> = DType::ALL.iter().map(|known| known.name()).collect();
            let message =
                format!("unknown type \"{}\"; expected one of {}", dtype.get_ref(), names.join(", "));
            self.refuse(Some(dtype.span()), message)
        })?;
        let dims = dims.map(|dims| dims.into_inner().into_iter().map(dim).collect());
        Ok(Some(Declared { dtype, dims }))
    }

    pub(super) fn input(&self, name: String, raw: RawInput) -> Result<InputConfig, Error> {
        if let (None, Some(shape)) = (raw.default, &raw.shape) {
            return Err(self.refuse(
                Some(shape.span()),
                "is the shape of a default, and there is none; add `default = NUMBER`",
            ));
        }
        let default =
            raw.default.map(|value| DefaultValue { value, shape: raw.shape.map(Spanned::into_inner) });
        let from = raw.from.map(|from| self.from(from)).transpose()?;
        let declared = self.declared(raw.dtype.as_ref(), raw.dims)?;
        Ok(InputConfig { name, declared, default, from })
    }

    fn from(&self, raw: RawFrom) -> Result<InputSource, Error> {
        let kind = raw.kind.get_ref().clone();
        for (owner, key, span) in given(&raw) {
            if owner != kind && ["image", "audio", "file"].contains(&kind.as_str()) {
                let message = format!("`{key}` is for inputs of kind \"{owner}\"; this one is \"{kind}\"");
                return Err(self.refuse(Some(span), message));
            }
        }
        match kind.as_str() {
            "image" => Ok(InputSource::Image(self.image(raw)?)),
            "audio" => Ok(InputSource::Audio(self.audio(&raw)?)),
            "file" => Ok(InputSource::File(self.file(&raw)?)),
            other => {
                let message = format!("unknown kind \"{other}\"; expected \"image\", \"audio\" or \"file\"");
                Err(self.refuse(Some(raw.kind.span()), message))
            }
        }
    }

    fn image(&self, raw: RawFrom) -> Result<ImageInput, Error> {
        let color = match &raw.color {
            None => Color::Rgb,
            Some(color) => match color.get_ref().as_str() {
                "gray" => Color::Gray,
                "rgb" => Color::Rgb,
                "bgr" => Color::Bgr,
                other => {
                    let message = format!("unknown color \"{other}\"; expected \"gray\", \"rgb\" or \"bgr\"");
                    return Err(self.refuse(Some(color.span()), message));
                }
            },
        };
        let layout = match &raw.layout {
            None => Layout::Nchw,
            Some(layout) => match layout.get_ref().as_str() {
                "nhw" if color != Color::Gray => {
                    let message = "\"nhw\" has no place for channels; set color = \"gray\", or take \"nchw\" or \"nhwc\"";
                    return Err(self.refuse(Some(layout.span()), message));
                }
                "nhw" => Layout::Nhw,
                "nchw" => Layout::Nchw,
                "nhwc" => Layout::Nhwc,
                other => {
                    let message =
                        format!("unknown layout \"{other}\"; expected \"nhw\", \"nchw\" or \"nhwc\"");
                    return Err(self.refuse(Some(layout.span()), message));
                }
            },
        };
        let std = self.per_channel(raw.std, color)?;
        Ok(ImageInput {
            width: raw.width.map(Spanned::into_inner),
            height: raw.height.map(Spanned::into_inner),
            side_max: raw.side_max.map(Spanned::into_inner),
            multiple: raw.multiple.map(Spanned::into_inner),
            color,
            layout,
            invert: raw.invert.is_some_and(Spanned::into_inner),
            scale: raw.scale.map_or(1.0, Spanned::into_inner),
            mean: self.per_channel(raw.mean, color)?,
            std,
        })
    }

    /// A number for each channel, or none at all.
    fn per_channel(&self, values: Option<Spanned<Vec<f32>>>, color: Color) -> Result<Vec<f32>, Error> {
        let Some(values) = values else {
            return Ok(Vec::new());
        };
        let (span, values) = (values.span(), values.into_inner());
        let (given, expected) = (values.len(), color.channels());
        if given != expected {
            let message = format!("has {given} numbers for {expected} channels; give one for each");
            return Err(self.refuse(Some(span), message));
        }
        if values.iter().any(|value| !value.is_finite())
            || (key_at(self.text, span.start).is_some_and(|key| key.ends_with(".std"))
                && values.contains(&0.0))
        {
            return Err(self.refuse(Some(span), "has a number that cannot be used here: 0 or none at all"));
        }
        Ok(values)
    }

    fn audio(&self, raw: &RawFrom) -> Result<AudioInput, Error> {
        let Some(rate) = &raw.rate else {
            return Err(self.refuse(
                Some(raw.kind.span()),
                "needs `rate`, the samples per second that the model expects: rate = 16000",
            ));
        };
        Ok(AudioInput {
            rate: *rate.get_ref(),
            samples: raw.samples.as_ref().map(|samples| *samples.get_ref()),
        })
    }

    fn file(&self, raw: &RawFrom) -> Result<FileInput, Error> {
        let value = |given: &Option<Spanned<usize>>| given.as_ref().map_or(0, |given| *given.get_ref());
        let (begin, end) = (value(&raw.begin), value(&raw.end));
        if begin + end == 0 {
            let message = "takes no bytes of the file; set `begin`, `end` or both";
            return Err(self.refuse(Some(raw.kind.span()), message));
        }
        let block = match &raw.block {
            None => begin.max(end),
            Some(block) if block.get_ref().get() < begin.max(end) => {
                let message = format!("is less than the {} bytes that are taken", begin.max(end));
                return Err(self.refuse(Some(block.span()), message));
            }
            Some(block) => block.get_ref().get(),
        };
        Ok(FileInput {
            begin,
            end,
            block,
            trim: raw.trim.as_ref().is_some_and(|trim| *trim.get_ref()),
            padding: raw.padding.as_ref().map_or(0, |padding| *padding.get_ref()),
        })
    }

    fn output(&self, name: String, raw: Spanned<RawOutput>) -> Result<OutputConfig, Error> {
        let (table, raw) = (raw.span(), raw.into_inner());
        let decode = match &raw.decode {
            None => Decode::Classes,
            Some(decode) if decode.get_ref() != "ctc" => {
                let message = format!("unknown decoding \"{}\"; expected \"ctc\"", decode.get_ref());
                return Err(self.refuse(Some(decode.span()), message));
            }
            Some(decode) if raw.labels.is_none() => {
                return Err(self.refuse(Some(decode.span()), "needs labels; add labels = \"labels.txt\""));
            }
            Some(_) => Decode::Ctc,
        };
        let declared = self.declared(raw.dtype.as_ref(), raw.dims)?;
        if let (None, None, None) = (&raw.labels, &raw.top, &declared) {
            return Err(
                self.refuse(Some(table), "sets nothing; add labels = \"labels.txt\", or leave it out")
            );
        }
        Ok(OutputConfig {
            name,
            declared,
            labels: raw.labels.map(|file| self.labels(&file)).transpose()?,
            top: raw.top.map_or(TOP.try_into().expect("it is not 0"), Spanned::into_inner),
            decode,
        })
    }

    fn labels(&self, file: &Spanned<String>) -> Result<Labels, Error> {
        let name = file.get_ref();
        if !is_beside(name) {
            let message = format!("\"{name}\" is not the name of a file in the model's own folder");
            return Err(self.refuse(Some(file.span()), message));
        }
        let text = (self.read_beside)(name).map_err(|error| {
            let message = format!("cannot read \"{name}\": {error}; put it beside model.toml");
            self.refuse(Some(file.span()), message).caused_by(error)
        })?;
        let labels = split_labels(&text);
        if labels.is_empty() {
            return Err(
                self.refuse(Some(file.span()), format!("\"{name}\" is empty; write one label a line"))
            );
        }
        Ok(labels)
    }
}

fn dim(raw: RawDim) -> Dim {
    match raw {
        RawDim::Size(size) => Dim::Fixed(size),
        RawDim::Name(name) if name == "?" => Dim::Any,
        RawDim::Name(name) => Dim::Symbolic(name.into()),
    }
}

/// One label a line, as it stands: a label may be empty or a blank.
pub(super) fn split_labels(text: &str) -> Labels {
    let mut labels: Vec<String> = text.split('\n').map(str::to_owned).collect();
    // What follows the last line break is no line.
    labels.pop_if(|last| last.is_empty());
    Arc::from(labels)
}

fn cache(raw: &RawCache) -> CacheOptions {
    let mut options = CacheOptions::default();
    if let Some(bytes) = raw.bytes {
        options = options.with_bytes(bytes.into());
    }
    if let Some(seconds) = raw.ttl_s {
        options = options.with_ttl(Duration::from_secs(seconds.into()));
    }
    if let Some(bytes) = raw.input_bytes_max {
        options = options.with_input_bytes_max(bytes.into());
    }
    options
}

/// The keys that are given: the kind that each belongs to, its name and its place.
fn given(raw: &RawFrom) -> impl Iterator<Item = (&'static str, &'static str, Range<usize>)> {
    macro_rules! keys {
        ($($kind:literal: $($key:ident),*;)*) => {
            [$($(($kind, stringify!($key), raw.$key.as_ref().map(Spanned::span))),*),*]
        };
    }
    let keys = keys! {
        "image": width, height, side_max, multiple, color, layout, invert, scale, mean, std;
        "audio": rate, samples;
        "file": begin, end, block, trim, padding;
    };
    keys.into_iter().filter_map(|(kind, key, span)| Some((kind, key, span?)))
}
