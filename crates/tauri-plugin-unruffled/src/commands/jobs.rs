//! `submit`, `job`, `job_result` and `job_cancel`: work that goes on whatever becomes of the page.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tauri::ipc::{Channel, JavaScriptChannelId, Request, Response};
use tauri::{Runtime, Webview, command};
use unruffled::engine::job::{CancelAnswer, JobId};
use unruffled::{Job, JobStatus, Priority, Tensors};

use super::{offload, opened, request_bytes};
use crate::answer::part;
use crate::error::Error;
use crate::frame::{Head, Writer};
use crate::pages::Origin;
use crate::runtime::UnruffledExt as _;
use crate::scope::Scope;
use crate::terms::Terms;

#[derive(Deserialize)]
struct Asked {
    #[serde(flatten)]
    terms: Terms,
    inputs: Vec<Head>,
    key: Option<String>,
    keep_ms: Option<u64>,
    attempts: Option<u32>,
}

#[command]
pub(crate) async fn submit<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    request: Request<'_>,
) -> Result<Value, Error> {
    let (asked, mut reader): (Asked, _) = opened(&webview, &request)?;
    let Asked { terms, inputs, key, keep_ms, attempts } = asked;
    scope.check(&terms.model)?;
    let app = webview.unruffled();
    let call = app.pages.begin(terms.origin(webview.label()))?;
    call.run(async {
        let inputs = offload(request_bytes(&request), move || reader.tensors(inputs)).await?;
        // Nobody waits for a job at the screen, unless the page says so.
        let model = terms.model.as_str().into();
        app.shelf.want(&model).await;
        let mut job = app.jobs().await?.submit(model, inputs);
        job = job.priority(terms.priority().unwrap_or(Priority::Bulk));
        if let Some(timeout) = terms.timeout()? {
            job = job.timeout(timeout);
        }
        if let Some(key) = key {
            job = job.key(key);
        }
        if let Some(keep) = keep_ms {
            job = job.keep(Duration::from_millis(keep));
        }
        if let Some(attempts) = attempts {
            job = job.attempts(attempts);
        }
        Ok(status(&job.await?.status().await?))
    })
    .await
}

#[command]
pub(crate) async fn job<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    id: String,
    page: Option<String>,
    call: Option<u64>,
    channel: Option<JavaScriptChannelId>,
) -> Result<Value, Error> {
    let job = find(&webview, &scope, &id).await?;
    let (Some(page), Some(call), Some(channel)) = (page, call, channel) else {
        return Ok(status(&job.status().await?));
    };
    let call = webview.unruffled().pages.begin(Origin { webview: webview.label().to_owned(), page, call })?;
    let channel: Channel<Value> = channel.channel_on(webview.clone());
    call.run(async {
        let mut events = job.events().await?;
        while let Some(next) = events.next().await {
            if next.state.is_final() {
                return Ok(status(&next));
            }
            if let Err(error) = channel.send(status(&next)) {
                tracing::debug!(%error, "the page that watches a job has gone");
            }
        }
        Ok(status(&job.status().await?))
    })
    .await
}

#[command]
pub(crate) async fn job_result<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    page: String,
    call: u64,
    id: String,
) -> Result<Response, Error> {
    let job = find(&webview, &scope, &id).await?;
    let call = webview.unruffled().pages.begin(Origin { webview: webview.label().to_owned(), page, call })?;
    let (output, model) = call.run(async { Ok((job.wait().await?, job.status().await?.model)) }).await?;
    let frame = offload(output.byte_len(), move || {
        let mut writer = Writer::default();
        let told = part(&mut writer, &model, &output)?;
        Ok(writer.finish(&told))
    });
    Ok(Response::new(frame.await?))
}

#[command]
pub(crate) async fn job_cancel<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    id: String,
) -> Result<bool, Error> {
    let answer = find(&webview, &scope, &id).await?.cancel().await?;
    Ok(matches!(answer, CancelAnswer::Removed | CancelAnswer::Asked))
}

/// A job of a model that the window may use.
async fn find<R: Runtime>(webview: &Webview<R>, scope: &Scope, id: &str) -> Result<Job<Tensors>, Error> {
    let unknown = || {
        Error::not_found(format!("there is no job `{id}`; it was never submitted, or is not kept any more"))
    };
    let known: JobId = id.parse().map_err(|_| unknown())?;
    let job = webview.unruffled().jobs().await?.attach(known).await?;
    // Whose model is none of theirs hears what whoever guesses hears.
    if !scope.allows(&job.status().await?.model) {
        return Err(unknown());
    }
    Ok(job)
}

/// How a job is doing; moments in milliseconds since 1970.
fn status(status: &JobStatus) -> Value {
    let since_1970 = |at: SystemTime| {
        u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis())
            .unwrap_or(u64::MAX)
    };
    let mut told = json!({
        "id": status.id.to_string(),
        "model": &*status.model,
        "state": status.state.name(),
        "attempts": status.attempts,
        "submitted_ms": since_1970(status.submitted),
    });
    if let Some(key) = &status.key {
        told["key"] = (&**key).into();
    }
    if let Some(progress) = &status.progress {
        told["progress"] = json!({ "part": progress.part, "text": progress.text.as_deref() });
    }
    if let Some(failure) = &status.failure {
        told["error"] = json!({ "code": failure.kind.code(), "message": &*failure.message });
    }
    for (name, at) in [("started_ms", status.started), ("finished_ms", status.finished)] {
        if let Some(at) = at {
            told[name] = since_1970(at).into();
        }
    }
    told
}
