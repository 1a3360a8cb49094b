//! `infer`: one request, one answer; `cancel`: the end of some.

use serde::Deserialize;
use tauri::ipc::{Request, Response};
use tauri::{Runtime, Webview, command};
use unruffled::{Response as Answer, Tensors};

use super::{offload, opened, request_bytes};
use crate::answer::answer;
use crate::error::Error;
use crate::frame::{Head, Writer};
use crate::pages::Call;
use crate::runtime::{Unruffled, UnruffledExt as _};
use crate::scope::Scope;
use crate::sessions::Key;
use crate::terms::Terms;

#[derive(Deserialize)]
struct Asked {
    #[serde(flatten)]
    terms: Terms,
    inputs: Vec<Head>,
}

#[command]
pub(crate) async fn infer<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    request: Request<'_>,
) -> Result<Response, Error> {
    let (Asked { terms, inputs }, mut reader) = opened(&webview, &request)?;
    scope.check(&terms.model)?;
    let call = webview.unruffled().pages.begin(terms.origin(webview.label()))?;
    let answered = call.run(async {
        let inputs = offload(request_bytes(&request), move || reader.tensors(inputs)).await?;
        ask(webview.unruffled(), &call, &terms, inputs).await
    });
    framed(answered.await?, &terms.model).await
}

/// Asks a model, or a session of it.
async fn ask(app: &Unruffled, call: &Call, terms: &Terms, inputs: Tensors) -> Result<Answer<Tensors>, Error> {
    let (webview, page) = (&call.origin().webview, &call.origin().page);
    if let Some(session) = &terms.session {
        let key = Key {
            webview: webview.clone(),
            page: page.clone(),
            model: terms.model.clone(),
            session: session.clone(),
        };
        let session = app.sessions.find(&key)?;
        return Ok(terms.on_session(session.infer(inputs))?.await?);
    }
    let handle = ready(app, terms).await?;
    Ok(terms.on(handle.infer(inputs), webview, terms.arrived)?.await?)
}

/// The model that is asked, once it is there; no longer than the page waits.
pub(super) async fn ready(app: &Unruffled, terms: &Terms) -> Result<unruffled::TensorHandle, Error> {
    let ready = app.shelf.ready(&terms.model, |_| ());
    match terms.deadline(terms.arrived)? {
        None => ready.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), ready).await.unwrap_or_else(|_| {
            let message = format!("model `{}` was not loaded in time", terms.model);
            Err(Error::of(unruffled::engine::ErrorKind::DeadlineExceeded, message))
        }),
    }
}

/// An answer as a frame.
async fn framed(answered: Answer<Tensors>, model: &str) -> Result<Response, Error> {
    let model = model.to_owned();
    let frame = offload(answered.output.byte_len(), move || {
        let mut writer = Writer::default();
        let told = answer(&mut writer, &model, &answered)?;
        Ok(writer.finish(&told))
    });
    Ok(Response::new(frame.await?))
}

#[command]
pub(crate) async fn cancel<R: Runtime>(
    webview: Webview<R>,
    page: String,
    calls: Vec<u64>,
) -> Result<(), Error> {
    webview.unruffled().pages.cancel(webview.label(), &page, &calls);
    Ok(())
}
