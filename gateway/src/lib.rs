//! Carillon: a realtime notification gateway for stock Socket.IO clients.
//!
//! [`app`] puts the rooms together; ARCHITECTURE.md follows one publish and one
//! reconnect through them. Dependencies point one way: what comes in goes
//! `transport -> session -> {rooms, recovery, policy} -> message -> protocol`,
//! what goes out `publish -> adapter -> rooms -> session`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod adapter;
pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod fetch;
pub mod fleet;
pub mod message;
pub mod notices;
pub mod ops;
pub mod peers;
pub mod policy;
pub mod protocol;
pub mod publish;
pub mod recovery;
pub mod rooms;
pub mod session;
pub mod tasks;
pub mod tls;
pub mod trace;
pub mod transport;
pub mod upstream;
