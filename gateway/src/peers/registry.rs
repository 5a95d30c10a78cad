//! The nodes that meet in Redis.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::adapter::redis::RedisAdapter;
use crate::message::NodeTag;

use super::directory::{Directory, Peer, Unavailable};

/// The directory that the nodes keep in Redis.
pub struct Registry {
    tag: NodeTag,
    adapter: Arc<RedisAdapter>,
    secret: OnceLock<Arc<[u8]>>,
}

impl Registry {
    /// `tag` as the adapter was made with.
    pub fn new(tag: NodeTag, adapter: Arc<RedisAdapter>) -> Self {
        Registry { tag, adapter, secret: OnceLock::new() }
    }

    /// From here on other nodes' requests are believed.
    pub fn trust(&self, secret: Vec<u8>) {
        // it does not change in the life of a deployment
        let _ = self.secret.set(secret.into());
    }
}

#[async_trait]
impl Directory for Registry {
    fn this(&self) -> NodeTag {
        self.tag
    }

    async fn find(&self, tag: NodeTag) -> Result<Option<Peer>, Unavailable> {
        let address = self.adapter.find_node(tag).await.map_err(|_| Unavailable)?;
        Ok(address.map(|address| Peer { address: address.into() }))
    }

    fn secret(&self) -> Option<Arc<[u8]>> {
        self.secret.get().cloned()
    }
}
