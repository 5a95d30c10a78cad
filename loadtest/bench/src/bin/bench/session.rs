//! One server and one load client, both running: the steps that a measurement is made of.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use carillon_bench::control::{Counters, Done, LoadCommand, LoadReply, Ready, Run};
use carillon_bench::process;

use crate::child::Leashed;
use crate::plan::{Cell, Http, PublishBy, Server};

const START_TIMEOUT: Duration = Duration::from_secs(15);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Added to the time that a step should take.
const GRACE: Duration = Duration::from_secs(45);
/// How long after the last publish the last delivery may come.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
const COUNT_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Session {
    // Dropped in this order: the clients go first.
    load: Leashed,
    server: Leashed,
    publish: PublishBy,
    ready: Ready,
    connections: u64,
    /// Deliveries that the runs so far should have made.
    due: u64,
}

/// What one run did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran {
    pub(crate) deliveries: u64,
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
}

/// Why a server cannot be measured, if so.
pub(crate) fn missing(server: &Server) -> Option<String> {
    let program = server.command.first().map_or("", String::as_str);
    let found = if program.contains('/') {
        Path::new(program).exists()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    };
    if !found {
        return Some(format!("{program} is not there"));
    }
    let lacking = server.requires.iter().find(|path| !Path::new(path).exists())?;
    Some(format!("{lacking} is not there"))
}

impl Session {
    /// Starts server and load client; nothing is connected yet.
    pub(crate) fn start(server: &Server) -> Result<Self> {
        let publish = server.publish;
        let mut process = Leashed::start(&server.name, &server.command, &server.environment)?;
        let ready = process.receive(START_TIMEOUT, |value| {
            let ready: Ready = serde_json::from_value(value).ok()?;
            (ready.message == Ready::MESSAGE).then_some(ready)
        })?;
        let program = std::env::current_exe()?.with_file_name("load");
        let program = program.to_str().context("the path of the load client is not text")?.to_owned();
        let load = Leashed::start("load", &[program], &BTreeMap::new())?;
        Ok(Self { load, server: process, publish, ready, connections: 0, due: 0 })
    }

    /// Connects all clients of a cell; returns the CPU time it cost the server.
    pub(crate) fn connect(&mut self, cell: &Cell, per_second: f64) -> Result<Duration> {
        let before = self.cpu()?;
        let expected = Duration::from_secs_f64(f64::from(cell.connections) / per_second);
        self.load.send(&LoadCommand::Connect {
            address: self.ready.public.clone(),
            connections: cell.connections,
            rooms: cell.rooms,
            per_second,
        })?;
        match self.reply(expected + GRACE)? {
            LoadReply::Connected { connections, .. } => self.connections += u64::from(connections),
            other => bail!("clients were not connected: {other:?}"),
        }
        Ok(self.cpu()? - before)
    }

    pub(crate) fn rest(&mut self, micros: u64) -> Result<()> {
        self.load.send(&LoadCommand::Rest { micros })?;
        match self.reply(ANSWER_TIMEOUT)? {
            LoadReply::Rested => Ok(()),
            other => bail!("the load client does not rest: {other:?}"),
        }
    }

    /// Publishes a run to `members` per message and waits for the last delivery.
    pub(crate) fn run(&mut self, run: &Run, http: &Http, members: u64) -> Result<Ran> {
        let before = self.count()?.received;
        let cpu = self.cpu()?;
        let start = Instant::now();
        let published = self.publish(run, http)?;
        self.due += published * members;
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        let mut counters = self.count()?;
        while counters.received < self.due && Instant::now() < deadline {
            std::thread::sleep(COUNT_PAUSE);
            counters = self.count()?;
        }
        if let Some(faults) = counters.faults() {
            bail!("deliveries went wrong: {faults}");
        }
        if counters.received != self.due {
            bail!("{} deliveries instead of {}", counters.received, self.due);
        }
        Ok(Ran { deliveries: counters.received - before, cpu: self.cpu()? - cpu, elapsed: start.elapsed() })
    }

    fn publish(&mut self, run: &Run, http: &Http) -> Result<u64> {
        let timeout = Duration::from_secs_f64(run.seconds) + GRACE;
        match self.publish {
            PublishBy::Itself => {
                self.server.send(run)?;
                let done: Done = self.server.receive(timeout, |value| {
                    let done: Done = serde_json::from_value(value).ok()?;
                    (done.message == Done::MESSAGE).then_some(done)
                })?;
                Ok(done.published)
            }
            PublishBy::Http => {
                let address = self.ready.internal.as_deref().context("the server has no publish API")?;
                self.load.send(&LoadCommand::Publish { run: run.clone(), http: http.to(address) })?;
                match self.reply(timeout)? {
                    LoadReply::Published { messages, .. } => Ok(messages),
                    other => bail!("publishing failed: {other:?}"),
                }
            }
        }
    }

    /// Resident memory of the server, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        process::resident_bytes(self.server.id())
    }

    fn cpu(&self) -> Result<Duration> {
        process::cpu_time(self.server.id())
    }

    fn count(&mut self) -> Result<Counters> {
        self.load.send(&LoadCommand::Count)?;
        match self.reply(ANSWER_TIMEOUT)? {
            LoadReply::Counted { counters } => Ok(counters),
            other => bail!("the load client does not count: {other:?}"),
        }
    }

    fn reply(&mut self, timeout: Duration) -> Result<LoadReply> {
        self.load.receive(timeout, |value| serde_json::from_value(value).ok())
    }
}
