//! `load`: the load client. One thread holds all connections and counts what arrives on them.
//!
//! It opens WebSocket connections the way a stock client does (upgrade, Engine.IO open packet, CONNECT with a payload),
//! answers pings, and checks the sequence numbers of every message. To be cheap, and the same to every server, it reads
//! all sockets through one large buffer, never parses JSON and never allocates for a whole frame. Commands come by
//! standard input, answers go to standard output (see [`carillon_bench::control`]). For the gateway it is also the
//! backend: the threads of [`publish`] post to its HTTP API.
//!
//! - [`swarm`]: the event loop over all connections.
//! - [`client`]: one connection, from connect to messages.
//! - [`session`]: what a client remembers, to recover.
//! - [`sequence`]: lost, doubled and out of order.
//! - [`publish`] and [`http`]: the backend's side.

mod client;
mod http;
mod publish;
mod sequence;
mod session;
mod swarm;

use std::io::BufRead as _;

use anyhow::Result;

use crate::swarm::{Input, Swarm};

fn main() -> Result<()> {
    let (mut swarm, inbox) = Swarm::new()?;
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            inbox.send(Input::Line(line));
        }
        inbox.send(Input::End);
    });
    swarm.serve()
}
