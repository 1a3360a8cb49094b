//! `stream`: opened, fed, ended and acknowledged by the same command.

use serde::Deserialize;
use tauri::ipc::{InvokeBody, JavaScriptChannelId, Request};
use tauri::{Runtime, Webview, command};

use super::infer::ready;
use super::{Item, json, opened, read};
use crate::error::Error;
use crate::pages::Origin;
use crate::runtime::UnruffledExt as _;
use crate::scope::Scope;
use crate::streams::Bounds;
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
    scope: Scope,
    request: Request<'_>,
) -> Result<(), Error> {
    let app = webview.unruffled();
    let origin = |page, call| Origin { webview: webview.label().to_owned(), page, call };
    if !matches!(request.body(), InvokeBody::Json(serde_json::Value::Object(_))) {
        let (Push { page, call, items }, reader) = opened(&webview, &request)?;
        let items = read(&request, items, reader).await?;
        return app.streams.push(&origin(page, call), items).await;
    }
    match json(&request)? {
        Told::Open { terms, in_flight, credit, channel } => {
            scope.check(&terms.model)?;
            terms.check_many()?;
            let call = app.pages.begin(terms.origin(webview.label()))?;
            let handle = call.run(ready(app, &terms)).await?;
            let channel = channel.channel_on(webview.clone());
            app.streams.open(call, handle, terms, Bounds { in_flight, credit }, channel);
        }
        Told::End { page, call } => app.streams.end(&origin(page, call)),
        Told::Taken { page, call, count } => app.streams.taken(&origin(page, call), count),
    }
    Ok(())
}
