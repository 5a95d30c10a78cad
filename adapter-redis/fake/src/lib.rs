//! A Redis server in memory for model tests. It runs real Lua scripts, and nothing in it happens by itself.
//!
//! A test holds a [`FakeRedis`], gives connections of it to what it tests, and decides what happens next:
//!
//! - [`FakeRedis::connect`] gives a connection for commands. What is sent on it waits until the test lets the server
//!   execute it ([`FakeRedis::execute_next`]); the reply waits until the test lets it arrive ([`FakeRedis::reply_next`]). A
//!   connection that breaks in between has done what nobody was told.
//! - [`FakeRedis::subscriber`] gives a connection that subscribes, whose pushes arrive one by one
//!   ([`FakeRedis::push_next`]), and whose output is bounded.
//! - [`FakeRedis::pending`] lists all that can happen, for dice to choose from.
//! - The clock stands still unless set ([`FakeRedis::set_time_ms`]).
//! - Faults: broken and silent connections, restarts, failover with lost writes, eviction, flushes, lost scripts, full memory.
//!
//! There is no task, no runtime, no wall clock and no randomness in it: the same calls give the same results.
//!
//! # What is as in Redis 7.0
//!
//! Replies, errors with their codes, and types of the commands in `commands/`, and scripts with their protected globals,
//! conversions and error messages; `tests/comparison.rs` runs them on a real server beside.
//!
//! # What is not
//!
//! One database, protocol version 2, no transactions, no streams, no blocking commands, no patterns of channels, no ACL. The
//! order of a set is the order of insertion, `HSCAN` and `SSCAN` answer all at once. Scripts lack `cjson`, `cmsgpack`,
//! `loadstring`, `xpcall`, `rawset` and random numbers: they are nonexistent globals, or nil.

mod commands;
mod connection;
mod core;
mod db;
mod faults;
mod glob;
mod links;
mod number;
mod replica;
mod reply;
mod script;
mod server;
mod sorted;
mod subscriber;

#[cfg(feature = "aio")]
mod aio;

pub use crate::{
    connection::{Connection, PendingReply},
    core::{Memory, Role},
    links::{ConnectionId, Step},
    server::FakeRedis,
    subscriber::{Push, SubscriberReceiver, SubscriberSender},
};
