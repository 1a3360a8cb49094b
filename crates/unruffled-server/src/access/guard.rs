//! What is asked of a request before it reaches its end point.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::identity::{Identity, Nearness};
use super::meters::{Client, Meters, Place};
use super::{grpc, site};
use crate::held::Held;
use crate::keys::{ClientLimits, Keys};
use crate::options::ServerOptions;
use crate::refusal::Refusal;
use crate::{body, peer};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What stands before a key among the protocols of a WebSocket.
const KEY_PROTOCOL: &str = "unruffled-key.";

/// What anybody may ask at any time: whether the server lives and is ready.
const OPEN: [&str; 5] = [
    "/v2/health/live",
    "/v2/health/ready",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/grpc.health.v1.Health/Check",
];

/// What clients of OpenAI ask for: they are refused in their way.
const OPENAI: [&str; 2] = ["/v1/embeddings", "/v1/models"];

/// How long browsers may remember what CORS told them.
const CORS_AGE: Duration = Duration::from_secs(600);

/// What the checks need to know. Cheap to clone.
#[derive(Clone)]
struct Guard(Arc<Inner>);

struct Inner {
    keys: Option<Keys>,
    /// The names under which the server may be asked for, where that is checked.
    hosts: Option<Vec<String>>,
    origins: Vec<HeaderValue>,
    limits: ClientLimits,
    meters: Meters,
}

/// Puts the checks in front of a router; `bound` is where it listens, if that is known.
pub(crate) fn guarded(router: Router, options: &ServerOptions, bound: Option<SocketAddr>) -> Router {
    let is_local = bound.is_some_and(|bound| bound.ip().is_loopback());
    let guard = Guard(Arc::new(Inner {
        keys: options.keys.clone(),
        hosts: (is_local && options.keys.is_none()).then(|| options.hosts.clone()),
        origins: options.cors_origins.clone(),
        limits: options.client_limits,
        meters: Meters::default(),
    }));
    let router = router.layer(from_fn_with_state(guard, check));
    if options.cors_origins.is_empty() { router } else { router.layer(cors(&options.cors_origins)) }
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let origins = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().cloned()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER, HeaderName::from_static("server-timing")])
        .max_age(CORS_AGE)
}

/// The place of a request among those of its client, for what goes on after its answer; an extension.
#[derive(Clone)]
pub(crate) struct Kept {
    _place: Arc<Place>,
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let (mut head, body) = request.into_parts();
    match guard.admit(&mut head) {
        Ok(place) => {
            let place = place.map(|place| Kept { _place: Arc::new(place) });
            if let Some(place) = &place {
                head.extensions.insert(place.clone());
            }
            let answer = next.run(Request::from_parts(head, body)).await;
            match place {
                // A stream of answers is in flight until it ends.
                Some(place) => answer.map(|body| Body::new(Held::new(body, place))),
                None => answer,
            }
        }
        Err(refusal) if grpc::is_grpc(&head.headers) => grpc::refuse(&refusal),
        Err(refusal) if OPENAI.iter().any(|path| head.uri.path().starts_with(path)) => refusal.into_object(),
        Err(refusal) => body::refuse(refusal, &head.headers, body).await,
    }
}

impl Guard {
    /// Lets a request in, with the identity of who asks as an extension, or says why not.
    fn admit(&self, head: &mut Parts) -> Result<Option<Place>, Refusal> {
        let Inner { keys, hosts, origins, limits, meters } = &*self.0;
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let (identity, client, limits) = match keys {
            Some(keys) => {
                let presented = presented(&mut head.headers).ok_or_else(|| {
                    let message =
                        "this server asks for a key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`";
                    Refusal::unauthenticated(message)
                })?;
                let grant = keys.find(presented.as_bytes()).ok_or_else(|| {
                    Refusal::unauthenticated("the key is none of this server's; it may have been withdrawn")
                })?;
                let client = Client::Key(Arc::clone(grant.name()));
                let limits = grant.limits.or(*limits);
                (Identity::bearer(grant), Some(client), limits)
            }
            None => {
                if let Some(hosts) = hosts {
                    site::check_host(head, hosts)?;
                }
                site::check_origin(head, origins)?;
                let is_here = peer.is_some_and(|peer| peer.to_canonical().is_loopback())
                    && site::names_loopback(head)
                    && !site::is_forwarded(&head.headers);
                let nearness = if is_here { Nearness::Here } else { Nearness::Elsewhere };
                let client = peer.map(|peer| Client::Peer(peer::network(peer)));
                (Identity::anybody(nearness), client, *limits)
            }
        };
        head.extensions.insert(identity);
        match client {
            Some(client) if !limits.is_none() => meters.enter(client, limits, Instant::now()).map(Some),
            _ => Ok(None),
        }
    }
}

/// The key that a request brings, taken out of it, so that nothing behind can tell it to anybody. A WebSocket of a browser has
/// no headers of its own, and brings it among its protocols.
fn presented(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let among = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(among_protocols);
    if let Some((_, rest)) = &among {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, rest.clone());
    }
    let authorization = headers.remove(header::AUTHORIZATION);
    let api_key = headers.remove(API_KEY);
    let bearer = authorization.as_ref().and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| HeaderValue::from_bytes(key.trim_ascii()).ok())?
    });
    bearer.or(api_key).or(among.map(|(key, _)| key))
}

/// The key among the protocols of a WebSocket, and the others.
fn among_protocols(value: &HeaderValue) -> Option<(HeaderValue, HeaderValue)> {
    let mut protocols: Vec<&str> = value.to_str().ok()?.split(',').map(str::trim).collect();
    let at = protocols.iter().position(|protocol| protocol.starts_with(KEY_PROTOCOL))?;
    let key = protocols.remove(at).strip_prefix(KEY_PROTOCOL)?;
    Some((HeaderValue::from_str(key).ok()?, HeaderValue::from_str(&protocols.join(", ")).ok()?))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

    use super::presented;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: Option<&str>) {
        let mut map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(presented(&mut map).as_ref().map(HeaderValue::as_bytes), expected.map(str::as_bytes));
        assert!(map.is_empty(), "nothing of it is left: {map:?}");
    }

    #[test]
    fn keys_in_headers() {
        check(&[("authorization", "Bearer a")], Some("a"));
        check(&[("authorization", "bearer  a ")], Some("a"));
        check(&[("x-api-key", "b")], Some("b"));
        check(&[("authorization", "Bearer a"), ("x-api-key", "b")], Some("a"));
        check(&[("authorization", "Basic a"), ("x-api-key", "b")], Some("b"));
        check(&[("authorization", "Basic a")], None);
        let mut map = HeaderMap::new();
        map.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("unruffled, unruffled-key.c"));
        assert_eq!(presented(&mut map).unwrap(), "c");
        assert_eq!(map[header::SEC_WEBSOCKET_PROTOCOL], "unruffled");
        check(&[("authorization", "Bearer")], None);
        check(&[], None);
    }
}
