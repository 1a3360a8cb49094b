//! The model repository extension: what there is, loads and unloads.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::http::StatusCode;
use unruffled_engine::VersionState;
use unruffled_model::Name;
use unruffled_protocol::{ControlRequest, IndexEntry, IndexState};

use crate::access::Identity;
use crate::catalog::{Catalog, Control};
use crate::refusal::Refusal;
use crate::service::Service;

/// All models that they may know of, those in the engine and those that could be; only those that can answer, if `ready`.
pub(crate) async fn index(
    service: &Service,
    identity: &Identity,
    ready: bool,
) -> Result<Vec<IndexEntry>, Refusal> {
    let known = blocking(service.catalog(), <dyn Catalog>::index).await??;
    let mut entries = BTreeMap::new();
    for model in service.models() {
        let state = match (model.is_ready(), model.pool.is_some()) {
            (true, _) => IndexState::Ready,
            (false, false) => IndexState::Loading,
            (false, true) => IndexState::Unavailable,
        };
        let loading = model.versions.iter().any(|version| version.state == VersionState::Loading);
        let reason = match state {
            IndexState::Ready | IndexState::Loading => None,
            _ if loading => Some("is being loaded"),
            _ => Some("takes no requests, or has no instance to run them"),
        };
        let versions: Vec<Option<Name>> = match service.version(&model.name) {
            Some(known) if model.versions.len() <= 1 => vec![Some(known)],
            Some(_) => model.versions.iter().map(|version| Some(version.version.clone())).collect(),
            None => vec![None],
        };
        for version in versions {
            let entry = entry(&model.name, version.as_ref(), Some(state), reason);
            entries.insert((model.name.clone(), version), entry);
        }
    }
    let here: HashSet<Name> = entries.keys().map(|(name, _)| name.clone()).collect();
    for (name, version) in known.into_iter().filter(|(name, _)| !here.contains(name)) {
        let unloaded = service.was_unloaded(&name);
        let state = unloaded.then_some(IndexState::Unavailable);
        entries.insert(
            (name.clone(), version.clone()),
            entry(&name, None, state, unloaded.then_some("unloaded")),
        );
    }
    let wanted = |entry: &IndexEntry| !ready || entry.state == Some(IndexState::Ready);
    Ok(entries.into_values().filter(|entry| wanted(entry) && identity.sees(&entry.name)).collect())
}

fn entry(name: &str, version: Option<&Name>, state: Option<IndexState>, reason: Option<&str>) -> IndexEntry {
    IndexEntry {
        name: name.to_owned(),
        version: version.map(ToString::to_string),
        state,
        reason: reason.map(str::to_owned),
    }
}

/// Loads a model, or loads it anew; ready when this ends.
pub(crate) async fn load(service: &Service, model: String, request: &ControlRequest) -> Result<(), Refusal> {
    if let Some(name) = request.parameters.keys().find(|name| *name == "config" || name.starts_with("file:"))
    {
        let name: String = name.chars().take(80).collect();
        return Err(Refusal::unsupported(format!(
            "parameter `{name}`: models come from the server's own folder, with the settings that are there; put the \
             files there and load the model without it"
        )));
    }
    control(service, model.clone(), |catalog, model| catalog.load(model)).await?;
    service.note_unloaded(&model, false);
    Ok(())
}

/// Ends a model; those who ask for it now hear that it is not there.
pub(crate) async fn unload(service: &Service, model: String) -> Result<(), Refusal> {
    control(service, model.clone(), |catalog, model| catalog.unload(model)).await?;
    service.sessions().forget(&model);
    service.note_unloaded(&model, true);
    Ok(())
}

/// Goes on when the client does not wait any more: half a load is none.
async fn control(
    service: &Service,
    model: String,
    begin: impl FnOnce(&dyn Catalog, &str) -> Control + Send + 'static,
) -> Result<(), Refusal> {
    let control = blocking(service.catalog(), move |catalog| begin(catalog, &model)).await?;
    let ended = tokio::spawn(control).await;
    ended.map_err(|error| broken(&error))?.map_err(Refusal::from)
}

async fn blocking<T: Send + 'static>(
    catalog: Arc<dyn Catalog>,
    work: impl FnOnce(&dyn Catalog) -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(move || work(&*catalog)).await.map_err(|error| broken(&error))
}

fn broken(error: &tokio::task::JoinError) -> Refusal {
    tracing::error!(%error, "the repository of models could not be asked");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to ask its repository of models")
}
