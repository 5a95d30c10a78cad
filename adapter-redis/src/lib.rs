//! Room bus, recovery log and session store on Redis.
//!
//! How does it work? [`RedisAdapter`] serves one node; nodes that use the same
//! Redis and prefix are one deployment.
//!
//! - *Publish* ([`publish`]): one script gives a batch of events their ids,
//!   appends each to the logs of its rooms and publishes it, so that the order
//!   of ids, of logs and of channels is one.
//! - *Room bus* ([`bus`]): a node subscribes to the channels of rooms that
//!   have members on it. What comes is delivered in order; what may have been
//!   missed comes from the log.
//! - *Recovery log* ([`log`]): a list for each room and slice of time, which
//!   expires whole.
//! - *Sessions* ([`sessions`]): written by their owner, taken over by whoever
//!   the client comes back to.
//! - *Notices* ([`notices`]): what is to be told of sessions, kept until it
//!   was, whichever node does it.
//! - *Revocations* ([`revocations`]): tokens that are valid no more.
//! - *Link* ([`shard`]): one Redis, its epoch, and what to believe of it.
//! - *Nodes* ([`nodes`]): who is there, and how much each carries; what they
//!   take from together ([`budget`]).
//! - *Canary* ([`canary`]): how late this node hears what is published.
//!
//! Here are no types of the gateway: it is called through [`Host`], and counts
//! through [`Observer`].
//!
//! # A program that publishes
//!
//! It has no clients of its own, so that its [`Host`] does nothing. What it
//! publishes reaches the clients of all gateways with the same Redis and prefix,
//! and those that come back within the window.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use adapter_redis::server::{Address, RedisServer};
//! use adapter_redis::{
//!     Asked, Event, Host, Id, Intervals, Item, Place, Question, RedisAdapter, Room, RoomKey, Tag,
//! };
//! use async_trait::async_trait;
//! use tokio_util::sync::CancellationToken;
//!
//! struct NoClients;
//!
//! #[async_trait]
//! impl Host for NoClients {
//!     type Message = ();
//!     fn message(&self, _: Option<Place>, _: Event) -> Option<()> {
//!         None
//!     }
//!     fn deliver(&self, _: ()) {}
//!     fn announce(&self) {}
//!     fn position(&self, _: Id) {}
//!     fn has_space(&self) -> bool {
//!         true
//!     }
//!     async fn space(&self) {}
//!     fn is_wanted(&self, _: &RoomKey) -> bool {
//!         false
//!     }
//!     fn lost(&self, _: Vec<RoomKey>) {}
//!     fn new_epoch(&self) {}
//!     async fn entangled(&self) {}
//!     fn fence(&self, _: &str, _: &str, _: u64) {}
//!     fn asked(&self, _: Question, _: Asked) {}
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Arc::new(RedisServer::new(Address::new("redis://127.0.0.1:6379/0"))?);
//!     // the gateways' `[redis]`, `[recovery]` and `[engine]`, if they are not the defaults
//!     let settings = Intervals::default().settings();
//!     let adapter = RedisAdapter::new(server, settings, Tag::random(), Arc::new(NoClients));
//!     let stop = CancellationToken::new();
//!     for (_, task) in adapter.publishing_tasks(&stop) {
//!         tokio::spawn(task);
//!     }
//!
//!     let event = Event {
//!         namespace: "/".into(),
//!         rooms: vec![Room::User("ann".into())],
//!         // the event's name and its arguments, without the brackets
//!         elements: r#""notice","your order is on its way""#.into(),
//!         ..Event::default()
//!     };
//!     let item = Item { event, logged: true, idempotency: None };
//!     for outcome in adapter.publish(vec![item]).await {
//!         // in the log of the room, or why not
//!         println!("{:?}", outcome?.place);
//!     }
//!     stop.cancel();
//!     Ok(())
//! }
//! ```
//!
//! A program with clients runs [`RedisAdapter::tasks`], which make it a node
//! that the others count and ask. It subscribes to their rooms
//! ([`RedisAdapter::subscribe`]), hands what comes to them ([`Host::deliver`]),
//! and keeps their sessions; `adapter/redis/` of the gateway is one.
//!
//! # With socketioxide
//!
//! With the feature `socketioxide`, the module of that name is an adapter for
//! socketioxide servers, which makes such a server one more node.
//!
//! # In Redis
//!
//! Keys, all under the hash tag `{<prefix>}`: `meta` (with what each publisher
//! sent last), `nodes`, `loads`, `budget`, `secret`, `due`,
//! `c:<ns>,<room>|<epoch>|<slice>` (logs), `s:<pid>` (sessions),
//! `i:<ns>,<room>` (sessions of a room), `w:<ns>,<room>` (watched ones by
//! user), `notices`, `t:<entry>` (what they say), `v:<ns>,<tokens>`
//! (revocations), `k:<key>` (idempotency). Channels: `c:<ns>,<room>`, `all`,
//! `n:<tag>`.
//!
//! Limits: one Redis, or one master of a Sentinel group, version 6.2 or later;
//! a message to several rooms reaches every node.

mod adapter;
mod budget;
mod bus;
mod canary;
mod event;
mod host;
mod intervals;
mod log;
#[cfg(feature = "mutations")]
pub mod mutation;
#[cfg(not(feature = "mutations"))]
mod mutation;
mod names;
mod nodes;
mod notices;
mod observer;
mod place;
mod publish;
mod questions;
mod record;
mod reply;
mod revocations;
mod script;
pub mod server;
mod sessions;
mod settings;
mod shard;
#[cfg(feature = "socketioxide")]
pub mod socketioxide;

pub use adapter::RedisAdapter;
pub use budget::Taken;
pub use event::{BadEvent, Event};
pub use host::{Asked, Host};
pub use intervals::Intervals;
pub use log::{Part, ReadError, ReadLimit};
pub use names::{Names, Room, RoomKey};
pub use nodes::{Listed, Load, Tag, TagTaken};
pub use notices::{Change, Notice, NoticeId, NoticeOf, Reason};
pub use observer::{Command, Fault, LinkKind, Observer, Script};
pub use place::{BadPlace, Epoch, Id, Place};
pub use publish::{Accepted, Idempotency, Item, PublishError};
pub use questions::Answers;
pub use record::{BadRecord, Format, Question, Record};
pub use revocations::{Revocation, Revoked, TokenFacts};
pub use sessions::{
    Action, Attached, Attention, Claimant, Membership, NewSession, Present, PresentSocket, Refresh, RoomChange,
    Session, SessionKey, TakeOverError, Waiting, Watch, WriteError,
};
pub use settings::Settings;
pub use shard::Epochs;

/// Redis cannot be reached now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("redis is unavailable")]
pub struct Unavailable;
