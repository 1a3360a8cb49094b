//! `infer_batch`: many requests, each with its own outcome.

use serde::Deserialize;
use serde_json::{Value, json};
use tauri::ipc::{Request, Response};
use tauri::{Runtime, Webview, command};

use super::infer::ready;
use super::{Item, offload, opened, read};
use crate::answer::answer;
use crate::error::Error;
use crate::frame::Writer;
use crate::runtime::UnruffledExt as _;
use crate::scope::Scope;
use crate::terms::Terms;

#[derive(Deserialize)]
struct Asked {
    #[serde(flatten)]
    terms: Terms,
    items: Vec<Item>,
    in_flight: Option<usize>,
}

#[command]
pub(crate) async fn infer_batch<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    request: Request<'_>,
) -> Result<Response, Error> {
    let (Asked { terms, items, in_flight }, reader) = opened(&webview, &request)?;
    scope.check(&terms.model)?;
    terms.check_many()?;
    let call = webview.unruffled().pages.begin(terms.origin(webview.label()))?;
    let report = call.run(async {
        let items = read(&request, items, reader).await?;
        let app = webview.unruffled();
        let handle = ready(app, &terms).await?;
        let requests: Result<Vec<_>, _> = items
            .into_iter()
            .enumerate()
            .map(|(at, item)| {
                Ok::<_, Error>(
                    terms.on(handle.infer(item), webview.label(), terms.arrived)?.id(terms.id_of(at)),
                )
            })
            .collect();
        let mut group = app.engine.group(requests?);
        if let Some(in_flight) = in_flight {
            group = group.in_flight(in_flight);
        }
        Ok(group.run_all().await)
    });
    let (report, model) = (report.await?, terms.model);
    let outcomes = report.into_outcomes();
    let bytes = outcomes.iter().flatten().map(|answer| answer.output.byte_len()).sum();
    let frame = offload(bytes, move || {
        let mut writer = Writer::default();
        let told: Result<Vec<Value>, Error> = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(answered) => answer(&mut writer, &model, &answered),
                Err(error) => Ok(json!({ "error": Error::from(error).told() })),
            })
            .collect();
        Ok(writer.finish(&json!({ "items": told? })))
    });
    Ok(Response::new(frame.await?))
}
