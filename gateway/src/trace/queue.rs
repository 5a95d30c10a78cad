//! From ended spans to their receiver.
//!
//! Whoever ends a span puts it here and goes on; one task takes all that waits and exports it, in batches. What finds no room,
//! or is not taken, is counted, and said at most once a minute.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::SpanMetrics;

/// Most spans that wait or are being exported.
const CAPACITY: usize = 4096;

/// Most spans of one request; as many are exported before their time.
const BATCH: usize = 512;

/// How long spans wait for others.
const DELAY: Duration = Duration::from_secs(1);

/// How long what is left may take when all ends.
pub const FLUSH: Duration = Duration::from_secs(2);

/// Between two lines about what is lost.
const QUIET: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug)]
pub struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    spans: Mutex<Spans>,
    /// There is a batch.
    full: Notify,
    metrics: SpanMetrics,
}

#[derive(Debug, Default)]
struct Spans {
    waiting: Vec<SpanData>,
    under_way: usize,
}

impl Queue {
    pub fn new(metrics: SpanMetrics) -> Self {
        Queue(Arc::new(Shared { spans: Mutex::default(), full: Notify::new(), metrics }))
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exports until `stop`, and then what is left, for at most [`FLUSH`].
    pub async fn run(self, exporter: impl SpanExporter, stop: CancellationToken) {
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(FLUSH).await;
        };
        tokio::select! {
            biased;
            () = self.export_until(&exporter, &stop) => {}
            () = late => {
                let mut spans = self.spans();
                let left = spans.under_way + std::mem::take(&mut spans.waiting).len();
                self.0.metrics.dropped(left);
                tracing::warn!(left, "spans were left when the node stopped");
            }
        }
    }

    /// Resolves when nothing is left after `stop`.
    async fn export_until(&self, exporter: &impl SpanExporter, stop: &CancellationToken) {
        let mut said = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.0.full.notified() => {}
                () = tokio::time::sleep(DELAY) => {}
            }
            while let Some(batch) = self.take() {
                let count = batch.len();
                let exported = exporter.export(batch).await;
                self.spans().under_way = 0;
                match exported {
                    Ok(()) => self.0.metrics.exported(count),
                    Err(error) => {
                        self.0.metrics.failed(count);
                        if said.is_none_or(|said: Instant| said.elapsed() >= QUIET) {
                            said = Some(Instant::now());
                            tracing::warn!(%error, "spans were not taken; said at most once a minute");
                        }
                    }
                }
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// The next to be exported.
    fn take(&self) -> Option<Vec<SpanData>> {
        let mut spans = self.spans();
        let batch = if spans.waiting.len() <= BATCH {
            std::mem::take(&mut spans.waiting)
        } else {
            spans.waiting.drain(..BATCH).collect()
        };
        spans.under_way = batch.len();
        (!batch.is_empty()).then_some(batch)
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut spans = self.spans();
        if spans.waiting.len() + spans.under_way >= CAPACITY {
            drop(spans);
            return self.0.metrics.dropped(1);
        }
        spans.waiting.push(span);
        if spans.waiting.len() == BATCH {
            self.0.full.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// What waits is [`Queue::run`]'s.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
