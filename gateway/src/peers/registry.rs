//! The nodes that meet in Redis.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::adapter::redis::RedisAdapter;
use crate::message::NodeTag;

use super::directory::{Directory, Peer, Unavailable};

/// Between two looks at the secret, which Redis may have lost.
const LOOK: Duration = Duration::from_secs(5);

/// The directory that the nodes keep in Redis.
pub struct Registry {
    tag: NodeTag,
    adapter: Arc<RedisAdapter>,
    secret: RwLock<Option<Arc<[u8]>>>,
}

impl Registry {
    /// `tag` as the adapter was made with.
    pub fn new(tag: NodeTag, adapter: Arc<RedisAdapter>) -> Self {
        Registry { tag, adapter, secret: RwLock::default() }
    }

    /// Learns the secret, or gives its own to those who come after a loss.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn learn(&self) -> Result<(), Unavailable> {
        let own = self.secret();
        let secret = self.adapter.secret(own.as_deref()).await.map_err(|_| Unavailable)?;
        *self.secret.write().unwrap_or_else(PoisonError::into_inner) = Some(secret.into());
        Ok(())
    }

    /// Keeps what it knows current, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            // unreachable now: the next look finds it
            let _ = self.learn().await;
        }
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
        self.secret.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
