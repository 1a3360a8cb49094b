//! `session`: begins and ends what keeps a model's state from call to call.

use serde::Deserialize;
use serde_json::{Value, json};
use tauri::ipc::Request;
use tauri::{Runtime, Webview, command};

use crate::error::Error;
use crate::runtime::UnruffledExt as _;
use crate::scope::Scope;
use crate::sessions::Key;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Told {
    Begin { page: String, model: String },
    End { page: String, model: String, session: String },
}

#[command]
pub(crate) async fn session<R: Runtime>(
    webview: Webview<R>,
    scope: Scope,
    request: Request<'_>,
) -> Result<Value, Error> {
    let app = webview.unruffled();
    match super::json(&request)? {
        Told::Begin { page, model } => {
            scope.check(&model)?;
            let life = app.pages.life(webview.label(), &page)?;
            let handle = app.shelf.ready(&model, |_| ()).await?;
            let key = app.sessions.begin(&handle, webview.label(), &page)?;
            if life.is_cancelled() {
                // It went while the model was loaded.
                app.sessions.end(&key);
                return Err(Error::cancelled());
            }
            Ok(json!({ "session": key.session }))
        }
        Told::End { page, model, session } => {
            scope.check(&model)?;
            app.sessions.end(&Key { webview: webview.label().to_owned(), page, model, session });
            Ok(Value::Null)
        }
    }
}
