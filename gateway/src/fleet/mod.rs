//! This node among the others: how many clients each has, and how fast they
//! may come.
//!
//! - *Budget* ([`Budget`]): handshakes that all nodes together accept in a
//!   second. Clients of a node that drains or was killed come back to the others,
//!   and are let in at that pace.
//! - *Load* ([`Watch`]): once a second each node tells how many connections it
//!   has, and knows how many the others have.
//! - *Rebalancing* ([`rebalance`]): a node above the mean closes a few
//!   connections in a second, which come back to all nodes alike. After a
//!   scale-out the new nodes fill up.
//!
//! Invariants: without an answer of the others a node lets in its part of the
//! budget and no more; what is closed to rebalance is at most what is configured,
//! and never brings a node below the mean.

mod budget;
mod metrics;
mod rebalance;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::adapter::{Fleet, Load, NodeInfo, Taken, Unavailable};
use crate::message::NodeTag;

pub use budget::{Budget, Clerk};
pub use metrics::FleetMetrics;

use rebalance::Rebalance;

/// Between two looks at the others.
const LOOK: Duration = Duration::from_secs(1);

/// What this node does once a second for the fleet.
pub struct Watch<C, S> {
    pub fleet: Arc<dyn Fleet>,
    /// What this node carries now.
    pub load: C,
    /// Closes so many connections.
    pub shed: S,
    /// Connections closed in a second at most to rebalance; 0: none are.
    pub rebalance_per_second: u32,
    pub metrics: FleetMetrics,
}

impl<C: Fn() -> Load, S: Fn(usize)> Watch<C, S> {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut rebalance = Rebalance::new(self.rebalance_per_second);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let load = (self.load)();
            self.fleet.report(load);
            let nodes = self.fleet.nodes();
            self.metrics.saw(&nodes);
            let surplus = rebalance.surplus(load, &nodes);
            if surplus > 0 {
                (self.shed)(surplus);
            }
        }
    }
}

/// The fleet of a node that is alone.
#[derive(Debug)]
pub struct Alone {
    tag: NodeTag,
    load: Mutex<Option<Load>>,
}

impl Alone {
    pub fn new(tag: NodeTag) -> Self {
        Alone { tag, load: Mutex::default() }
    }
}

#[async_trait]
impl Fleet for Alone {
    fn nodes(&self) -> Vec<NodeInfo> {
        let load = *self.load.lock().unwrap_or_else(PoisonError::into_inner);
        vec![NodeInfo { tag: self.tag, address: String::new(), load, this: true }]
    }

    fn report(&self, load: Load) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = Some(load);
    }

    /// There is nobody to share with.
    async fn take(&self, _: u32, _: u32) -> Result<Taken, Unavailable> {
        Err(Unavailable)
    }
}
