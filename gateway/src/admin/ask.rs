//! Asking the nodes.

use std::time::Duration;

use serde::Serialize;

use crate::adapter::Node as _;
use crate::adapter::inspect::{Inquiry, Inspected};
use crate::message::NodeTag;

use super::AdminState;

/// How long the nodes may take, the way there and back included.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What the nodes have answered.
pub(super) struct Answers {
    pub(super) found: Vec<Inspected>,
    pub(super) reach: Reach,
}

/// Who could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reach {
    /// Every node.
    All,
    /// The others could not be: this is of the node that answers.
    ThisNode,
}

impl AdminState {
    /// Asks every node, and waits a little.
    pub(super) async fn ask(&self, inquiry: Inquiry) -> Answers {
        match tokio::time::timeout(PATIENCE, self.adapter.inspect(inquiry.clone())).await {
            Ok(Ok(found)) => Answers { found, reach: Reach::All },
            Ok(Err(_)) | Err(_) => {
                let found = self.rooms.inspect(inquiry).await.into_iter().collect();
                Answers { found, reach: Reach::ThisNode }
            }
        }
    }
}

impl Answers {
    /// The nodes that are there and have not answered.
    pub(super) fn missing(&self, state: &AdminState) -> Vec<NodeTag> {
        let answered = |tag: &NodeTag| self.found.iter().any(|found| found.node == *tag);
        state.fleet.nodes().into_iter().map(|node| node.tag).filter(|tag| !answered(tag)).collect()
    }
}
