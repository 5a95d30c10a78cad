//! Spans that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::dispatcher;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{TARGET, TraceContext};

/// Something that takes time and is sampled; it ends with its last clone.
#[derive(Clone, Debug)]
pub struct Span(Arc<Open>);

#[derive(Debug)]
struct Open {
    span: tracing::Span,
    context: Arc<TraceContext>,
}

pub(super) fn publish() -> tracing::Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "publish",
        otel.kind = "server",
        otel.status_code = Empty,
        carillon.items = Empty,
        http.response.status_code = Empty,
    )
}

pub(super) fn event(namespace: &str, event: &str) -> tracing::Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "event",
        otel.kind = "server",
        otel.status_code = Empty,
        carillon.namespace = namespace,
        carillon.event = event,
        carillon.refused = Empty,
    )
}

pub(super) fn connect(namespace: &str) -> tracing::Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "connect",
        otel.kind = "server",
        otel.status_code = Empty,
        carillon.namespace = namespace,
        carillon.refused = Empty,
    )
}

pub(super) fn fan_out(namespace: &str, rooms: usize, workers: u32) -> tracing::Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "fan_out",
        otel.kind = "consumer",
        carillon.namespace = namespace,
        carillon.rooms = number(rooms),
        carillon.workers = i64::from(workers),
        carillon.deliveries = Empty,
    )
}

fn upstream(kind: &str, backend: &str) -> tracing::Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "upstream",
        otel.kind = "client",
        otel.status_code = Empty,
        carillon.type = kind,
        carillon.backend = backend,
        carillon.outcome = Empty,
    )
}

/// As receivers know numbers.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Span {
    pub(super) fn begin(span: tracing::Span, parent: Option<&TraceContext>) -> Self {
        if let Some(parent) = parent {
            // it would fail where the span has begun, or has no subscriber; this is its first moment, in its own
            let _ = span.set_parent(Context::new().with_remote_span_context(parent.span().clone()));
        }
        let context = TraceContext::of(span.context().span().span_context().clone());
        Span(Arc::new(Open { span, context: Arc::new(context) }))
    }

    /// What is below it takes this along.
    pub fn context(&self) -> Arc<TraceContext> {
        Arc::clone(&self.0.context)
    }

    /// A request to a backend, by what it is about.
    pub fn upstream(&self, kind: &str, backend: &str) -> Span {
        let open = || upstream(kind, backend);
        let below = self.0.span.with_subscriber(|(_, dispatch)| dispatcher::with_default(dispatch, open));
        Span::begin(below.unwrap_or_else(tracing::Span::none), Some(&self.0.context))
    }

    /// How many messages a request publishes.
    pub fn has_items(&self, items: usize) {
        self.0.span.record("carillon.items", number(items));
    }

    /// What a caller was answered.
    pub fn answered(&self, status: StatusCode) {
        self.0.span.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.fail();
        }
    }

    /// It was not carried out, for this of some known reasons.
    pub fn refused(&self, reason: &str) {
        self.0.span.record("carillon.refused", reason);
        self.fail();
    }

    /// What a request to a backend came to.
    pub fn came_to(&self, outcome: &str, succeeded: bool) {
        self.0.span.record("carillon.outcome", outcome);
        if !succeeded {
            self.fail();
        }
    }

    fn fail(&self) {
        self.0.span.record("otel.status_code", "error");
    }
}

/// What a node does with a message, shared by the workers that hand it out.
#[derive(Clone, Debug)]
pub struct FanOut(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    span: Span,
    deliveries: AtomicUsize,
}

impl FanOut {
    pub(super) fn new(span: Span) -> Self {
        FanOut(Arc::new(Counted { span, deliveries: AtomicUsize::new(0) }))
    }

    /// A worker has queued it for so many of its connections.
    pub fn delivered(&self, deliveries: usize) {
        self.0.deliveries.fetch_add(deliveries, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.span.0.span.record("carillon.deliveries", number(*self.deliveries.get_mut()));
    }
}
