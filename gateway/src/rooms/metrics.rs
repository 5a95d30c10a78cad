//! What is counted between the adapter and the workers.

use prometheus::{IntCounter, Registry};

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct RoomMetrics {
    waits: IntCounter,
}

impl RoomMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let waits = IntCounter::new(
            "carillon_fanout_waits_total",
            "Times that delivery waited for a worker whose mailbox was full.",
        )?;
        registry.register(Box::new(waits.clone()))?;
        Ok(RoomMetrics { waits })
    }

    pub(super) fn waited(&self) {
        self.waits.inc();
    }
}
