//! A chain of models by name, as its settings say.

use unruffled_engine::{Breaker, Engine, Handle, Link};
use unruffled_model::{LoadContext, Signature, TensorModel, TensorSpec, Tensors};

use crate::config::{FallbackConfig, FallbackOrder};
use crate::error::{Error, ErrorKind};
use crate::repository::ModelFolder;

/// Builds the chain of a folder out of models that are loaded, or are being loaded, under these names. Blocks until they are.
pub(crate) fn build(
    engine: &Engine,
    folder: &ModelFolder,
    config: &FallbackConfig,
    ctx: &LoadContext<'_>,
) -> Result<TensorModel, Error> {
    let get = |name: &String| engine.get_when_loaded(name, &folder.name, ctx);
    let models: Vec<Handle<Tensors, Tensors>> = config.chain.iter().map(get).collect::<Result<_, _>>()?;
    let refuse = |message: String| {
        let error = Error::new(ErrorKind::InvalidConfig, message).at_key("fallback.chain");
        match &folder.config.file {
            Some(file) => error.in_file(file),
            None => error,
        }
    };
    let Some((first, others)) = models.split_first() else {
        return Err(refuse("names no model".to_owned()));
    };
    for other in others {
        if let Some(difference) = difference(&first.info().signature, &other.info().signature) {
            let (first, other) = (first.name(), other.name());
            return Err(refuse(format!("`{other}` cannot stand in for `{first}`: {difference}")));
        }
    }
    let link = |model: &Handle<Tensors, Tensors>| {
        let link = Link::new(model).breaker(&Breaker::new(model.name().clone(), config.breaker));
        let link = config.budget.map_or(link.clone(), |budget| link.budget(budget));
        config.hedge_after.map_or(link.clone(), |delay| link.hedge_after(delay))
    };
    let fallback = engine.fallback(link(first)).name(folder.name.clone());
    let fallback = others.iter().fold(fallback, |fallback, model| fallback.then(link(model)));
    let fallback = match config.order {
        FallbackOrder::InTurn => fallback,
        FallbackOrder::BySlack => fallback.by_slack(),
        FallbackOrder::Race => fallback.race(),
    };
    let model = fallback.build().model();
    folder.config.fit(&model.info().signature)?;
    Ok(model)
}

/// What keeps one model from standing in for another: whoever asks must not see which of them answers.
fn difference(first: &Signature, other: &Signature) -> Option<String> {
    let kinds = [("input", &first.inputs, &other.inputs), ("output", &first.outputs, &other.outputs)];
    kinds.into_iter().find_map(|(kind, first, other)| {
        let unknown = other.iter().find(|spec| !first.iter().any(|known| known.name == spec.name));
        if let Some(spec) = unknown {
            return Some(format!("it has an {kind} more, {spec}"));
        }
        first.iter().find_map(|spec| match other.iter().find(|known| known.name == spec.name) {
            None => Some(format!("it has no {kind} {spec}")),
            Some(known) if !agree(spec, known) => Some(format!("its {kind} is {known}, not {spec}")),
            Some(_) => None,
        })
    })
}

/// Whether two inputs or outputs are of one type and of as many dimensions, as far as that is known. Sizes may differ: a smaller
/// model may take more.
fn agree(first: &TensorSpec, other: &TensorSpec) -> bool {
    let rank = |spec: &TensorSpec| spec.dims.as_ref().map(Vec::len);
    first.dtype == other.dtype && rank(first).zip(rank(other)).is_none_or(|(first, other)| first == other)
}

#[cfg(test)]
mod tests;
