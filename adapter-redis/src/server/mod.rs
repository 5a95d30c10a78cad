//! How a Redis server is reached: commands over one kind of connection,
//! subscriptions over another.
//!
//! [`RedisServer`] is the real one, over the crate `redis`; tests of the
//! protocol put another in its place.

mod inbox;
mod real;

use std::sync::Arc;

use async_trait::async_trait;
use redis::{Cmd, ErrorKind, RedisResult, Value};

pub use inbox::{Inbox, Taken};
pub use real::{Address, BadAddress, RedisServer};

/// A Redis server, or the present master of several.
#[async_trait]
pub trait Server: Send + Sync + 'static {
    /// A new connection for commands.
    async fn commands(&self) -> RedisResult<Arc<dyn Commands>>;

    /// A new connection for subscriptions. What is published goes to `inbox`,
    /// in order; [`Inbox::end`] when the connection ends.
    async fn subscriber(&self, inbox: Arc<Inbox>) -> RedisResult<Box<dyn Subscriber>>;
}

/// A connection for commands. Several may be under way; they are carried out
/// in the order in which they were sent.
#[async_trait]
pub trait Commands: Send + Sync {
    async fn send(&self, command: Cmd) -> RedisResult<Value>;
}

/// A connection for subscriptions; dropped, it ends.
#[async_trait]
pub trait Subscriber: Send {
    /// Resolves when the server has confirmed each.
    async fn subscribe(&mut self, channels: &[String]) -> RedisResult<()>;

    async fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()>;

    /// The same with patterns of channels; needed by [`crate::RedisAdapter::hear_all`] only.
    async fn subscribe_patterns(&mut self, _patterns: &[String]) -> RedisResult<()> {
        Err((ErrorKind::Client, "patterns are not supported").into())
    }

    async fn unsubscribe_patterns(&mut self, _patterns: &[String]) -> RedisResult<()> {
        Err((ErrorKind::Client, "patterns are not supported").into())
    }
}
