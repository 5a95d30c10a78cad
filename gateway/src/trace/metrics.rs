//! What becomes of spans.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Spans by what became of them; there only where tracing is on.
#[derive(Clone, Debug)]
pub struct SpanMetrics {
    exported: IntCounter,
    dropped: IntCounter,
    failed: IntCounter,
}

impl SpanMetrics {
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let spans =
            IntCounterVec::new(Opts::new("carillon_spans_total", "Spans by what became of them"), &["outcome"])?;
        registry.register(Box::new(spans.clone()))?;
        let outcome = |label| spans.with_label_values(&[label]);
        Ok(SpanMetrics { exported: outcome("exported"), dropped: outcome("dropped"), failed: outcome("failed") })
    }

    pub(super) fn exported(&self, spans: usize) {
        self.exported.inc_by(spans as u64);
    }

    /// There was no room to keep them, or no time.
    pub(super) fn dropped(&self, spans: usize) {
        self.dropped.inc_by(spans as u64);
    }

    /// The receiver did not take them.
    pub(super) fn failed(&self, spans: usize) {
        self.failed.inc_by(spans as u64);
    }
}
