//! What an operator sees and steers.
//!
//! `logs` sets up the log lines; called by `cli` before anything else runs.
//! [`router`] answers `/healthz`, `/readyz` and `/metrics` on the internal
//! listener, without a key: probes and scrapers have none, and nothing secret
//! is in the answers. The composition root merges it with the publish API's
//! router, and [`listen`] serves both. [`Health`] is what the composition root
//! and the drain tell; [`metrics::registry`] is what every room's `metrics.rs`
//! registers with.
//!
//! Invariants: no global registry; `/healthz` depends on nothing but that the
//! process answers; a node that drains, whose adapter accepts no publishes or
//! that is behind with what is published is not ready.
//!
//! Failures: a registry that cannot be written is answered with 500 and told
//! in the log.

mod health;
mod listener;
pub mod logs;
pub mod metrics;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Registry;

pub use health::{Health, NotReady};
pub use listener::{GRACE, Place, listen};

#[derive(Clone)]
pub(crate) struct Ops {
    registry: Registry,
    health: Health,
}

/// `/healthz`, `/readyz` and `/metrics`; without a fallback, so that it can be
/// merged with a router that has one.
pub fn router(registry: Registry, health: Health) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Ops { registry, health })
}

/// Whether the process can answer.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    responses((status = 200, description = "It can", body = Object, example = json!({"status": "ok"}))),
)]
pub(crate) async fn healthz() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#.into())
}

/// Whether this node should be given work.
///
/// Reasons against it: `starting`, `draining`, `adapter_unavailable`, `behind`.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "It should", body = Object, example = json!({"ready": true})),
        (
            status = 503,
            description = "It should not",
            body = Object,
            example = json!({"ready": false, "reasons": ["draining"]}),
        ),
    ),
)]
pub(crate) async fn readyz(State(ops): State<Ops>) -> Response {
    let reasons: Vec<&str> = ops.health.reasons().into_iter().map(NotReady::label).collect();
    if reasons.is_empty() {
        return json(StatusCode::OK, r#"{"ready":true}"#.into());
    }
    let reasons = reasons.join(r#"",""#);
    json(StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"ready":false,"reasons":["{reasons}"]}}"#))
}

/// All metrics in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "The series", body = String, content_type = "text/plain; version=0.0.4")),
)]
pub(crate) async fn metrics_text(State(ops): State<Ops>) -> Response {
    match metrics::text(&ops.registry) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_follow_the_health() {
        let health = Health::default();
        let router = router(metrics::registry().unwrap(), health.clone());
        let unready =
            |reasons: &str| (StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"ready":false,"reasons":[{reasons}]}}"#));
        assert_eq!(ask(&router, "/readyz").await, unready(r#""starting""#));
        health.started();
        assert_eq!(ask(&router, "/readyz").await, (StatusCode::OK, r#"{"ready":true}"#.into()));
        health.draining();
        health.ask_adapter(|| false);
        assert_eq!(ask(&router, "/readyz").await, unready(r#""draining","adapter_unavailable""#));
        assert_eq!(ask(&router, "/healthz").await, (StatusCode::OK, r#"{"status":"ok"}"#.into()));
    }

    #[tokio::test]
    async fn metrics_are_served_as_text() {
        let router = router(metrics::registry().unwrap(), Health::default());
        let (status, text) = ask(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("# TYPE carillon_build_info gauge"), "{text}");
    }
}
