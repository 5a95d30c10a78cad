//! What is counted of the traffic between nodes.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::session::Slot;

use super::error::ForwardError;
use super::signature::Untrusted;

/// What is forwarded; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Poll,
    Post,
    Upgrade,
}

/// How forwarding ended; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Whatever the answer was.
    Answered,
    /// The client went away first.
    Abandoned,
    Failed(ForwardError),
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Poll, Kind::Post, Kind::Upgrade];

    fn label(self) -> &'static str {
        match self {
            Kind::Poll => "poll",
            Kind::Post => "post",
            Kind::Upgrade => "upgrade",
        }
    }
}

impl Outcome {
    const ALL: [Outcome; 8] = [
        Outcome::Answered,
        Outcome::Abandoned,
        Outcome::Failed(ForwardError::Unavailable),
        Outcome::Failed(ForwardError::Gone),
        Outcome::Failed(ForwardError::Lost),
        Outcome::Failed(ForwardError::Untrusted),
        Outcome::Failed(ForwardError::TooLong),
        Outcome::Failed(ForwardError::Limited),
    ];

    fn label(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Abandoned => "abandoned",
            Outcome::Failed(ForwardError::Unavailable) => "unavailable",
            Outcome::Failed(ForwardError::Gone) => "gone",
            Outcome::Failed(ForwardError::Lost) => "lost",
            Outcome::Failed(ForwardError::Untrusted) => "untrusted",
            Outcome::Failed(ForwardError::TooLong) => "too_long",
            Outcome::Failed(ForwardError::Limited) => "limited",
        }
    }
}

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct PeerMetrics {
    requests: IntCounterVec,
    carried: IntGauge,
    carried_total: IntCounter,
    untrusted: IntCounterVec,
}

impl PeerMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("carillon_forwarded_requests_total", "Requests for sessions of other nodes, by how that ended."),
            &["kind", "outcome"],
        )?;
        for (kind, outcome) in Kind::ALL.iter().flat_map(|kind| Outcome::ALL.map(|outcome| (kind, outcome))) {
            requests.with_label_values(&[kind.label(), outcome.label()]);
        }
        let carried = IntGauge::new("carillon_forwarded_websockets", "WebSockets carried for other nodes, now.")?;
        let carried_total =
            IntCounter::new("carillon_forwarded_websockets_total", "WebSockets carried for other nodes.")?;
        let untrusted = IntCounterVec::new(
            Opts::new("carillon_peer_requests_refused_total", "Requests not shown to be another node's, by reason."),
            &["reason"],
        )?;
        for reason in Untrusted::ALL {
            untrusted.with_label_values(&[reason.label()]);
        }
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(carried.clone()))?;
        registry.register(Box::new(carried_total.clone()))?;
        registry.register(Box::new(untrusted.clone()))?;
        Ok(PeerMetrics { requests, carried, carried_total, untrusted })
    }

    pub(super) fn untrusted(&self, reason: Untrusted) {
        self.untrusted.with_label_values(&[reason.label()]).inc();
    }

    pub(super) fn forwarding(&self, kind: Kind) -> Forwarding<'_> {
        Forwarding { metrics: self, kind, outcome: Outcome::Abandoned }
    }

    /// Counts a WebSocket as carried, in its slot, until dropped.
    pub(super) fn carrying(&self, slot: Slot) -> Carried {
        self.carried.inc();
        self.carried_total.inc();
        Carried { gauge: self.carried.clone(), _slot: slot }
    }

    #[cfg(test)]
    pub(super) fn forwarded(&self, kind: &str, outcome: &str) -> u64 {
        self.requests.with_label_values(&[kind, outcome]).get()
    }
}

/// A request under way: dropped before it ended, it counts as abandoned.
pub(super) struct Forwarding<'a> {
    metrics: &'a PeerMetrics,
    kind: Kind,
    outcome: Outcome,
}

impl Forwarding<'_> {
    pub(super) fn ended<T>(mut self, outcome: &Result<T, ForwardError>) {
        self.outcome = outcome.as_ref().map_or_else(|error| Outcome::Failed(*error), |_| Outcome::Answered);
    }
}

impl Drop for Forwarding<'_> {
    fn drop(&mut self) {
        self.metrics.requests.with_label_values(&[self.kind.label(), self.outcome.label()]).inc();
    }
}

/// A WebSocket that is carried.
#[derive(Debug)]
pub(super) struct Carried {
    gauge: IntGauge,
    _slot: Slot,
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
