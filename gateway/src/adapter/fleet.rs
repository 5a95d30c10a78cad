//! The nodes of a deployment, as they know of each other.

use std::time::Duration;

use async_trait::async_trait;

use crate::message::NodeTag;

use super::Unavailable;

/// What the nodes tell each other, once a second.
#[async_trait]
pub trait Fleet: Send + Sync + 'static {
    /// The nodes that are alive, this one among them; no farther away than
    /// memory.
    fn nodes(&self) -> Vec<NodeInfo>;

    /// What this node carries; the others know it a second or two later.
    fn report(&self, load: Load);

    /// Takes from the budget of handshakes that all nodes share, which fills by
    /// `per_second` and holds as many. One round trip.
    async fn take(&self, wanted: u32, per_second: u32) -> Result<Taken, Unavailable>;
}

/// A node that is alive, as of the last second or two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    pub tag: NodeTag,
    /// Host and port of its internal listener; empty for a node that is alone.
    pub address: String,
    /// `None` while it has not told: it has just started, or is of an older
    /// version.
    pub load: Option<Load>,
    /// It is the one that was asked.
    pub this: bool,
}

/// What a node carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Open connections, over all transports.
    pub connections: u64,
    /// It is being stopped, and takes no more.
    pub draining: bool,
}

/// What was given from a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// At most as many as were wanted.
    pub count: u32,
    /// Until there is one more; zero when there is now.
    pub next: Duration,
}
