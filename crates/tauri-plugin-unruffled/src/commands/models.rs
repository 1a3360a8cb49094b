//! `models`, `load` and `unload`: which models there are, and which are in memory.

use serde_json::Value;
use tauri::ipc::Channel;
use tauri::{Runtime, Webview, command};

use crate::error::Error;
use crate::pages::Origin;
use crate::runtime::UnruffledExt as _;
use crate::scope::Scope;

#[command]
pub(crate) async fn models<R: Runtime>(webview: Webview<R>, scope: Scope) -> Result<Vec<Value>, Error> {
    let statuses = webview.unruffled().shelf.statuses().into_iter();
    Ok(statuses.filter(|(name, _)| scope.allows(name)).map(|(_, status)| status).collect())
}

#[command]
pub(crate) async fn load<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    page: String,
    call: u64,
    model: String,
    channel: Channel<Value>,
) -> Result<Value, Error> {
    scope.check(&model)?;
    let shelf = &webview.unruffled().shelf;
    let call = webview.unruffled().pages.begin(Origin { webview: webview.label().to_owned(), page, call })?;
    let told = |status: &Value| {
        // Fails when the webview has gone: then the call is cancelled as well.
        if let Err(error) = channel.send(status.clone()) {
            tracing::debug!(%error, "the page that waits for a model has gone");
        }
    };
    call.run(shelf.ready(&model, told)).await?;
    shelf.status(&model).ok_or_else(|| Error::not_found(format!("model `{model}` was unloaded again")))
}

#[command]
pub(crate) async fn unload<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    model: String,
) -> Result<(), Error> {
    scope.check(&model)?;
    webview.unruffled().sessions.forget(&model);
    webview.unruffled().shelf.unload(&model).await
}
