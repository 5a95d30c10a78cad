//! What is known of the fleet, as numbers.

use prometheus::{IntGauge, Registry};

use crate::adapter::NodeInfo;

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct FleetMetrics {
    nodes: IntGauge,
    connections: IntGauge,
}

impl FleetMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let nodes = IntGauge::new("carillon_cluster_nodes", "Nodes that are alive, as this one knows them.")?;
        let connections =
            IntGauge::new("carillon_cluster_connections", "Open connections of all nodes, as they told this one.")?;
        registry.register(Box::new(nodes.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        Ok(FleetMetrics { nodes, connections })
    }

    pub(super) fn saw(&self, nodes: &[NodeInfo]) {
        let connections: u64 = nodes.iter().filter_map(|node| node.load).map(|load| load.connections).sum();
        self.nodes.set(i64::try_from(nodes.len()).unwrap_or(i64::MAX));
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}
