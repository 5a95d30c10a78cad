//! How long messages and sessions are kept, from how clients are kept track of.

use std::time::Duration;

use crate::Settings;

/// Slices of a room's log in the time that it is kept: more make it shorter,
/// fewer make it cheaper.
const SLICES: u32 = 3;

/// What the gateways of a cluster are configured with; by default, what they
/// have by default. The window counts from when a client was last known alive;
/// what is known of it is as old as a heartbeat and a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervals {
    /// `recovery.window`
    pub window: Duration,
    /// `recovery.refresh`
    pub refresh: Duration,
    /// `engine.ping_interval`
    pub ping_interval: Duration,
    /// `engine.ping_timeout`
    pub ping_timeout: Duration,
    /// `recovery.max_entries_per_room`
    pub max_entries_per_room: usize,
}

impl Default for Intervals {
    fn default() -> Self {
        Intervals {
            window: Duration::from_secs(120),
            refresh: Duration::from_secs(10),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_entries_per_room: 10_000,
        }
    }
}

impl Intervals {
    /// The settings of a node with such intervals.
    pub fn settings(&self) -> Settings {
        let Intervals { window, refresh, ping_interval, ping_timeout, max_entries_per_room } = *self;
        let session_ttl = window + ping_interval + ping_timeout + refresh;
        let retention = session_ttl + ping_timeout + refresh + Duration::from_secs(10);
        Settings {
            session_ttl,
            retention,
            slice: (retention / SLICES).max(Duration::from_secs(1)),
            max_slice_entries: max_entries_per_room,
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_gateways_count() {
        let settings = Intervals::default().settings();
        assert_eq!((settings.session_ttl.as_secs(), settings.retention.as_secs()), (175, 215));
        assert_eq!(settings.slice.as_millis(), 71_666);
    }
}
