//! What is counted of connections, sockets and recoveries.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::protocol::engine::TransportKind;

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
}

impl Recovery {
    fn label(self) -> &'static str {
        match self {
            Recovery::Recovered { .. } => "recovered",
            Recovery::Unknown => "unknown",
            Recovery::Foreign => "foreign",
            Recovery::BadOffset => "bad_offset",
            Recovery::Trimmed => "trimmed",
            Recovery::TooMuch => "too_much",
        }
    }
}

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct SessionMetrics {
    connections: IntGaugeVec,
    polling: IntGauge,
    websocket: IntGauge,
    closes: IntCounterVec,
    received: IntCounter,
    refused: IntCounterVec,
    connect_refused: IntCounter,
    deliveries: IntCounter,
    recoveries: IntCounterVec,
    replayed: Histogram,
    pub(super) polls_waiting: IntGauge,
}

impl SessionMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let connections =
            IntGaugeVec::new(Opts::new("carillon_connections", "Open connections by transport."), &["transport"])?;
        let metrics = SessionMetrics {
            polling: connections.with_label_values(&["polling"]),
            websocket: connections.with_label_values(&["websocket"]),
            connections,
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
            deliveries: IntCounter::new("carillon_deliveries_total", "Events queued for clients, one per recipient.")?,
            recoveries: IntCounterVec::new(
                Opts::new("carillon_recoveries_total", "Attempts to recover a session, by result."),
                &["result"],
            )?,
            replayed: Histogram::with_opts(
                HistogramOpts::new("carillon_recovery_replayed_messages", "Messages replayed by a recovery.")
                    .buckets(vec![0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0]),
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
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.closes.clone()))?;
        registry.register(Box::new(metrics.received.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.connect_refused.clone()))?;
        registry.register(Box::new(metrics.deliveries.clone()))?;
        registry.register(Box::new(metrics.recoveries.clone()))?;
        registry.register(Box::new(metrics.replayed.clone()))?;
        Ok(metrics)
    }

    fn gauge(&self, transport: TransportKind) -> &IntGauge {
        match transport {
            TransportKind::Polling => &self.polling,
            TransportKind::WebSocket => &self.websocket,
        }
    }

    pub(super) fn opened(&self, transport: TransportKind) {
        self.gauge(transport).inc();
    }

    pub(super) fn upgraded(&self) {
        self.polling.dec();
        self.websocket.inc();
    }

    pub(super) fn closed(&self, close: Close, transport: TransportKind) {
        self.gauge(transport).dec();
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

    pub(super) fn recovered(&self, recovery: Recovery) {
        self.recoveries.with_label_values(&[recovery.label()]).inc();
        if let Recovery::Recovered { replayed } = recovery {
            self.replayed.observe(replayed as f64);
        }
    }
}
