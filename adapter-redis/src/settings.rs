//! What the adapter is made with.

use std::sync::Arc;
use std::time::Duration;

use crate::observer::Unobserved;
use crate::{Format, Observer};

/// Bounds, times and names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of all keys and channels.
    pub prefix: String,
    /// Where other nodes reach this one, for its entry among the nodes.
    pub advertise: String,
    /// In which version records are written.
    pub format: Format,
    /// How long a message is kept in the log, at least. The first node of an
    /// epoch says for all; one that needs it longer begins another epoch.
    pub retention: Duration,
    /// Length of the slices that a room's log is cut into, if this node is the
    /// first of an epoch.
    pub slice: Duration,
    /// Most entries of a slice, likewise.
    pub max_slice_entries: usize,
    /// Bytes of one reply when the log is read.
    pub max_read: usize,
    /// How long a session is kept after its last refresh.
    pub session_ttl: Duration,
    /// 0: unlimited.
    pub max_sessions: usize,
    /// How long a node may take to carry a notice out, until another is asked
    /// to.
    pub notice_lease: Duration,
    /// How long an idempotency key is remembered.
    pub idempotency: Duration,
    /// Until when a publish or a write is tried, while Redis is away.
    pub patience: Duration,
    /// Bytes of the subscriber that may wait.
    pub inbox: usize,
    /// Replicas that must have a publish before it is answered; 0: none.
    pub wait_replicas: u32,
    /// How long a node is listed after its last sign of life.
    pub node_ttl: Duration,
    /// How long a room is still heard after its last member has left.
    pub linger: Duration,
    /// Connections for reads of the log.
    pub readers: usize,
    /// A new epoch ends all connections ([`crate::Host::entangled`]).
    pub anew_on_new_epoch: bool,
    /// Back-off between attempts to connect: from the first to the last,
    /// doubled each time, each between half of it and all.
    pub back_off: (Duration, Duration),
    /// Is told what happens; by default nobody is.
    pub observer: Arc<dyn Observer>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            prefix: "carillon".into(),
            advertise: String::new(),
            format: Format::default(),
            retention: Duration::from_secs(240),
            slice: Duration::from_secs(60),
            max_slice_entries: 1000,
            max_read: 32 << 20,
            session_ttl: Duration::from_secs(200),
            max_sessions: 0,
            notice_lease: Duration::from_secs(30),
            idempotency: Duration::from_secs(600),
            patience: Duration::from_secs(5),
            inbox: 64 << 20,
            wait_replicas: 0,
            node_ttl: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            readers: 2,
            anew_on_new_epoch: false,
            back_off: (Duration::from_millis(50), Duration::from_secs(3)),
            observer: Arc::new(Unobserved),
        }
    }
}
