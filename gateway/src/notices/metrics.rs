//! What is counted of notices.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::adapter::{GoneReason, PresenceChange};

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct NoticeMetrics {
    gone: IntCounterVec,
    presence: IntCounterVec,
    given_up: IntCounter,
}

impl NoticeMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = NoticeMetrics {
            gone: IntCounterVec::new(
                Opts::new("carillon_disconnects_told_total", "Disconnects that the backend was told of, by reason."),
                &["reason"],
            )?,
            presence: IntCounterVec::new(
                Opts::new("carillon_presence_told_total", "Comings and goings that rooms were told of."),
                &["change"],
            )?,
            given_up: IntCounter::new(
                "carillon_notices_given_up_total",
                "Disconnects that the backend could not be told of in time.",
            )?,
        };
        for reason in [GoneReason::Client, GoneReason::Backend, GoneReason::Lost, GoneReason::Expired] {
            metrics.gone.with_label_values(&[reason.as_str()]);
        }
        for change in [PresenceChange::Joined, PresenceChange::Left] {
            metrics.presence.with_label_values(&[label(change)]);
        }
        registry.register(Box::new(metrics.gone.clone()))?;
        registry.register(Box::new(metrics.presence.clone()))?;
        registry.register(Box::new(metrics.given_up.clone()))?;
        Ok(metrics)
    }

    pub(super) fn gone(&self, reason: GoneReason) {
        self.gone.with_label_values(&[reason.as_str()]).inc();
    }

    pub(super) fn presence(&self, change: PresenceChange) {
        self.presence.with_label_values(&[label(change)]).inc();
    }

    pub(super) fn given_up(&self) {
        self.given_up.inc();
    }
}

fn label(change: PresenceChange) -> &'static str {
    match change {
        PresenceChange::Joined => "joined",
        PresenceChange::Left => "left",
    }
}
