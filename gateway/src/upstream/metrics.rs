//! What is counted of requests to backends.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

use super::error::UpstreamError;
use super::request::Kind;

/// Handles into the registry, shared by all backends.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    calls: IntCounterVec,
    duration: Histogram,
    in_flight: IntGauge,
    waiting: IntGauge,
    circuit_open: IntGauge,
}

/// The label of an outcome.
pub(super) fn result<T>(outcome: &Result<T, UpstreamError>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(UpstreamError::Unavailable) => "unavailable",
        Err(UpstreamError::Busy) => "busy",
        Err(UpstreamError::TimedOut) => "timeout",
        Err(UpstreamError::BadAnswer) => "bad_answer",
        Err(UpstreamError::Status(_)) => "status",
    }
}

impl UpstreamMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = UpstreamMetrics {
            calls: IntCounterVec::new(
                Opts::new("carillon_upstream_calls_total", "Requests to backends, by type and result."),
                &["type", "result"],
            )?,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "carillon_upstream_duration_seconds",
                    "Time of a request to a backend, with the wait for its place, in seconds.",
                )
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            )?,
            in_flight: IntGauge::new("carillon_upstream_in_flight", "Requests to backends that are under way.")?,
            waiting: IntGauge::new("carillon_upstream_waiting", "Requests to backends that wait for a place.")?,
            circuit_open: IntGauge::new(
                "carillon_upstream_circuit_open",
                "Backends that are not asked because they failed.",
            )?,
        };
        for kind in Kind::ALL {
            let errors = [
                UpstreamError::Unavailable,
                UpstreamError::Busy,
                UpstreamError::TimedOut,
                UpstreamError::BadAnswer,
                UpstreamError::Status(500),
            ];
            metrics.calls.with_label_values(&[kind.label(), result(&Ok(()))]);
            for error in errors {
                metrics.calls.with_label_values(&[kind.label(), result::<()>(&Err(error))]);
            }
        }
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.circuit_open.clone()))?;
        Ok(metrics)
    }

    pub(super) fn called<T>(&self, kind: Kind, outcome: &Result<T, UpstreamError>, took: Duration) {
        self.calls.with_label_values(&[kind.label(), result(outcome)]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(super) fn in_flight(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    pub(super) fn waiting(&self) -> Counted {
        Counted::new(&self.waiting)
    }

    pub(super) fn circuit_opened(&self) {
        self.circuit_open.inc();
    }

    pub(super) fn circuit_closed(&self) {
        self.circuit_open.dec();
    }
}

/// Counts in a gauge while it lives.
#[derive(Debug)]
pub(super) struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
