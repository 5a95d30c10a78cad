//! The admin page: what goes on in the deployment, on the internal listener.
//!
//! `/admin/` is one file without a build step; it asks the API below
//! `/admin/v1/`, and for publishing and disconnecting the publish API. Every
//! answer is gathered from all nodes at the time ([`Adapter::inspect`]), so
//! that the page is the same on each; where the others cannot be asked, it
//! shows this node.
//!
//! Invariants:
//! - The page is for everybody; each request to the API needs a key with the
//!   scope `admin`, once there are keys.
//! - Nothing here changes anything: what a socket gets, its order and its
//!   recovery are the same whether somebody looks or not.
//! - The page puts text into the document as text, and its policy allows no
//!   script but its own.
//!
//! Limits: 2 s for the nodes to answer; 8 tails of a node, with 200 events a
//! second and 4 KiB of each event at most; 200 rooms; 40 sockets of a node.

mod ask;
mod explain;
mod overview;
mod page;
mod status;
mod tail;
mod top;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::adapter::{Adapter, Fleet};
use crate::config::Scope;
use crate::message::Namespaces;
use crate::publish::error::RequestError;
use crate::publish::{self, ApiKeys, Caller};
use crate::rooms;

pub use status::Source;

/// What the admin page works with.
pub struct AdminState {
    pub adapter: Arc<dyn Adapter>,
    pub fleet: Arc<dyn Fleet>,
    /// This node's part of all rooms.
    pub rooms: Arc<rooms::Router>,
    pub namespaces: Namespaces,
    /// Who may call.
    pub keys: ApiKeys,
    /// Largest request body, in bytes.
    pub max_body: usize,
    /// When tails end.
    pub stop: CancellationToken,
}

/// `/admin/` and what is below it; without a fallback, so that it can be
/// merged with a router that has one.
pub fn router(state: AdminState) -> Router {
    let (state, page) = (Arc::new(state), page::Page::new());
    Router::new()
        .route("/admin", get(async || moved()))
        .route("/admin/", get(async move || page.answer()))
        .route("/admin/v1/overview", get(overview))
        .route("/admin/v1/rooms", get(top_rooms))
        .route("/admin/v1/explain", post(explain))
        .route("/admin/v1/tail", get(live_tail))
        .method_not_allowed_fallback(async || publish::refusal(&RequestError::MethodNotAllowed))
        .with_state(state)
}

fn moved() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/admin/"));
    response
}

async fn overview(State(state): State<Arc<AdminState>>, headers: HeaderMap) -> Response<Body> {
    let answered = async {
        allow(&state, &headers)?;
        json(&overview::overview(&state, &headers).await)
    };
    answer(answered.await)
}

async fn top_rooms(State(state): State<Arc<AdminState>>, headers: HeaderMap, uri: Uri) -> Response<Body> {
    let answered = async {
        allow(&state, &headers)?;
        json(&top::rooms(&state, query(&uri)?).await?)
    };
    answer(answered.await)
}

async fn explain(State(state): State<Arc<AdminState>>, request: Request) -> Response<Body> {
    let answered = async {
        let (head, body) = request.into_parts();
        let caller = allow(&state, &head.headers)?;
        let body = publish::read(&head.headers, body, state.max_body).await?;
        let asked = publish::asked(&state.namespaces, caller, &head.headers, publish::text(&body)?)?;
        json(&explain::explain(&state, asked).await)
    };
    answer(answered.await)
}

async fn live_tail(State(state): State<Arc<AdminState>>, headers: HeaderMap, uri: Uri) -> Response<Body> {
    let answered = async {
        let caller = allow(&state, &headers)?;
        let opened = tail::open(&state, query(&uri)?).await?;
        // it shows what people are sent
        tracing::info!(key = caller.name, "a live tail was opened");
        Ok(opened)
    };
    answer(answered.await)
}

fn allow<'a>(state: &'a AdminState, headers: &HeaderMap) -> Result<Caller<'a>, RequestError> {
    state.keys.authorize(headers, Scope::Admin)
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, RequestError> {
    let Query(query) = Query::try_from_uri(uri).map_err(|rejection| RequestError::Query(rejection.body_text()))?;
    Ok(query)
}

fn json(value: &impl Serialize) -> Result<Response<Body>, RequestError> {
    Ok(publish::ok(serde_json::to_vec(value).expect("answers are plain JSON")))
}

fn answer(answered: Result<Response<Body>, RequestError>) -> Response<Body> {
    answered.unwrap_or_else(|error| publish::refusal(&error))
}
