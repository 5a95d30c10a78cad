//! Measures one cell on one server.

use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_bench::control::{Run, Target};

use crate::plan::{Capacity, Cell, Http, MESSAGE_BYTES, Measure, Part, Server, Settings, Shape};
use crate::recovery;
use crate::servers::Cpu;
use crate::session::Session;

/// A measured value, by the name of its metric.
pub(crate) type Value = (String, f64);

/// Starts the server, connects the cell's clients, runs its shapes. What was measured before a failure is kept.
pub(crate) fn cell(cell: &Cell, server: &Server, settings: &Settings, values: &mut Vec<Value>) -> Result<()> {
    let mut session = Session::start(server)?;
    match &cell.capacity {
        Some(names) => capacity(cell, names, &mut session, settings, values)?,
        None => drop(session.connect(cell, settings.connect_per_second)?),
    }
    for shape in cell.shapes.iter().filter(|shape| shape.concerns(server)) {
        self::shape(cell, shape, &mut session, settings, values).with_context(|| shape.metric.clone())?;
    }
    if let Some(names) = &cell.recovery {
        recovery::measure(cell, names, &mut session, settings, values)?;
    }
    Ok(())
}

fn shape(
    cell: &Cell,
    shape: &Shape,
    session: &mut Session,
    settings: &Settings,
    values: &mut Vec<Value>,
) -> Result<()> {
    let members = u64::from(cell.connections / cell.rooms.max(1));
    session.rest(shape.rest_micros)?;
    session.run(&shape.run(cell, settings.warm_up_seconds), &shape.http, members)?;
    let ran = session.run(&shape.run(cell, settings.seconds), &shape.http, members)?;
    session.rest(0)?;
    let deliveries = ran.deliveries as f64;
    match shape.measure {
        Measure::Cpu => push_cpu(values, &shape.metric, ran.cpu, deliveries),
        Measure::CpuBeyondIdle => {
            let idle = session.idle(Duration::from_secs_f64(settings.seconds))?;
            let idle = idle.cpu.scaled(ran.elapsed.as_secs_f64() / idle.elapsed.as_secs_f64());
            push_cpu(values, &shape.metric, ran.cpu.since(idle), deliveries);
        }
        Measure::Throughput => values.push((shape.metric.clone(), deliveries / ran.elapsed.as_secs_f64())),
    }
    Ok(())
}

/// CPU time for each of `count`, in microseconds; with its parts, where there are several processes.
pub(crate) fn push_cpu(values: &mut Vec<Value>, metric: &str, cpu: Cpu, count: f64) {
    values.push((metric.to_owned(), micros(cpu.total()) / count));
    let parts = [(Part::Publisher, cpu.publisher), (Part::Receivers, cpu.receivers), (Part::Redis, cpu.redis)];
    if parts[1..].iter().any(|(_, time)| !time.is_zero()) {
        values.extend(parts.map(|(part, time)| (part.of(metric), micros(time) / count)));
    }
}

/// CPU time of set-up, memory at rest, memory after a burst to everybody; each per connection.
fn capacity(
    cell: &Cell,
    names: &Capacity,
    session: &mut Session,
    settings: &Settings,
    values: &mut Vec<Value>,
) -> Result<()> {
    let connections = f64::from(cell.connections);
    let settle = || std::thread::sleep(Duration::from_secs_f64(settings.settle_seconds));
    let kib_since = |start: u64, session: &Session| -> Result<f64> {
        Ok((session.memory()? as f64 - start as f64) / 1024.0 / connections)
    };
    settle();
    let empty = session.memory()?;
    let cpu = session.connect(cell, settings.connect_per_second)?;
    values.push((names.set_up.clone(), micros(cpu) / connections));
    settle();
    values.push((names.idle.clone(), kib_since(empty, session)?));
    let burst = Run {
        target: Target::Everyone,
        first_room: 0,
        rooms: 1,
        ticks_per_second: 1.0,
        burst: names.burst,
        bytes: MESSAGE_BYTES,
        seconds: 1.0,
    };
    let http = Http { batch: names.burst, connections: 1, window: None };
    session.run(&burst, &http, u64::from(cell.connections)).with_context(|| names.after_burst.clone())?;
    settle();
    values.push((names.after_burst.clone(), kib_since(empty, session)?));
    Ok(())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
