//! A directory that tests write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hashbrown::HashMap;

use crate::message::NodeTag;

use super::{Directory, Peer, Unavailable};

pub(crate) const SECRET: &[u8] = b"a secret of the nodes";

/// What all nodes of a test know.
#[derive(Default)]
pub(crate) struct Registry {
    nodes: Mutex<HashMap<NodeTag, Arc<str>>>,
    pub(crate) down: AtomicBool,
}

impl Registry {
    pub(crate) fn set(&self, tag: NodeTag, address: impl ToString) {
        self.nodes.lock().unwrap().insert(tag, address.to_string().into());
    }

    pub(crate) fn remove(&self, tag: NodeTag) {
        self.nodes.lock().unwrap().remove(&tag);
    }
}

/// The same as one node sees it.
pub(crate) struct TestDirectory {
    pub(crate) this: NodeTag,
    pub(crate) registry: Arc<Registry>,
    pub(crate) secret: Arc<[u8]>,
}

impl TestDirectory {
    pub(crate) fn new(registry: &Arc<Registry>) -> Self {
        TestDirectory { this: NodeTag::random(), registry: Arc::clone(registry), secret: SECRET.into() }
    }
}

#[async_trait]
impl Directory for TestDirectory {
    fn this(&self) -> NodeTag {
        self.this
    }

    async fn find(&self, tag: NodeTag) -> Result<Option<Peer>, Unavailable> {
        if self.registry.down.load(Ordering::Relaxed) {
            return Err(Unavailable);
        }
        Ok(self.registry.nodes.lock().unwrap().get(&tag).map(|address| Peer { address: Arc::clone(address) }))
    }

    fn secret(&self) -> Option<Arc<[u8]>> {
        Some(Arc::clone(&self.secret))
    }
}
