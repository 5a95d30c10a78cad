//! Bodies of the publish API, through its router to the memory adapter: never a panic, and an answer that fits.
//! The first byte chooses the endpoint.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use carillon_gateway::adapter::memory::{LogLimits, MemoryAdapter, MemoryLimits};
use carillon_gateway::message::Namespaces;
use carillon_gateway::publish::{ApiKeys, PublishMetrics, PublishState, router};
use carillon_gateway::rooms::RoomMetrics;
use libfuzzer_sys::fuzz_target;
use prometheus::Registry;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

static API: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let limits = MemoryLimits {
        log: LogLimits { retention: Duration::from_secs(1), max_entries_per_room: 10, max_bytes: 1 << 20 },
        session_ttl: Duration::from_secs(1),
        max_sessions: 10,
        idempotency: Duration::from_secs(1),
        max_idempotency_keys: 10,
    };
    let namespaces = Namespaces::new([("/", true), ("/quiet", false)]);
    let metrics = RoomMetrics::register(&Registry::new()).expect("nothing else is registered");
    let node = carillon_gateway::rooms::Router::new(Vec::new(), namespaces.len(), Arc::default(), metrics);
    let state = PublishState {
        adapter: Arc::new(MemoryAdapter::new(limits, Arc::new(node), Arc::new(|| 0))),
        namespaces,
        keys: ApiKeys::new(&[]),
        max_body: 100_000,
        metrics: PublishMetrics::new(&Registry::new()).expect("nothing else is registered"),
        tracer: Default::default(),
    };
    (runtime.expect("a runtime"), router(state))
});

fuzz_target!(|data: &[u8]| {
    let Some((&first, body)) = data.split_first() else { return };
    let path = match first % 5 {
        0 => "/v1/publish",
        1 => "/v1/publish/batch",
        2 => "/v1/join",
        3 => "/v1/leave",
        _ => "/v1/disconnect",
    };
    let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.to_vec()));
    let (runtime, api) = &*API;
    let answer = runtime.block_on(api.clone().oneshot(request.expect("a request"))).expect("it cannot fail");
    assert!(matches!(answer.status().as_u16(), 200 | 400 | 404 | 409 | 503), "{}", answer.status());
});
