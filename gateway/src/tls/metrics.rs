//! Handshakes and reloads, counted.

use prometheus::{IntCounterVec, Opts, Registry};

/// Which listener's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Public,
    Internal,
}

/// What became of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    Completed,
    /// No TLS, no version or cipher in common, no certificate that is trusted.
    Failed,
    TimedOut,
}

/// What became of files that had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reload {
    Taken,
    Refused,
}

impl Side {
    const ALL: [Side; 2] = [Side::Public, Side::Internal];

    /// Metric label and log field.
    pub fn label(self) -> &'static str {
        match self {
            Side::Public => "public",
            Side::Internal => "internal",
        }
    }
}

impl Handshake {
    const ALL: [Handshake; 3] = [Handshake::Completed, Handshake::Failed, Handshake::TimedOut];

    fn label(self) -> &'static str {
        match self {
            Handshake::Completed => "completed",
            Handshake::Failed => "failed",
            Handshake::TimedOut => "timed_out",
        }
    }
}

impl Reload {
    const ALL: [Reload; 2] = [Reload::Taken, Reload::Refused];

    fn label(self) -> &'static str {
        match self {
            Reload::Taken => "taken",
            Reload::Refused => "refused",
        }
    }
}

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct TlsMetrics {
    handshakes: IntCounterVec,
    reloads: IntCounterVec,
}

impl TlsMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["listener", "outcome"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let handshakes =
            counter("carillon_tls_handshakes_total", "TLS handshakes of callers, by listener and outcome.")?;
        let reloads = counter(
            "carillon_tls_reloads_total",
            "Changes of certificate files, by listener and whether they could be taken up.",
        )?;
        for side in Side::ALL {
            for outcome in Handshake::ALL {
                handshakes.with_label_values(&[side.label(), outcome.label()]);
            }
            for outcome in Reload::ALL {
                reloads.with_label_values(&[side.label(), outcome.label()]);
            }
        }
        Ok(TlsMetrics { handshakes, reloads })
    }

    pub(super) fn shaken(&self, side: Side, outcome: Handshake) {
        self.handshakes.with_label_values(&[side.label(), outcome.label()]).inc();
    }

    pub(super) fn reloaded(&self, side: Side, outcome: Reload) {
        self.reloads.with_label_values(&[side.label(), outcome.label()]).inc();
    }

    #[cfg(test)]
    pub(super) fn count(&self, side: Side, outcome: Handshake) -> u64 {
        self.handshakes.with_label_values(&[side.label(), outcome.label()]).get()
    }

    #[cfg(test)]
    pub(super) fn reloads(&self, side: Side, outcome: Reload) -> u64 {
        self.reloads.with_label_values(&[side.label(), outcome.label()]).get()
    }
}
