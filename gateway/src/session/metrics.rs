//! What is counted of connections, sockets and recoveries.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::protocol::engine::{TransportKind, Version};

use super::close::Close;
use super::refusal::Reason;

/// How an attempt to recover ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recovery {
    Recovered {
        replayed: usize,
    },
    /// No such session, or no longer.
    Unknown,
    /// Another namespace's or subject's.
    Foreign,
    /// The offset is none, or beyond the log.
    BadOffset,
    /// Part of what was missed is no longer in the log.
    Trimmed,
    /// More was missed than is replayed.
    TooMuch,
    /// The client is not who it must be.
    Unauthorized,
    /// It could not be carried out now, or the client has gone: the session
    /// stays.
    Unavailable,
}

impl Recovery {
    const ALL: [Recovery; 8] = [
        Recovery::Recovered { replayed: 0 },
        Recovery::Unknown,
        Recovery::Foreign,
        Recovery::BadOffset,
        Recovery::Trimmed,
        Recovery::TooMuch,
        Recovery::Unauthorized,
        Recovery::Unavailable,
    ];

    fn label(self) -> &'static str {
        match self {
            Recovery::Recovered { .. } => "recovered",
            Recovery::Unknown => "unknown",
            Recovery::Foreign => "foreign",
            Recovery::BadOffset => "bad_offset",
            Recovery::Trimmed => "trimmed",
            Recovery::TooMuch => "too_much",
            Recovery::Unauthorized => "unauthorized",
            Recovery::Unavailable => "unavailable",
        }
    }
}

/// By transport and version, in the order of their `ALL`.
type ByKind<M> = [[M; Version::ALL.len()]; TransportKind::ALL.len()];

fn by_kind<M>(handle: impl Fn(&[&str]) -> M) -> ByKind<M> {
    TransportKind::ALL.map(|transport| Version::ALL.map(|version| handle(&[transport.label(), version.label()])))
}

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct SessionMetrics {
    connections: ByKind<IntGauge>,
    handshakes: ByKind<IntCounter>,
    closes: IntCounterVec,
    received: IntCounter,
    refused: IntCounterVec,
    connect_refused: IntCounter,
    published: IntCounter,
    deliveries: IntCounter,
    queued: IntGauge,
    recoveries: IntCounterVec,
    replayed: Histogram,
    recovery: Histogram,
    pub(super) polls_waiting: IntGauge,
}

impl SessionMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let kinds = &["transport", "protocol"];
        let connections = IntGaugeVec::new(
            Opts::new("carillon_connections", "Open connections, by transport and protocol version."),
            kinds,
        )?;
        let handshakes = IntCounterVec::new(
            Opts::new("carillon_handshakes_total", "Connections opened, by first transport and protocol version."),
            kinds,
        )?;
        let metrics = SessionMetrics {
            connections: by_kind(|labels| connections.with_label_values(labels)),
            handshakes: by_kind(|labels| handshakes.with_label_values(labels)),
            closes: IntCounterVec::new(
                Opts::new("carillon_closes_total", "Connections closed, by reason."),
                &["reason"],
            )?,
            received: IntCounter::new("carillon_events_received_total", "Events received from clients.")?,
            refused: IntCounterVec::new(
                Opts::new("carillon_events_refused_total", "Events of clients that were not carried out, by reason."),
                &["reason"],
            )?,
            connect_refused: IntCounter::new(
                "carillon_connects_refused_total",
                "CONNECT packets answered by an error.",
            )?,
            published: IntCounter::new(
                "carillon_events_published_total",
                "Events of clients, and of what their backends answered, that were published.",
            )?,
            queued: IntGauge::new(
                "carillon_outbound_queue_bytes",
                "Bytes that wait for clients to take them, over all connections.",
            )?,
            deliveries: IntCounter::new("carillon_deliveries_total", "Events queued for clients, one per recipient.")?,
            recoveries: IntCounterVec::new(
                Opts::new("carillon_recoveries_total", "Attempts to recover a session, by result."),
                &["result"],
            )?,
            replayed: Histogram::with_opts(
                HistogramOpts::new("carillon_recovery_replayed_messages", "Messages replayed by a recovery.")
                    .buckets(vec![0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0]),
            )?,
            recovery: Histogram::with_opts(
                HistogramOpts::new(
                    "carillon_recovery_duration_seconds",
                    "Time of an attempt to recover, with its replay, in seconds.",
                )
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
            )?,
            polls_waiting: IntGauge::new("carillon_polls_waiting", "Polling requests that wait for packets.")?,
        };
        registry.register(Box::new(metrics.polls_waiting.clone()))?;
        for close in Close::ALL {
            metrics.closes.with_label_values(&[close.label()]);
        }
        for reason in Reason::ALL {
            metrics.refused.with_label_values(&[reason.label()]);
        }
        for recovery in Recovery::ALL {
            metrics.recoveries.with_label_values(&[recovery.label()]);
        }
        registry.register(Box::new(connections))?;
        registry.register(Box::new(handshakes))?;
        registry.register(Box::new(metrics.published.clone()))?;
        registry.register(Box::new(metrics.queued.clone()))?;
        registry.register(Box::new(metrics.recovery.clone()))?;
        registry.register(Box::new(metrics.closes.clone()))?;
        registry.register(Box::new(metrics.received.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.connect_refused.clone()))?;
        registry.register(Box::new(metrics.deliveries.clone()))?;
        registry.register(Box::new(metrics.recoveries.clone()))?;
        registry.register(Box::new(metrics.replayed.clone()))?;
        Ok(metrics)
    }

    pub(super) fn opened(&self, transport: TransportKind, version: Version) {
        self.connections[transport as usize][version as usize].inc();
        self.handshakes[transport as usize][version as usize].inc();
    }

    pub(super) fn upgraded(&self, version: Version) {
        self.connections[TransportKind::Polling as usize][version as usize].dec();
        self.connections[TransportKind::WebSocket as usize][version as usize].inc();
    }

    pub(super) fn closed(&self, close: Close, transport: TransportKind, version: Version) {
        self.connections[transport as usize][version as usize].dec();
        self.closes.with_label_values(&[close.label()]).inc();
    }

    pub(super) fn received(&self) {
        self.received.inc();
    }

    pub(super) fn refused(&self, reason: Reason) {
        self.refused.with_label_values(&[reason.label()]).inc();
    }

    pub(super) fn connect_refused(&self) {
        self.connect_refused.inc();
    }

    pub(super) fn delivered(&self, count: usize) {
        self.deliveries.inc_by(count as u64);
    }

    pub(super) fn published(&self, count: usize) {
        self.published.inc_by(count as u64);
    }

    /// So many bytes more or less wait for clients.
    pub(super) fn queued(&self, change: i64) {
        self.queued.add(change);
    }

    pub(super) fn recovered(&self, recovery: Recovery, took: Duration) {
        self.recovery.observe(took.as_secs_f64());
        self.recoveries.with_label_values(&[recovery.label()]).inc();
        if let Recovery::Recovered { replayed } = recovery {
            self.replayed.observe(replayed as f64);
        }
    }
}
