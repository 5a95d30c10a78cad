//! The JSON lines that the programs of the benchmark exchange.
//!
//! A server prints one [`Ready`] line when it listens (the gateway's own log line has the same fields). A server that
//! publishes from inside its own process then reads one [`Run`] per line from standard input and answers each with
//! [`Done`]; it exits when its standard input ends. The load client reads [`LoadCommand`] and answers with [`LoadReply`].

use serde::{Deserialize, Serialize};

/// Whom a run publishes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The rooms `r{first_room}` and so on, one after the other.
    Rooms,
    /// The room that every client has joined.
    Everyone,
}

/// One run of messages at a steady pace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub target: Target,
    /// Number of the first room, for [`Target::Rooms`].
    pub first_room: u32,
    /// Number of rooms, for [`Target::Rooms`].
    pub rooms: u32,
    pub ticks_per_second: f64,
    /// Messages per tick. They go to one room after the other, so with one room it is a burst to that room.
    pub burst: u32,
    /// Length of one message in bytes, as text of the Socket.IO packet.
    pub bytes: usize,
    pub seconds: f64,
}

impl Run {
    /// Number of ticks in the whole run, at least one.
    pub fn ticks(&self) -> u64 {
        ((self.ticks_per_second * self.seconds).round() as u64).max(1)
    }

    /// When tick `n` is due, in seconds after the start.
    pub fn due(&self, tick: u64) -> f64 {
        tick as f64 / self.ticks_per_second
    }
}

/// How the load client publishes through the gateway's HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HttpPublish {
    /// Address of the internal listener.
    pub address: String,
    /// Keep-alive connections, one thread each; the rooms are shared out among them, so that each room keeps its order.
    pub connections: u32,
    /// Items per request: 1 sends `/v1/publish`, more sends `/v1/publish/batch`.
    pub batch: u32,
    /// Publish as fast as deliveries come back, with at most this many messages not yet delivered to everybody; without
    /// it at the pace of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
}

/// Printed by a server once it listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    pub message: String,
    /// Address that clients connect to.
    pub public: String,
    /// Address of the HTTP publish API, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<String>,
}

impl Ready {
    pub const MESSAGE: &str = "ready";

    pub fn new(public: std::net::SocketAddr) -> Self {
        Self { message: Self::MESSAGE.to_owned(), public: public.to_string(), internal: None }
    }
}

/// Printed by a server when a run is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    pub message: String,
    pub published: u64,
}

impl Done {
    pub const MESSAGE: &str = "done";

    pub fn new(published: u64) -> Self {
        Self { message: Self::MESSAGE.to_owned(), published }
    }
}

/// What the load client is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum LoadCommand {
    /// Open connections, to one address after the other; client `n` asks for room `r{n % rooms}`. Answered when all are
    /// connected.
    Connect { addresses: Vec<String>, connections: u32, rooms: u32, per_second: f64, memory: Memory },
    /// Close all connections without a closing packet, as a lost network does. Answered when it is done.
    Cut,
    /// Connect all clients again, each to where it was, with what it remembers. Answered when all are connected.
    Recover { per_second: f64 },
    /// Publish through the HTTP API. Answered when the run is over.
    Publish { run: Run, http: HttpPublish },
    /// How long to rest between two looks at the sockets, in microseconds; 0 looks at once.
    Rest { micros: u64 },
    /// Answered with the counters.
    Count,
}

/// What a client keeps of a connection, to recover from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    Nothing,
    /// Private id and offset, as a stock client keeps them.
    Session,
}

/// What the load client answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "lowercase")]
pub enum LoadReply {
    Connected {
        connections: u32,
        seconds: f64,
    },
    Cut,
    /// So many clients got their session again, the others a new one.
    Recovered {
        recovered: u32,
    },
    Published {
        messages: u64,
        seconds: f64,
    },
    Rested,
    Counted {
        counters: Counters,
    },
    Failed {
        error: String,
    },
}

/// Counters of the load client since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages with the expected sequence number, plus those out of order.
    pub received: u64,
    pub lost: u64,
    pub duplicate: u64,
    pub out_of_order: u64,
    /// Server frames that the client does not know.
    pub unexpected: u64,
    /// Connections closed by the server.
    pub closed: u64,
}

impl Counters {
    /// What was counted since an `earlier` reading.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received - earlier.received,
            // A message that comes late is no longer counted as lost.
            lost: self.lost.saturating_sub(earlier.lost),
            duplicate: self.duplicate - earlier.duplicate,
            out_of_order: self.out_of_order - earlier.out_of_order,
            unexpected: self.unexpected - earlier.unexpected,
            closed: self.closed - earlier.closed,
        }
    }

    /// What is wrong, or nothing.
    pub fn faults(&self) -> Option<String> {
        let named = [
            ("lost", self.lost),
            ("duplicate", self.duplicate),
            ("out of order", self.out_of_order),
            ("unexpected", self.unexpected),
            ("closed", self.closed),
        ];
        let faults: Vec<_> = named.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect();
        (!faults.is_empty()).then(|| faults.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_since_an_earlier_reading() {
        let earlier = Counters { received: 10, lost: 2, ..Counters::default() };
        let now = Counters { received: 15, lost: 1, out_of_order: 1, ..Counters::default() };
        assert_eq!(now.since(&earlier), Counters { received: 5, out_of_order: 1, ..Counters::default() });
    }
}
