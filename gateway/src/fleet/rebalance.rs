//! How many connections a node with too many gives up.
//!
//! Pure: one call a second, with what is known of the nodes.

use std::collections::VecDeque;

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

/// Looks over which the greatest mean counts: clients that were closed are on
/// their way, and what the others tell is a look or two old.
const MEMORY: usize = 4;

/// Decides for one node.
#[derive(Debug)]
pub(super) struct Rebalance {
    /// Connections in one look at most; 0: never any.
    most: u32,
    nodes: Vec<NodeTag>,
    /// Looks since the nodes have changed.
    calm: u32,
    /// Connections of all nodes, at the last looks.
    totals: VecDeque<u64>,
}

impl Rebalance {
    pub(super) fn new(most: u32) -> Self {
        Rebalance { most, nodes: Vec::new(), calm: 0, totals: VecDeque::new() }
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
            self.totals.clear();
            return 0;
        }
        let connections = |node: &&NodeInfo| if node.this { own } else { node.load.unwrap_or_default() }.connections;
        self.totals.push_back(serving.iter().map(connections).sum());
        if self.totals.len() > MEMORY {
            self.totals.pop_front();
        }
        self.calm = self.calm.saturating_add(1);
        if self.calm < CALM || own.draining {
            return 0;
        }
        let total = self.totals.iter().max().copied().unwrap_or_default();
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
        const LOOKS: usize = 300;
        let mut connections = [3000_u64, 3000, 0];
        // what the nodes know of each other is two looks old, and clients are away for one
        let (mut told, mut away) = (VecDeque::from([connections; 2]), 0);
        let mut moves = Vec::new();
        let mut watches: Vec<Rebalance> = (0..3).map(|_| Rebalance::new(20)).collect();
        for _ in 0..LOOKS {
            let known = told.pop_front().unwrap();
            let mut closed = 0;
            for (n, watch) in watches.iter_mut().enumerate() {
                let mut seen = nodes(&known);
                (0..3).for_each(|other| seen[other].this = other == n);
                let surplus = watch.surplus(Load { connections: connections[n], draining: false }, &seen) as u64;
                connections[n] -= surplus;
                closed += surplus;
            }
            // they come back to all alike
            (0..away).for_each(|n| connections[(n % 3) as usize] += 1);
            (away, told) = (closed, told.into_iter().chain([connections]).collect());
            moves.push(closed);
        }
        let moved: u64 = moves.iter().sum();
        let last = moves.iter().rposition(|closed| *closed > 0).unwrap();
        println!("{connections:?} after {moved} moves, the last at look {last}");
        assert!(connections.iter().all(|count| (1800..=2110).contains(count)), "{connections:?}");
        // one of three goes where there is room
        assert!((3 * 1800..=3 * 2000).contains(&moved), "{moved}");
        assert!(moves.iter().all(|closed| *closed <= 60));
        assert!(last < LOOKS - 50, "it does not come to rest");
    }
}
