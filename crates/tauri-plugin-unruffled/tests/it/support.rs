//! An app with a window, and a page in it that is played by the test.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tauri::ipc::{CallbackFn, InvokeBody, InvokeError, InvokeResponse, InvokeResponseBody};
use tauri::test::{INVOKE_KEY, MockRuntime, mock_builder, mock_context, noop_assets};
use tauri::utils::acl::ExecutionContext;
use tauri::webview::InvokeRequest;
use tauri::{App, WebviewWindow, WebviewWindowBuilder};
use tauri_plugin_unruffled::Builder;

/// How long a test waits before it fails: longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(20);

const COMMANDS: [&str; 13] = [
    "cancel",
    "infer",
    "infer_batch",
    "job",
    "job_cancel",
    "job_result",
    "load",
    "metrics",
    "models",
    "session",
    "stream",
    "submit",
    "unload",
];

type Channels = Arc<Mutex<HashMap<u32, Sender<InvokeResponseBody>>>>;

pub(crate) struct TestApp {
    _app: App<MockRuntime>,
    window: WebviewWindow<MockRuntime>,
    channels: Channels,
}

/// A frame as a page reads it: its JSON, and the `f32` elements of each tensor.
#[derive(Debug)]
pub(crate) struct Framed {
    pub(crate) said: Value,
    pub(crate) elements: Vec<Vec<f32>>,
}

/// An answer that is awaited.
pub(crate) struct Pending(Receiver<Result<InvokeResponseBody, Value>>);

impl TestApp {
    pub(crate) fn new(plugin: Builder) -> Self {
        let channels = Channels::default();
        let senders = Arc::clone(&channels);
        let mut context = mock_context(noop_assets());
        for command in COMMANDS {
            let authority = context.runtime_authority_mut();
            authority.__allow_command(format!("plugin:unruffled|{command}"), ExecutionContext::Local);
        }
        let app = mock_builder()
            .plugin(plugin.build())
            .channel_interceptor(move |_, id, _, body| {
                let known = senders.lock().unwrap_or_else(PoisonError::into_inner);
                known.get(&id.0).is_some_and(|sender| sender.send(body.clone()).is_ok())
            })
            .build(context)
            .unwrap();
        let window = WebviewWindowBuilder::new(&app, "main", tauri::WebviewUrl::default()).build().unwrap();
        Self { _app: app, window, channels }
    }

    pub(crate) fn window(&self) -> &WebviewWindow<MockRuntime> {
        &self.window
    }

    /// Calls a command, whose answer comes later.
    pub(crate) fn send(&self, command: &str, body: impl Into<InvokeBody>) -> Pending {
        let (tell, told) = channel();
        let request = InvokeRequest {
            cmd: format!("plugin:unruffled|{command}"),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body: body.into(),
            headers: tauri::http::HeaderMap::default(),
            invoke_key: INVOKE_KEY.to_owned(),
        };
        let responder = move |_: tauri::Webview<MockRuntime>, _, response, _, _| {
            let outcome = match response {
                InvokeResponse::Ok(body) => Ok(body),
                InvokeResponse::Err(InvokeError(error)) => Err(error),
            };
            // The test may have stopped waiting.
            let _ = tell.send(outcome);
        };
        self.window.as_ref().clone().on_message(request, Box::new(responder));
        Pending(told)
    }

    pub(crate) fn ask(
        &self,
        command: &str,
        body: impl Into<InvokeBody>,
    ) -> Result<InvokeResponseBody, Value> {
        self.send(command, body).outcome()
    }

    /// What a command with JSON both ways says.
    #[track_caller]
    pub(crate) fn json(&self, command: &str, arguments: Value) -> Value {
        self.ask(command, arguments)
            .unwrap_or_else(|error| panic!("{command}: {error}"))
            .deserialize()
            .unwrap()
    }

    /// What goes over the channel of this number from now on.
    pub(crate) fn listen(&self, channel_id: u32) -> Receiver<InvokeResponseBody> {
        let (tell, told) = channel();
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).insert(channel_id, tell);
        told
    }
}

impl Pending {
    #[track_caller]
    pub(crate) fn outcome(self) -> Result<InvokeResponseBody, Value> {
        self.0.recv_timeout(PATIENCE).expect("the command is answered")
    }

    #[track_caller]
    pub(crate) fn framed(self) -> Framed {
        read(&self.outcome().unwrap_or_else(|error| panic!("{error}")))
    }

    /// The code of the error that it ends with.
    #[track_caller]
    pub(crate) fn code(self) -> String {
        match self.outcome() {
            Ok(_) => panic!("it was answered"),
            Err(error) => error["code"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Whether no answer is there yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.0.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty))
    }
}

#[track_caller]
pub(crate) fn next(messages: &Receiver<InvokeResponseBody>) -> Framed {
    read(&messages.recv_timeout(PATIENCE).expect("a message comes"))
}

/// The frame of a request whose JSON says this besides, with the rows of `x` for each list of inputs.
pub(crate) fn frame(said: &Value, rows: &[&[f32]]) -> Vec<u8> {
    let mut said = said.clone();
    let heads: Vec<Value> = rows
        .iter()
        .map(|row| json!([{ "name": "x", "datatype": "FP32", "shape": [row.len() / 2, 2], "bytes": row.len() * 4 }]))
        .collect();
    match said.get("items").is_some() {
        true => said["items"] = heads.into_iter().map(|inputs| json!({ "inputs": inputs })).collect(),
        false => said["inputs"] = heads[0].clone(),
    }
    let mut json = said.to_string().into_bytes();
    json.resize((json.len() + 4).next_multiple_of(8) - 4, b' ');
    let mut frame = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    frame.append(&mut json);
    for row in rows {
        frame.resize(frame.len().next_multiple_of(8), 0);
        frame.extend(row.iter().flat_map(|element| element.to_le_bytes()));
    }
    frame
}

/// A request for one row.
pub(crate) fn request(call: u64, more: &Value) -> Vec<u8> {
    let mut said = json!({ "page": "p", "call": call, "model": "m" });
    for (key, value) in more.as_object().into_iter().flatten() {
        said[key] = value.clone();
    }
    frame(&said, &[&[1.0, 2.5]])
}

fn read(body: &InvokeResponseBody) -> Framed {
    let InvokeResponseBody::Raw(body) = body else { panic!("tensors come as bytes") };
    let length = usize::try_from(u32::from_le_bytes(*body.first_chunk().unwrap())).unwrap();
    assert_eq!((length + 4) % 8, 0, "tensors begin at a multiple of eight");
    let said: Value = serde_json::from_slice(&body[4..4 + length]).unwrap();
    let mut at = 4 + length;
    let mut elements = Vec::new();
    let lists = [&said["results"], &said["items"]].into_iter().filter_map(Value::as_array).flatten();
    for outputs in std::iter::once(&said).chain(lists).filter_map(|one| one["outputs"].as_array()) {
        for head in outputs {
            at = at.next_multiple_of(8);
            let end = at + usize::try_from(head["bytes"].as_u64().unwrap()).unwrap();
            let (chunks, _) = body[at..end].as_chunks::<4>();
            elements.push(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect());
            at = end;
        }
    }
    assert_eq!(at, body.len());
    Framed { said, elements }
}
