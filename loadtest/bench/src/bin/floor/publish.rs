//! Runs of messages, and heartbeats.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use carillon_bench::control::{Run, Target};
use carillon_bench::publisher::Numbering;
use carillon_bench::{frame, message};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::hub::{Full, Hub};

/// Engine.IO's default ping interval, in seconds.
const PING_INTERVAL: usize = 25;

/// Publishes runs from inside the process.
#[derive(Debug)]
pub(crate) struct Publisher {
    hub: Rc<Hub>,
    numbering: Numbering,
}

impl Publisher {
    pub(crate) fn new(hub: Rc<Hub>) -> Self {
        Self { hub, numbering: Numbering::default() }
    }

    /// Publishes a whole run; returns the number of messages.
    pub(crate) async fn run(&mut self, run: &Run) -> Result<u64> {
        let pad = message::pad(run.bytes);
        let start = Instant::now();
        for tick in 0..run.ticks() {
            sleep_until(start + Duration::from_secs_f64(run.due(tick))).await;
            self.tick(run, &pad).map_err(|Full| anyhow!("a socket is full, and the floor has no queue"))?;
        }
        Ok(run.ticks() * u64::from(run.burst))
    }

    fn tick(&mut self, run: &Run, pad: &str) -> Result<(), Full> {
        let joined = run.target == Target::Everyone || run.rooms == 1;
        let mut frames = Vec::new();
        let mut room = String::new();
        for _ in 0..run.burst {
            let due = self.numbering.next(run);
            frame::push_server_text(&mut frames, message::packet(due.event(), due.sequence, pad).as_bytes());
            room = due.room_name();
            if !joined {
                self.hub.broadcast(&room, &frames)?;
                frames.clear();
            }
        }
        if joined { self.hub.broadcast(&room, &frames) } else { Ok(()) }
    }
}

/// Pings every connection once per interval, a part of them each second.
pub(crate) async fn heartbeats(hub: Rc<Hub>) {
    let mut ping = Vec::new();
    frame::push_server_text(&mut ping, b"2");
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for second in 0usize.. {
        seconds.tick().await;
        if let Err(Full) = hub.broadcast_part(second % PING_INTERVAL, PING_INTERVAL, &ping) {
            eprintln!("floor: a socket is full at a heartbeat");
        }
    }
}
