//! Which nodes there are.

use std::sync::Arc;

use async_trait::async_trait;

use crate::message::NodeTag;

/// The nodes of a deployment, by the tags that session ids carry.
#[async_trait]
pub trait Directory: Send + Sync {
    /// This node.
    fn this(&self) -> NodeTag;

    /// Another node; `None` when there is none of this tag, or none any more.
    /// Asked for each forwarded request, so it should not go far for it.
    ///
    /// # Errors
    /// When that cannot be told now.
    async fn find(&self, tag: NodeTag) -> Result<Option<Peer>, Unavailable>;

    /// What the nodes know each other by; `None` where there are no others.
    fn secret(&self) -> Option<Arc<[u8]>>;
}

/// Where a node can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Host and port of its internal listener.
    pub address: Arc<str>,
}

/// The directory cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the directory of nodes is unavailable")]
pub struct Unavailable;

/// A node that is alone: it trusts nobody, and finds nobody.
#[derive(Debug)]
pub struct SingleNode(NodeTag);

impl SingleNode {
    /// `tag`: a new one each time, so that ids from before a restart are known
    /// to be nobody's.
    pub fn new(tag: NodeTag) -> Self {
        SingleNode(tag)
    }
}

#[async_trait]
impl Directory for SingleNode {
    fn this(&self) -> NodeTag {
        self.0
    }

    async fn find(&self, _: NodeTag) -> Result<Option<Peer>, Unavailable> {
        Ok(None)
    }

    fn secret(&self) -> Option<Arc<[u8]>> {
        None
    }
}
