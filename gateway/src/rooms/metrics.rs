//! What is counted between the adapter and the workers.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use super::canary::Canary;

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct RoomMetrics {
    waits: IntCounter,
    fan_out: Histogram,
    tick_lag: Histogram,
    pub(super) taps: IntGauge,
}

impl RoomMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = RoomMetrics {
            waits: IntCounter::new(
                "carillon_fanout_waits_total",
                "Times that delivery waited for a worker whose mailbox was full.",
            )?,
            fan_out: Histogram::with_opts(
                HistogramOpts::new(
                    "carillon_fanout_duration_seconds",
                    "Time from the hand-over of a batch to a worker until its last write, in seconds.",
                )
                .buckets(vec![0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0]),
            )?,
            tick_lag: Histogram::with_opts(
                HistogramOpts::new(
                    "carillon_tick_lag_seconds",
                    "Time from a publish to its fan-out, tried once a second on each worker, in seconds.",
                )
                .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]),
            )?,
            taps: IntGauge::new("carillon_taps", "Live tails of the admin page that are open.")?,
        };
        registry.register(Box::new(metrics.waits.clone()))?;
        registry.register(Box::new(metrics.fan_out.clone()))?;
        registry.register(Box::new(metrics.tick_lag.clone()))?;
        registry.register(Box::new(metrics.taps.clone()))?;
        Ok(metrics)
    }

    pub(super) fn waited(&self) {
        self.waits.inc();
    }

    pub(super) fn fanned_out(&self, took: Duration) {
        self.fan_out.observe(took.as_secs_f64());
    }

    pub(super) fn ticked(&self, lag: Duration) {
        self.tick_lag.observe(lag.as_secs_f64());
    }
}

/// An age, reckoned whenever it is asked for.
#[derive(Debug)]
pub struct AgeMetric {
    canary: Arc<Canary>,
    gauge: Gauge,
}

impl AgeMetric {
    /// # Errors
    /// When the name is registered twice.
    pub fn register(registry: &Registry, canary: &Arc<Canary>) -> Result<(), prometheus::Error> {
        let gauge = Gauge::new(
            "carillon_position_age_seconds",
            "All that was published so many seconds ago has been handed to the clients of this node.",
        )?;
        registry.register(Box::new(AgeMetric { canary: Arc::clone(canary), gauge }))
    }
}

impl Collector for AgeMetric {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(self.canary.age().as_secs_f64());
        self.gauge.collect()
    }
}
