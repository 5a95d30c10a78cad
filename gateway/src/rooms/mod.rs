//! Membership and local fan-out.
//!
//! Each worker owns a [`Shard`]: its sockets' part of every room. The adapter
//! hands a message to the [`Router`], once; the router puts it into the
//! [`mailbox`] of each worker that has members of its rooms; the worker's shard
//! offers it to each member's feed and queues it. So a message costs a worker
//! one wake-up however many recipients it has, and no other worker any. A
//! [`Canary`] takes the same way once a second. An operator may listen in
//! ([`Taps`]) and ask what is there; neither changes what members get.
//!
//! Invariants: all mailboxes receive messages in the order of the adapter;
//! a shard is touched by its own worker only; nothing here awaits.
//!
//! Limits: a mailbox is bounded in bytes. While one is full the router has no
//! space, and whoever feeds it waits (`carillon_fanout_waits_total`).

mod canary;
mod inspect;
pub mod mailbox;
mod metrics;
mod router;
mod shard;
mod taps;

pub use canary::{Canary, LATE};
pub use inspect::Census;
pub use metrics::{AgeMetric, RoomMetrics};
pub use router::{Command, CommandSender, Router, WorkerPort};
pub use shard::{Recipient, Shard};
pub use taps::{Listener, MAX_TAPS, Taps};
