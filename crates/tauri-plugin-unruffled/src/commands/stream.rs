//! `stream`: opened, fed, ended and acknowledged by the same command.

use serde::Deserialize;
use tauri::ipc::{CommandScope, GlobalScope, InvokeBody, JavaScriptChannelId, Request};
use tauri::{Runtime, Webview, command};
use unruffled::Tensors;

use super::batch::Item;
use super::infer::ready;
use super::{json, offload, opened, request_bytes};
use crate::error::Error;
use crate::pages::Origin;
use crate::runtime::UnruffledExt as _;
use crate::scope::{Entry, Scope};
use crate::streams::Wanted;
use crate::terms::Terms;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Told {
    Open {
        #[serde(flatten)]
        terms: Terms,
        in_flight: Option<usize>,
        credit: usize,
        channel: JavaScriptChannelId,
    },
    End {
        page: String,
        call: u64,
    },
    Taken {
        page: String,
        call: u64,
        count: usize,
    },
}

#[derive(Deserialize)]
struct Push {
    page: String,
    call: u64,
    items: Vec<Item>,
}

#[command]
pub(crate) async fn stream<R: Runtime>(
    webview: Webview<R>,
    command: CommandScope<Entry>,
    global: GlobalScope<Entry>,
    request: Request<'_>,
) -> Result<(), Error> {
    let app = webview.unruffled();
    let origin = |page, call| Origin { webview: webview.label().to_owned(), page, call };
    if !matches!(request.body(), InvokeBody::Json(serde_json::Value::Object(_))) {
        let (Push { page, call, items }, mut reader) = opened(&webview, &request)?;
        let read =
            move || items.into_iter().map(|item| reader.tensors(item.inputs)).collect::<Result<Vec<_>, _>>();
        let items: Vec<Tensors> = offload(request_bytes(&request), read).await?;
        return app.streams.push(&origin(page, call), items).await;
    }
    match json(&request)? {
        Told::Open { terms, in_flight, credit, channel } => {
            Scope { command: &command, global: &global }.check(&terms.model)?;
            if terms.session.is_some() || terms.has_key() {
                let message = "the items of a stream follow each other: leave `session` and `supersede` out";
                return Err(Error::invalid(message));
            }
            let call = app.pages.begin(terms.origin(webview.label()))?;
            let handle = call.run(ready(app, &terms)).await?;
            let channel = channel.channel_on(webview.clone());
            app.streams.open(call, handle, Wanted { terms, in_flight, credit }, channel);
        }
        Told::End { page, call } => app.streams.end(&origin(page, call)),
        Told::Taken { page, call, count } => app.streams.taken(&origin(page, call), count),
    }
    Ok(())
}
