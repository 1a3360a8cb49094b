//! Models that come and go at their clients' wish.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use serde_json::json;
use unruffled_engine::{Engine, Error, ErrorKind, PoolOptions};
use unruffled_model::{ModelError, Name, SharedModel, Tensors};
use unruffled_server::{Catalog, Control, ServerOptions};
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{Answer, Client, ONE_ROW, TestServer};

/// Two models that there could be: `m`, and one that is broken.
struct Shelf {
    engine: Engine,
    gate: Gate,
    /// A load goes on when it is told to.
    go_on: Arc<Mutex<Receiver<()>>>,
}

impl Catalog for Shelf {
    fn version(&self, _: &str) -> Option<Name> {
        None
    }

    fn index(&self) -> Result<Vec<(Name, Option<Name>)>, Error> {
        Ok(vec![("m".into(), None), ("broken".into(), None)])
    }

    fn load(&self, model: &str) -> Control {
        let (gate, go_on, broken) = (self.gate.clone(), Arc::clone(&self.go_on), model == "broken");
        let loader = move |_: &unruffled_model::LoadContext<'_>| {
            if broken {
                return Err(ModelError::invalid_input("is no model at all"));
            }
            let _ = go_on.lock().unwrap().recv();
            let model: SharedModel<Tensors, Tensors> = Arc::new(doubling().gated(&gate));
            Ok(model)
        };
        if !["m", "broken"].contains(&model) {
            return Box::pin(std::future::ready(Err(Error::new(
                ErrorKind::NotFound,
                "there is no such model",
            ))));
        }
        let loading = self.engine.load_with(model.to_owned(), PoolOptions::default(), loader);
        Box::pin(async move { loading?.await.map(drop) })
    }

    fn unload(&self, model: &str) -> Control {
        let (engine, model) = (self.engine.clone(), model.to_owned());
        Box::pin(async move { engine.unload(&model, std::time::Duration::ZERO).await.map(drop) })
    }
}

fn post(client: &mut Client, path: &str, body: &str) -> Answer {
    client.request("POST", &format!("/v2/repository/{path}"), "", body)
}

#[test]
fn models_come_and_go() {
    let engine = Engine::new();
    let (tell, go_on) = channel();
    let gate = Gate::opened();
    let shelf = Shelf { engine: engine.clone(), gate, go_on: Arc::new(Mutex::new(go_on)) };
    let server = TestServer::start(engine, ServerOptions::default().with_catalog(shelf));
    let mut client = server.client();
    assert_eq!(post(&mut client, "index", "").json(), json!([{"name": "broken"}, {"name": "m"}]));
    client.infer(ONE_ROW).assert_error(404, &["`m`"]);

    tell.send(()).unwrap();
    assert_eq!(post(&mut client, "models/m/load", "").status, 200);
    client.infer(ONE_ROW).assert_doubled();
    let ready = json!([{"name": "m", "state": "READY"}]);
    assert_eq!(post(&mut client, "index", r#"{"ready":true}"#).json(), ready);

    assert_eq!(
        post(&mut client, "models/m/unload", r#"{"parameters":{"unload_dependents":false}}"#).status,
        200
    );
    client.infer(ONE_ROW).assert_error(404, &["`m`"]);
    let gone = json!([{"name": "broken"}, {"name": "m", "state": "UNAVAILABLE", "reason": "unloaded"}]);
    assert_eq!(post(&mut client, "index", "{}").json(), gone);
    post(&mut client, "models/m/unload", "").assert_error(404, &["`m`"]);
    tell.send(()).unwrap();
    assert_eq!(post(&mut client, "models/m/load", "{}").status, 200);
    client.infer(ONE_ROW).assert_doubled();
}

#[test]
fn what_cannot_be_loaded_is_told_and_harms_nobody() {
    let engine = Engine::new();
    engine.wrap_model(doubling()).name("other").register().unwrap();
    let (_tell, go_on) = channel();
    let shelf = Shelf { engine: engine.clone(), gate: Gate::opened(), go_on: Arc::new(Mutex::new(go_on)) };
    let server = TestServer::start(engine, ServerOptions::default().with_catalog(shelf));
    let mut client = server.client();
    post(&mut client, "models/broken/load", "").assert_error(400, &["is no model at all"]);
    for name in ["none", "..", "%2e%2e", "..%2F..%2Fetc%2Fpasswd", "a%00b", "%2Fetc%2Fpasswd"] {
        let refused = post(&mut client, &format!("models/{name}/load"), "");
        assert_eq!(refused.status, 404, "{refused:?}");
    }
    let files = r#"{"parameters":{"file:1/model.onnx":"AAAA"}}"#;
    post(&mut client, "models/m/load", files).assert_error(501, &["`file:1/model.onnx`", "folder"]);
    post(&mut client, "models/m/load", r#"{"parameters":[]}"#).assert_error(400, &["expected a map"]);
    post(&mut client, "index", "[").assert_error(400, &["not JSON"]);
    assert_eq!(client.get("/v2/health/ready").status, 200);
}

#[test]
fn without_a_repository_nothing_is_controlled() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    post(&mut client, "models/m/load", "").assert_error(400, &["not loaded or unloaded over the network"]);
    post(&mut client, "models/m/unload", "").assert_error(400, &["not loaded or unloaded over the network"]);
    assert_eq!(post(&mut client, "index", "").json(), json!([{"name": "m", "state": "READY"}]));
    client.get("/v2/repository/index").assert_error(405, &["POST"]);
}
