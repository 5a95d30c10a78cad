//! How this node is, out of its metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::adapter::inspect::NodeStatus;
use crate::ops::{Health, NotReady};
use crate::rooms::{Canary, Census};

/// Publishes through the API that were accepted, by the label `result`.
const ACCEPTED: [&str; 3] = ["logged", "unlogged", "acknowledged"];

/// Where a node's status comes from.
pub struct Source {
    registry: Registry,
    health: Health,
    canary: Arc<Canary>,
    started: Instant,
}

impl Source {
    /// The node starts now.
    pub fn new(registry: Registry, health: Health, canary: Arc<Canary>) -> Self {
        Source { registry, health, canary, started: Instant::now() }
    }

    /// The status at this moment.
    pub fn status(&self, census: Census) -> NodeStatus {
        let metrics = Metrics(self.registry.gather());
        let accepted: u64 = metrics.by("carillon_publishes_total", "result").into_iter().filter_map(accepted).sum();
        NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            unready: self.health.reasons().into_iter().map(NotReady::label).map(str::to_owned).collect(),
            age_seconds: self.canary.age().as_secs_f64(),
            connections: metrics.by("carillon_connections", "transport"),
            sockets: census.sockets as u64,
            rooms: census.rooms as u64,
            queued_bytes: metrics.sum("carillon_outbound_queue_bytes"),
            resident_bytes: metrics.sum("process_resident_memory_bytes"),
            deliveries: metrics.sum("carillon_deliveries_total"),
            publishes: accepted + metrics.sum("carillon_events_published_total"),
            events: metrics.sum("carillon_events_received_total"),
            handshakes: metrics.sum("carillon_handshakes_total"),
            handshakes_refused: metrics.sum("carillon_handshakes_refused_total"),
            recoveries: metrics.by("carillon_recoveries_total", "result"),
            closes: metrics.by("carillon_closes_total", "reason"),
        }
    }
}

fn accepted((result, count): (String, u64)) -> Option<u64> {
    ACCEPTED.contains(&result.as_str()).then_some(count)
}

/// What a registry holds now.
struct Metrics(Vec<MetricFamily>);

impl Metrics {
    fn values(&self, name: &str) -> impl Iterator<Item = (&Metric, u64)> {
        let family = self.0.iter().find(|family| family.name() == name);
        family.into_iter().flat_map(|family| {
            let kind = family.get_field_type();
            family.get_metric().iter().map(move |metric| (metric, value(kind, metric)))
        })
    }

    /// Over all labels; 0 of a metric that is not there.
    fn sum(&self, name: &str) -> u64 {
        self.values(name).map(|(_, value)| value).sum()
    }

    /// By one label.
    fn by(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (metric, value) in self.values(name) {
            let label = metric.get_label().iter().find(|pair| pair.name() == label);
            *sums.entry(label.map(|pair| pair.value().to_owned()).unwrap_or_default()).or_default() += value;
        }
        sums
    }
}

/// A counter or gauge that counts things.
fn value(kind: MetricType, metric: &Metric) -> u64 {
    let value = match kind {
        MetricType::COUNTER => metric.get_counter().value(),
        MetricType::GAUGE => metric.get_gauge().value(),
        MetricType::SUMMARY | MetricType::UNTYPED | MetricType::HISTOGRAM => 0.0,
    };
    value.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounterVec, IntGaugeVec, Opts};

    use super::*;

    #[test]
    fn labels_are_summed_up() {
        let registry = Registry::new();
        let connections = IntGaugeVec::new(Opts::new("carillon_connections", "x"), &["transport", "protocol"]).unwrap();
        let publishes = IntCounterVec::new(Opts::new("carillon_publishes_total", "x"), &["result"]).unwrap();
        registry.register(Box::new(connections.clone())).unwrap();
        registry.register(Box::new(publishes.clone())).unwrap();
        connections.with_label_values(&["websocket", "eio4"]).set(3);
        connections.with_label_values(&["websocket", "eio3"]).set(2);
        connections.with_label_values(&["polling", "eio4"]).set(1);
        publishes.with_label_values(&["logged"]).inc_by(5);
        publishes.with_label_values(&["duplicate"]).inc_by(7);
        let source = Source::new(registry, Health::default(), Arc::new(Canary::new(1)));
        let status = source.status(Census { sockets: 4, rooms: 2 });
        assert_eq!(status.connections, BTreeMap::from([("polling".into(), 1), ("websocket".into(), 5)]));
        assert_eq!((status.publishes, status.sockets, status.rooms), (5, 4, 2));
        assert_eq!(status.unready, ["starting"]);
    }
}
