//! Measures what it costs when all clients of a cell are cut and come back at once, and whether that grows with messages
//! to rooms that are not theirs.
//!
//! Once to warm up, then in turn: while only the clients' own rooms had messages, and while other rooms had many.
//! All of them are logged while the clients are away; nothing is published while they come back, so that no traffic
//! has a share in the CPU time. After that each client gets one more message, which shows a hole at the end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carillon_bench::control::{Counters, Run, Target};

use crate::measure::{Value, push_cpu};
use crate::plan::{Cell, Http, MESSAGE_BYTES, Part, Recovery, Settings};
use crate::servers::Cpu;
use crate::session::{Return, Session};

const BATCH: u32 = 50;
const BATCHES_PER_SECOND: f64 = 100.0;
/// Rooms of nobody that the messages elsewhere go to.
const ROOMS_ELSEWHERE: u32 = 200;

pub(crate) fn measure(
    cell: &Cell,
    names: &Recovery,
    session: &mut Session,
    settings: &Settings,
    values: &mut Vec<Value>,
) -> Result<()> {
    ensure!(
        cell.connections == cell.rooms && cell.rooms.is_multiple_of(BATCH),
        "a room for each client, in whole batches"
    );
    let own = |rounds: u32| messages(0, cell.rooms, rounds * cell.rooms);
    let elsewhere = messages(cell.rooms, ROOMS_ELSEWHERE, names.elsewhere);
    let http = Http { batch: BATCH, connections: 1, window: None };
    // A client that never got a message has no offset.
    session.run(&own(1), &http, 1)?;

    let mut pass = |others: Option<&Run>| pass(session, settings, &own(names.missed), others, &own(1), &http);
    pass(None).context("warm-up")?;
    let (mut quiet, mut busy) = (Passes::default(), Passes::default());
    for _ in 0..names.times {
        quiet.add(pass(None).context("others quiet")?);
        busy.add(pass(Some(&elsewhere)).context("others busy")?);
    }
    quiet.push(values, &names.quiet, cell.connections);
    busy.push(values, &names.busy, cell.connections);
    values.push((names.ratio.clone(), busy.cpu.total().as_secs_f64() / quiet.cpu.total().as_secs_f64()));
    Ok(())
}

/// Cuts all clients, publishes what they miss (and to `others`), and lets them come back; `last` shows who has a hole.
fn pass(
    session: &mut Session,
    settings: &Settings,
    missed: &Run,
    others: Option<&Run>,
    last: &Run,
    http: &Http,
) -> Result<(Return, Counters)> {
    let settle = || std::thread::sleep(Duration::from_secs_f64(settings.settle_seconds));
    let before = session.cut()?;
    settle();
    let missed = session.publish(missed, http)?;
    if let Some(run) = others {
        session.publish(run, http)?;
    }
    settle();
    let back = session.recover(&before, missed)?;
    let last = session.publish(last, http)?;
    Ok((back, session.received(&before, missed + last)?))
}

/// Passes under the same conditions, together.
#[derive(Debug, Default)]
struct Passes {
    count: u32,
    cpu: Cpu,
    recovered: u32,
    lost: u64,
    duplicate: u64,
}

impl Passes {
    fn add(&mut self, (back, counters): (Return, Counters)) {
        self.count += 1;
        self.cpu = self.cpu.plus(back.cpu);
        self.recovered += back.recovered;
        self.lost += counters.lost;
        self.duplicate += counters.duplicate;
    }

    /// CPU time for each client that came back; the share of the clients that recovered; what went wrong.
    fn push(&self, values: &mut Vec<Value>, metric: &str, connections: u32) {
        let clients = f64::from(connections) * f64::from(self.count);
        push_cpu(values, metric, self.cpu, clients);
        values.push((Part::Recovered.of(metric), f64::from(self.recovered) / clients * 100.0));
        values.push((Part::Lost.of(metric), self.lost as f64));
        values.push((Part::Duplicate.of(metric), self.duplicate as f64));
    }
}

/// `count` messages to one room after the other.
fn messages(first_room: u32, rooms: u32, count: u32) -> Run {
    Run {
        target: Target::Rooms,
        first_room,
        rooms,
        ticks_per_second: BATCHES_PER_SECOND,
        burst: BATCH,
        bytes: MESSAGE_BYTES,
        seconds: f64::from(count.div_ceil(BATCH)) / BATCHES_PER_SECOND,
    }
}
