//! A pool of connections for long replies, so that they do not hold up what
//! is published.

use std::sync::Arc;

use deadpool::managed::{self, Metrics, Object, Pool, RecycleResult};
use redis::RedisError;

use crate::server::{Commands, Server};

/// Connections to the server that the link leads to. They go with the link.
pub(crate) struct Readers(Pool<Manager>);

struct Manager(Arc<dyn Server>);

impl managed::Manager for Manager {
    type Type = Arc<dyn Commands>;
    type Error = RedisError;

    async fn create(&self) -> Result<Self::Type, RedisError> {
        self.0.commands().await
    }

    /// What fails is taken out at once, so nothing needs to be tried here.
    async fn recycle(&self, _: &mut Self::Type, _: &Metrics) -> RecycleResult<RedisError> {
        Ok(())
    }
}

/// A connection that returns to the pool unless it was discarded.
pub(crate) struct Reader(Object<Manager>);

impl Readers {
    pub(super) fn new(server: &Arc<dyn Server>, size: usize) -> Self {
        let pool = Pool::builder(Manager(Arc::clone(server))).max_size(size.max(1)).build();
        Readers(pool.expect("a pool without timeouts needs no runtime"))
    }

    pub(crate) async fn get(&self) -> Option<Reader> {
        self.0.get().await.ok().map(Reader)
    }
}

impl Reader {
    pub(crate) fn commands(&self) -> &dyn Commands {
        &**self.0
    }

    /// It is not used again.
    pub(crate) fn discard(self) {
        drop(Object::take(self.0));
    }
}
