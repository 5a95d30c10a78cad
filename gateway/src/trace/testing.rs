//! Spans for tests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::{Sampling, Tracer};

/// Spans that have ended, in that order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl Ended {
    pub(crate) fn all(&self) -> Vec<SpanData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Samples this part of what comes without a decision; for the namespaces `/` and `/chat`.
pub(crate) fn tracer(ratio: f64) -> (Tracer, Ended) {
    let ended = Ended::default();
    let sampling = Sampling { ratio, follow_callers: true };
    (Tracer::new(sampling, ["/".into(), "/chat".into()], ended.clone()), ended)
}
