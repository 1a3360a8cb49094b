//! [`EndPoint`]: a path, who answers there, and what is told of it; routes and the OpenAPI document are made of the same list.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, on};
use serde_json::{Value, json};

use crate::service::Service;

/// What stands before every end point can say this: no key, too little scope, a foreign name, too much.
const OF_THE_DOOR: [u16; 4] = [401, 403, 421, 429];

/// What can be wrong with a body.
const OF_A_BODY: [u16; 5] = [400, 408, 413, 415, 503];

/// What can be wrong with a model, or go wrong in it.
const OF_A_MODEL: [u16; 7] = [400, 404, 499, 500, 501, 503, 504];

/// A path and a method, who answers there, and what is told of it.
pub(crate) struct EndPoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Whether the model of the path may be followed by a version.
    pub(crate) is_versioned: bool,
    pub(crate) handler: MethodRouter<Service>,
    /// Under which heading it is listed.
    pub(crate) group: &'static str,
    /// What it is, in a sentence.
    pub(crate) summary: &'static str,
    /// Parameters behind the path, each with its schema and what it says.
    pub(crate) query: Vec<(&'static str, Value, &'static str)>,
    /// Headers that count here.
    pub(crate) headers: Vec<(&'static str, Value, &'static str)>,
    /// What is taken: a media type, and the schema of it.
    pub(crate) takes: Vec<(&'static str, Value)>,
    /// Whether there must be a body.
    pub(crate) needs_body: bool,
    /// What is answered when all goes well: a status, what it says, a media type, and the schema.
    pub(crate) gives: Vec<Given>,
    /// End points that take a member of the answer as a parameter: the member, the parameter, and their ids.
    pub(crate) links: Option<(&'static str, &'static str, &'static [&'static str])>,
    /// The statuses of refusals.
    pub(crate) refuses: Vec<u16>,
    /// Whether refusals are those of OpenAI.
    pub(crate) is_openai: bool,
}

/// What is answered when all goes well: a status, what it says, and media types with their schemas.
pub(crate) type Given = (u16, &'static str, Vec<(&'static str, Value)>);

/// JSON.
pub(crate) const JSON: &str = "application/json";

/// The schema of this name.
pub(crate) fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Server-sent events, and the schema of their data.
pub(crate) fn events(name: &str) -> (&'static str, Value) {
    let data = json!({ "type": "string", "contentMediaType": JSON, "contentSchema": schema(name) });
    ("text/event-stream", json!({ "type": "object", "properties": { "data": data } }))
}

/// An end point that is asked.
pub(crate) fn get<H: Handler<T, Service>, T: 'static>(path: &'static str, handler: H) -> EndPoint {
    EndPoint::new(Method::GET, path, handler)
}

/// An end point that is told something.
pub(crate) fn post<H: Handler<T, Service>, T: 'static>(path: &'static str, handler: H) -> EndPoint {
    EndPoint::new(Method::POST, path, handler)
}

/// An end point that ends something.
pub(crate) fn delete<H: Handler<T, Service>, T: 'static>(path: &'static str, handler: H) -> EndPoint {
    EndPoint::new(Method::DELETE, path, handler)
}

impl EndPoint {
    fn new<H: Handler<T, Service>, T: 'static>(method: Method, path: &'static str, handler: H) -> Self {
        let filter = method.clone().try_into().expect("the methods above have filters");
        Self {
            method,
            path,
            is_versioned: false,
            handler: on(filter, handler),
            group: "",
            summary: "",
            query: Vec::new(),
            headers: Vec::new(),
            takes: Vec::new(),
            needs_body: false,
            gives: Vec::new(),
            links: None,
            refuses: OF_THE_DOOR.to_vec(),
            is_openai: false,
        }
    }

    /// What it is, in a sentence, under a heading.
    pub(crate) fn says(self, group: &'static str, summary: &'static str) -> Self {
        Self { group, summary, ..self }
    }

    /// The model may be followed by a version.
    pub(crate) fn versioned(self) -> Self {
        Self { is_versioned: true, ..self }
    }

    /// Asks a model: what goes wrong there is told, and how long the client waits may be said.
    pub(crate) fn asks_a_model(self) -> Self {
        let seconds = json!({ "type": "number", "minimum": 0 });
        self.refuses(&OF_A_MODEL).header(
            "X-Request-Timeout",
            seconds,
            "How long the client waits, in seconds; 0 is for ever.",
        )
    }

    /// Takes JSON of this schema.
    pub(crate) fn takes(self, name: &str) -> Self {
        let body = schema(name);
        Self { needs_body: true, ..self.takes_as(JSON, body) }
    }

    /// Takes JSON of this schema, or nothing.
    pub(crate) fn may_take(self, name: &str) -> Self {
        let body = schema(name);
        self.takes_as(JSON, body)
    }

    /// Takes this media type.
    pub(crate) fn takes_as(mut self, kind: &'static str, schema: Value) -> Self {
        self.takes.push((kind, schema));
        self.refuses(&OF_A_BODY)
    }

    /// Gives JSON of this schema.
    pub(crate) fn gives(self, says: &'static str, name: &str) -> Self {
        let body = schema(name);
        self.gives_as(200, says, &[(JSON, body)])
    }

    /// Gives any of these media types.
    pub(crate) fn gives_as(
        mut self,
        status: u16,
        says: &'static str,
        kinds: &[(&'static str, Value)],
    ) -> Self {
        self.gives.push((status, says, kinds.to_vec()));
        self
    }

    /// What is given names what these others are asked for: a member of the answer is their parameter.
    pub(crate) fn leads_to(
        self,
        member: &'static str,
        parameter: &'static str,
        ids: &'static [&'static str],
    ) -> Self {
        Self { links: Some((member, parameter, ids)), ..self }
    }

    /// Refuses with these statuses, too.
    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refuses.extend(statuses);
        self.refuses.sort_unstable();
        self.refuses.dedup();
        self
    }

    /// Is asked with this parameter behind the path.
    pub(crate) fn query(mut self, name: &'static str, schema: Value, says: &'static str) -> Self {
        self.query.push((name, schema, says));
        self.refuses(&[400])
    }

    /// Reads this header.
    pub(crate) fn header(mut self, name: &'static str, schema: Value, says: &'static str) -> Self {
        self.headers.push((name, schema, says));
        self.refuses(&[400])
    }

    /// Refuses as OpenAI does.
    pub(crate) fn of_openai(self) -> Self {
        Self { is_openai: true, ..self }
    }

    /// The paths that lead here.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = vec![self.path.to_owned()];
        if self.is_versioned {
            let rest = self.path.strip_prefix(MODEL).expect("only models have versions");
            paths.push(format!("{MODEL}/versions/{{version}}{rest}"));
        }
        paths
    }
}

/// Where the end points of a model begin.
const MODEL: &str = "/v2/models/{model}";
