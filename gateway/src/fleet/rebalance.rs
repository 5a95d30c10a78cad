//! How many connections a node with too many gives up.
//!
//! Pure: one call a second, with what is known of the nodes.

use crate::adapter::{Load, NodeInfo};
use crate::message::NodeTag;

/// Looks for which the nodes must have been the same: one that has just come is
/// not known to the balancer yet, and the clients of one that has just gone are
/// still on their way.
const CALM: u32 = 15;

/// A node may have this share of the mean more than the mean, for clients do
/// not come back to all nodes exactly alike ...
const SLACK: f64 = 0.05;

/// ... and so many at least.
const SLACK_AT_LEAST: f64 = 20.0;

/// Decides for one node.
#[derive(Debug)]
pub(super) struct Rebalance {
    /// Connections in one look at most; 0: never any.
    most: u32,
    nodes: Vec<NodeTag>,
    /// Looks since the nodes have changed.
    calm: u32,
}

impl Rebalance {
    pub(super) fn new(most: u32) -> Self {
        Rebalance { most, nodes: Vec::new(), calm: 0 }
    }

    /// How many connections to close now. `own` is this node's load, `nodes` are
    /// all that are alive.
    pub(super) fn surplus(&mut self, own: Load, nodes: &[NodeInfo]) -> usize {
        if self.most == 0 {
            return 0;
        }
        // of one that does not tell nothing can be expected
        let serving = |node: &&NodeInfo| node.this || node.load.is_some_and(|load| !load.draining);
        let serving: Vec<&NodeInfo> = nodes.iter().filter(serving).collect();
        let mut tags: Vec<NodeTag> = serving.iter().map(|node| node.tag).collect();
        tags.sort_unstable();
        if tags != self.nodes || tags.len() < nodes.len() {
            (self.nodes, self.calm) = (tags, 0);
            return 0;
        }
        self.calm = self.calm.saturating_add(1);
        if self.calm < CALM || own.draining {
            return 0;
        }
        let connections = |node: &&NodeInfo| if node.this { own } else { node.load.unwrap_or_default() }.connections;
        let total: u64 = serving.iter().map(connections).sum();
        let mean = total as f64 / serving.len().max(1) as f64;
        let above = own.connections as f64 - mean;
        if above <= (mean * SLACK).max(SLACK_AT_LEAST) { 0 } else { (above as usize).min(self.most as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(tag: &str, load: Option<Load>) -> NodeInfo {
        NodeInfo { tag: NodeTag::parse(tag).unwrap(), address: String::new(), load, this: tag == "AAA" }
    }

    fn nodes(connections: &[u64]) -> Vec<NodeInfo> {
        let tags = ["AAA", "BBB", "CCC", "DDD"];
        let load = |connections| Some(Load { connections, draining: false });
        tags.iter().zip(connections).map(|(tag, connections)| node(tag, load(*connections))).collect()
    }

    /// What it says once nothing has changed for long enough.
    fn calm(most: u32, nodes: &[NodeInfo]) -> usize {
        let own = nodes.iter().find(|node| node.this).and_then(|node| node.load).unwrap();
        let mut rebalance = Rebalance::new(most);
        for _ in 0..CALM {
            assert_eq!(rebalance.surplus(own, nodes), 0);
        }
        rebalance.surplus(own, nodes)
    }

    #[test]
    fn what_is_above_the_mean_is_given_up_slowly() {
        for (connections, most, expected) in [
            (&[1000, 1000, 100][..], 10, 10),
            (&[1000, 1000, 100], 5000, 300),
            (&[1000, 1000, 100], 0, 0),
            (&[700, 700, 650], 10, 0),
            (&[100, 1000, 1000], 10, 0),
            (&[30, 0, 0], 10, 0),
            (&[90, 0, 0], 10, 10),
            (&[1000], 10, 0),
        ] {
            assert_eq!(calm(most, &nodes(connections)), expected, "{connections:?} at most {most}");
        }
    }

    #[test]
    fn nothing_is_closed_while_nodes_come_and_go() {
        let (two, three) = (nodes(&[1000, 0]), nodes(&[1000, 0, 0]));
        let own = Load { connections: 1000, draining: false };
        let mut rebalance = Rebalance::new(10);
        for _ in 0..CALM * 3 {
            assert_eq!(rebalance.surplus(own, &two), 0);
            assert_eq!(rebalance.surplus(own, &three), 0);
        }
        // one that does not tell, or drains, is about to come or go
        for load in [None, Some(Load { connections: 0, draining: true })] {
            let unsure = [two.clone(), vec![node("CCC", load)]].concat();
            assert_eq!(calm(10, &unsure), 0, "{load:?}");
        }
    }

    #[test]
    fn a_fleet_becomes_even_and_then_stays() {
        let mut connections = [3000_u64, 3000, 0];
        let mut moved = 0;
        let mut watches: Vec<Rebalance> = (0..3).map(|_| Rebalance::new(20)).collect();
        for _ in 0..600 {
            let mut closed = 0;
            for (n, watch) in watches.iter_mut().enumerate() {
                let mut seen = nodes(&connections);
                (0..3).for_each(|other| seen[other].this = other == n);
                let surplus = watch.surplus(Load { connections: connections[n], draining: false }, &seen) as u64;
                connections[n] -= surplus;
                closed += surplus;
            }
            // they come back to all alike
            (0..closed).for_each(|n| connections[((moved + n) % 3) as usize] += 1);
            moved += closed;
        }
        println!("{connections:?} after {moved} moves");
        assert_eq!(connections.iter().sum::<u64>(), 6000);
        assert!(connections.iter().all(|count| (1800..=2110).contains(count)), "{connections:?}");
        assert!(moved < 3000 * 3, "{moved}");
        let before = moved;
        for (n, watch) in watches.iter_mut().enumerate() {
            let mut seen = nodes(&connections);
            (0..3).for_each(|other| seen[other].this = other == n);
            moved += watch.surplus(Load { connections: connections[n], draining: false }, &seen) as u64;
        }
        assert_eq!(moved, before);
    }
}
