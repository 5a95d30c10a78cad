//! What the adapter calls on the program that it serves.

use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use crate::place::{Id, Place};
use crate::record::Question;
use crate::{Event, RoomKey};

/// The local side: its members of rooms and its clients.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// An event as its recipients share it.
    type Message: Clone + Send + Sync + 'static;

    /// Makes a message of an event; `place` is `None` when it is not in the
    /// log. `None` when there is no such namespace here.
    fn message(&self, place: Option<Place>, event: Event) -> Option<Self::Message>;

    /// A message for the members of its rooms. Called in the one order, never
    /// concurrently; [`Host::announce`] follows the last of several.
    fn deliver(&self, message: Self::Message);

    /// Ends a run of [`Host::deliver`].
    fn announce(&self);

    /// All up to here has been delivered.
    fn position(&self, id: Id);

    /// All that was published before this time is delivered
    /// ([`crate::RedisAdapter::watch_lag`]).
    fn canary(&self, _sent: Instant) {}

    /// Whether more is taken; while not, `deliver` waits for [`Host::space`].
    fn has_space(&self) -> bool;

    /// Resolves when [`Host::has_space`] again.
    async fn space(&self);

    /// Whether the room has a member here.
    fn is_wanted(&self, room: &RoomKey) -> bool;

    /// What was missed of these rooms cannot be had any more.
    fn lost(&self, rooms: Vec<RoomKey>);

    /// A new epoch has begun: the store may have lost the sessions of clients
    /// here.
    fn new_epoch(&self);

    /// What clients here were sent cannot be put into one order with what
    /// comes: all of them begin anew. Resolves when nothing more is sent to
    /// them.
    async fn entangled(&self);

    /// Ends the connection that holds this socket under an older generation.
    fn fence(&self, namespace: &str, socket: &str, generation: u64);

    /// Another node asks, or this one; `RedisAdapter::answer` answers.
    fn asked(&self, question: Question, asked: Asked);
}

/// What nodes ask of each other.
#[derive(Debug, Clone)]
pub enum Asked {
    /// To send an event whose recipients acknowledge it.
    Acknowledge(Event),
    /// An operation, as the asking program wrote it.
    Operate(Bytes),
}
