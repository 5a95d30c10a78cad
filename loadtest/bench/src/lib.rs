//! What the programs of the benchmark share.
//!
//! `bench` (the orchestrator) starts one server and one `load` (the load client) at a time, tells both what to do over
//! their standard input, and reads the server's CPU time and memory from outside. `floor` is the reference server.
//! `leash` starts every child, so that none outlives the orchestrator.
//!
//! - [`control`]: the JSON lines that the programs exchange.
//! - [`message`]: the benchmark's one message, with its sequence number at a fixed place.
//! - [`frame`]: WebSocket frames, as far as the floor and the load client need them.
//! - [`process`]: CPU time and memory of a process, seen from outside.
//! - [`publisher`]: what every in-process publisher does: sequence numbers and the pace of the ticks.

pub mod control;
pub mod frame;
pub mod message;
pub mod process;
pub mod publisher;
