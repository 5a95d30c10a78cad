//! What the publish API counts.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use crate::adapter::{PublishError, Published};

use super::endpoint::Endpoint;
use super::error::RequestError;

/// How one publish ended; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Logged,
    Unlogged,
    Duplicate,
    Acknowledged,
    Invalid,
    UnknownNamespace,
    Conflict,
    Unavailable,
    Unknown,
}

impl Outcome {
    const ALL: [Outcome; 9] = [
        Outcome::Logged,
        Outcome::Unlogged,
        Outcome::Duplicate,
        Outcome::Acknowledged,
        Outcome::Invalid,
        Outcome::UnknownNamespace,
        Outcome::Conflict,
        Outcome::Unavailable,
        Outcome::Unknown,
    ];

    fn label(self) -> &'static str {
        match self {
            Outcome::Logged => "logged",
            Outcome::Unlogged => "unlogged",
            Outcome::Duplicate => "duplicate",
            Outcome::Acknowledged => "acknowledged",
            Outcome::Invalid => "invalid",
            Outcome::UnknownNamespace => "unknown_namespace",
            Outcome::Conflict => "conflict",
            Outcome::Unavailable => "unavailable",
            Outcome::Unknown => "outcome_unknown",
        }
    }
}

/// Statuses that the API answers with; one that is missing counts as `other`.
pub(super) const CODES: [StatusCode; 11] = [
    StatusCode::OK,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// Counters of the publish API, resolved once.
#[derive(Debug)]
pub struct PublishMetrics {
    publishes: [IntCounter; Outcome::ALL.len()],
    batch_items: Histogram,
    requests_by: IntCounterVec,
    /// By endpoint and status, resolved when first needed: most pairs never
    /// happen, and a series each would be noise.
    requests: [[OnceLock<IntCounter>; CODES.len() + 1]; Endpoint::COUNT],
    durations: [Histogram; Endpoint::COUNT],
}

impl PublishMetrics {
    /// Registers the series. Fails if `registry` has them already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let publishes = IntCounterVec::new(
            Opts::new("carillon_publishes_total", "Publishes by how they ended; each item of a batch is one"),
            &["result"],
        )?;
        let batch_items = Histogram::with_opts(
            HistogramOpts::new("carillon_publish_batch_items", "Items per batch request")
                .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
        )?;
        let requests_by = IntCounterVec::new(
            Opts::new("carillon_http_requests_total", "Requests to the internal API by endpoint and status"),
            &["endpoint", "code"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "carillon_http_request_duration_seconds",
                "Time from a request's head to its answer, in seconds",
            )
            .buckets(vec![0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0]),
            &["endpoint"],
        )?;
        registry.register(Box::new(publishes.clone()))?;
        registry.register(Box::new(batch_items.clone()))?;
        registry.register(Box::new(requests_by.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        let endpoints: [Endpoint; Endpoint::COUNT] = std::array::from_fn(endpoint_at);
        Ok(PublishMetrics {
            publishes: Outcome::ALL.map(|outcome| publishes.with_label_values(&[outcome.label()])),
            batch_items,
            requests_by,
            requests: std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())),
            durations: endpoints.map(|endpoint| durations.with_label_values(&[endpoint.label()])),
        })
    }

    pub(super) fn published(&self, published: &Published) {
        self.count(match published {
            Published { duplicate: true, .. } => Outcome::Duplicate,
            Published { offset: Some(_), .. } => Outcome::Logged,
            Published { offset: None, .. } => Outcome::Unlogged,
        });
    }

    pub(super) fn acknowledged(&self) {
        self.count(Outcome::Acknowledged);
    }

    pub(super) fn refused(&self, error: &RequestError) {
        self.count(match error {
            RequestError::UnknownNamespace(_) => Outcome::UnknownNamespace,
            RequestError::Publish(PublishError::IdempotencyConflict) => Outcome::Conflict,
            RequestError::Publish(PublishError::Unavailable) | RequestError::Unavailable(_) => Outcome::Unavailable,
            RequestError::Publish(PublishError::OutcomeUnknown) => Outcome::Unknown,
            RequestError::NotJson(_)
            | RequestError::Shape(_)
            | RequestError::Field { .. }
            | RequestError::Header { .. }
            | RequestError::Query(_)
            | RequestError::Incomplete
            | RequestError::TooManyTails
            | RequestError::NoRecovery(_)
            | RequestError::NoKey
            | RequestError::BadKey
            | RequestError::LacksScope(_)
            | RequestError::NotFound
            | RequestError::MethodNotAllowed
            | RequestError::TooLarge { .. }
            | RequestError::ContentType
            | RequestError::ContentEncoding => Outcome::Invalid,
        });
    }

    pub(super) fn batch(&self, items: usize) {
        self.batch_items.observe(items as f64);
    }

    pub(super) fn request(&self, endpoint: Endpoint, status: StatusCode, took: Duration) {
        let code = CODES.iter().position(|code| *code == status).unwrap_or(CODES.len());
        self.requests[endpoint as usize][code]
            .get_or_init(|| {
                let code = CODES.get(code).map_or("other", StatusCode::as_str);
                self.requests_by.with_label_values(&[endpoint.label(), code])
            })
            .inc();
        self.durations[endpoint as usize].observe(took.as_secs_f64());
    }

    fn count(&self, outcome: Outcome) {
        self.publishes[outcome as usize].inc();
    }
}

/// The endpoint whose discriminant is `index`.
fn endpoint_at(index: usize) -> Endpoint {
    Endpoint::ROUTED.get(index).copied().unwrap_or(Endpoint::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_discriminants() {
        assert!((0..Endpoint::COUNT).all(|n| endpoint_at(n) as usize == n));
        assert!(Outcome::ALL.iter().enumerate().all(|(n, outcome)| *outcome as usize == n));
    }

    #[test]
    fn requests_are_counted_by_endpoint_and_code() {
        let registry = Registry::new();
        let metrics = PublishMetrics::new(&registry).unwrap();
        metrics.request(Endpoint::Join, StatusCode::FORBIDDEN, Duration::from_millis(3));
        metrics.request(Endpoint::Join, StatusCode::IM_A_TEAPOT, Duration::ZERO);
        metrics.batch(7);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"carillon_http_requests_total{code="403",endpoint="join"} 1"#,
            r#"carillon_http_requests_total{code="other",endpoint="join"} 1"#,
            r#"carillon_http_request_duration_seconds_count{endpoint="join"} 2"#,
            r#"carillon_publishes_total{result="duplicate"} 0"#,
            "carillon_publish_batch_items_sum 7",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(PublishMetrics::new(&registry).is_err());
    }
}
