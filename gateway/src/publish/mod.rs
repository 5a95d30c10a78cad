//! Backend -> clients: the HTTP API of the internal listener.
//!
//! [`router`] serves `/v1/publish`, `/v1/publish/batch`, `/v1/join`,
//! `/v1/leave`, `/v1/disconnect`, `/v1/revoke`, `/v1/sockets`, `/v1/count`,
//! `/v1/presence` and `/openapi.json`; the composition root merges it with the router of `ops`.
//! It calls the adapter and nothing else.
//!
//! A request's way: `handle` (metrics) -> `keys` (who calls, may they) ->
//! `request` (bytes to borrowed fields) -> `draft` (every value checked) ->
//! the adapter -> `answer` (bytes).
//!
//! Invariants:
//! - Every endpoint is in `Endpoint::ROUTED`, from which the router is made
//!   and with which the OpenAPI document is compared.
//! - Nothing reaches the adapter before all of a publish has been checked; a
//!   batch's good items go to it in their order, in one call.
//! - A publish is answered with success only after the adapter accepted it,
//!   and with 503 only if nothing was sent.
//! - Whatever the refusal, the answer is `{"error":{"code","message"}}`, and
//!   the message names the field.
//!
//! Failures: an unavailable adapter is 503, an unknown outcome 504; who wants
//! to repeat a publish safely sends an idempotency key. A caller that goes away
//! ends its request; what the adapter had accepted by then stays accepted.
//!
//! Limits: `max_body` bytes per body, 1000 items per batch, 100 names per
//! target, 100 per `except`, 1000 sockets per answer of `/v1/presence`, 100 levels per argument, 60 s for acknowledgements.

mod answer;
mod arguments;
pub(crate) mod draft;
mod endpoint;
pub(crate) mod error;
mod events;
mod keys;
mod metrics;
mod openapi;
mod presence;
pub(crate) mod request;
mod revoke;
mod sockets;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Response, request::Parts};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::adapter::Adapter;
use crate::message::Namespaces;
use crate::trace::{Span, Tracer};

use endpoint::Endpoint;
use error::RequestError;
pub(crate) use keys::Caller;

pub(crate) use answer::{ok, refusal};
pub(crate) use events::{Asked, asked};
pub use keys::ApiKeys;
pub use metrics::PublishMetrics;
pub(crate) use sockets::room;

/// What the API works with.
pub struct PublishState {
    /// Where everything that was accepted goes.
    pub adapter: Arc<dyn Adapter>,
    /// The configured namespaces.
    pub namespaces: Namespaces,
    /// Who may call.
    pub keys: ApiKeys,
    /// Largest request body, in bytes.
    pub max_body: usize,
    /// What is counted.
    pub metrics: PublishMetrics,
    /// What makes a span of each request to publish.
    pub tracer: Tracer,
}

struct Api {
    state: PublishState,
    /// The OpenAPI document.
    document: Bytes,
}

/// The API's router. It has a fallback, so that unknown paths are answered in
/// the API's form; what it is merged with must have none.
pub fn router(state: PublishState) -> Router {
    let api = Arc::new(Api { state, document: openapi::document() });
    let mut router = Router::new();
    for endpoint in Endpoint::ROUTED {
        let handler = move |State(api): State<Arc<Api>>, request| handle(endpoint, api, request);
        let route = if endpoint.method() == Method::POST { post(handler) } else { get(handler) };
        router = router.route(endpoint.path(), route);
    }
    router
        .method_not_allowed_fallback(|State(api): State<Arc<Api>>, request: Request| async move {
            refuse(&api, Endpoint::of_path(request.uri().path()), &RequestError::MethodNotAllowed)
        })
        .fallback(|State(api): State<Arc<Api>>| async move { refuse(&api, Endpoint::Unknown, &RequestError::NotFound) })
        .with_state(api)
}

async fn handle(endpoint: Endpoint, api: Arc<Api>, request: Request) -> Response<Body> {
    let start = Instant::now();
    let span = endpoint.publishes().then(|| api.state.tracer.publish(request.headers())).flatten();
    let response = match call(endpoint, &api, request, span.as_ref()).await {
        Ok(json) => answer::ok(json),
        Err(error) => {
            // the caller is told what of its request was wrong, which may be private
            tracing::debug!(endpoint = endpoint.label(), code = answer::code(&error), "request refused");
            answer::refusal(&error)
        }
    };
    api.state.metrics.request(endpoint, response.status(), start.elapsed());
    if let Some(span) = span {
        span.answered(response.status());
    }
    response
}

fn refuse(api: &Api, endpoint: Endpoint, error: &RequestError) -> Response<Body> {
    let response = answer::refusal(error);
    api.state.metrics.request(endpoint, response.status(), std::time::Duration::ZERO);
    response
}

/// The answer's JSON.
async fn call(endpoint: Endpoint, api: &Api, request: Request, span: Option<&Span>) -> Result<Bytes, RequestError> {
    let state = &api.state;
    let (head, body) = request.into_parts();
    let caller = match endpoint.scope() {
        Some(scope) => state.keys.authorize(&head.headers, scope)?,
        None => Caller { name: "" },
    };
    let body =
        if endpoint.method() == Method::POST { read(&head.headers, body, state.max_body).await? } else { Bytes::new() };
    let json = text(&body)?;
    let Parts { headers, uri, .. } = &head;
    let answer = match endpoint {
        Endpoint::Publish => events::publish(state, caller, headers, json, span).await?,
        Endpoint::Batch => events::publish_batch(state, caller, headers, json, span).await?,
        Endpoint::Join => sockets::join(state, json).await?,
        Endpoint::Leave => sockets::leave(state, json).await?,
        Endpoint::Disconnect => sockets::disconnect(state, json).await?,
        Endpoint::Revoke => revoke::revoke(state, json).await?,
        Endpoint::Sockets => sockets::list(state, uri).await?,
        Endpoint::Count => sockets::count(state, uri).await?,
        Endpoint::Presence => presence::presence(state, uri).await?,
        Endpoint::OpenApi => return Ok(api.document.clone()),
        Endpoint::Unknown => return Err(RequestError::NotFound),
    };
    Ok(answer.into())
}

/// The whole body, if it is JSON of at most `limit` bytes.
///
/// The content type is insisted on: a web page cannot send it to another
/// origin without asking first, so none can publish through a developer's
/// loopback listener.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, RequestError> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = header(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err(RequestError::ContentType);
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(RequestError::ContentEncoding);
    }
    if header(CONTENT_LENGTH).and_then(|value| value.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(RequestError::TooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(RequestError::TooLarge { limit }),
        Err(_) => Err(RequestError::Incomplete),
    }
}

pub(crate) fn text(body: &Bytes) -> Result<&str, RequestError> {
    std::str::from_utf8(body).map_err(|error| RequestError::NotJson(error.to_string()))
}
