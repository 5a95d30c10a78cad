//! One server and one load client, both running: the steps that a measurement is made of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use carillon_bench::control::{Counters, LoadCommand, LoadReply, Memory, Run};

use crate::child::Leashed;
use crate::plan::{Cell, Http, PublishBy, Server};
use crate::servers::{Cpu, Servers};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pace of clients that all come back at once.
const AT_ONCE_PER_SECOND: f64 = 1e6;
/// Added to the time that a step should take.
const GRACE: Duration = Duration::from_secs(45);
/// How long after the last publish, or the last delivery before it, a delivery may come.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
const COUNT_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Session {
    // Dropped in this order: the clients go first.
    load: Leashed,
    servers: Servers,
    publish: PublishBy,
    /// Deliveries that the runs so far should have made.
    due: u64,
}

/// What one run did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran {
    pub(crate) deliveries: u64,
    pub(crate) cpu: Cpu,
    pub(crate) elapsed: Duration,
}

/// What came of all clients coming back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Return {
    pub(crate) cpu: Cpu,
    /// Clients that got their session again.
    pub(crate) recovered: u32,
}

impl Session {
    /// Starts server and load client; nothing is connected yet.
    pub(crate) fn start(server: &Server) -> Result<Self> {
        let servers = Servers::start(server)?;
        let program = std::env::current_exe()?.with_file_name("load");
        let program = program.to_str().context("the path of the load client is not text")?.to_owned();
        let load = Leashed::start("load", &[program], &BTreeMap::new())?;
        Ok(Self { load, servers, publish: server.publish, due: 0 })
    }

    /// Connects all clients of a cell; returns the CPU time it cost the server.
    pub(crate) fn connect(&mut self, cell: &Cell, per_second: f64) -> Result<Duration> {
        let before = self.servers.cpu()?;
        let expected = Duration::from_secs_f64(f64::from(cell.connections) / per_second);
        self.load.send(&LoadCommand::Connect {
            addresses: self.servers.addresses(),
            connections: cell.connections,
            rooms: cell.rooms,
            per_second,
            memory: if cell.recovery.is_some() { Memory::Session } else { Memory::Nothing },
        })?;
        match self.reply(expected + GRACE)? {
            LoadReply::Connected { .. } => Ok(self.servers.cpu()?.since(before).total()),
            other => bail!("clients were not connected: {other:?}"),
        }
    }

    pub(crate) fn rest(&mut self, micros: u64) -> Result<()> {
        self.load.send(&LoadCommand::Rest { micros })?;
        match self.reply(ANSWER_TIMEOUT)? {
            LoadReply::Rested => Ok(()),
            other => bail!("the load client does not rest: {other:?}"),
        }
    }

    /// What `time` costs while nothing is published.
    pub(crate) fn idle(&mut self, time: Duration) -> Result<Ran> {
        let (cpu, start) = (self.servers.cpu()?, Instant::now());
        std::thread::sleep(time);
        Ok(Ran { deliveries: 0, cpu: self.servers.cpu()?.since(cpu), elapsed: start.elapsed() })
    }

    /// Publishes a run to `members` per message and waits for the last delivery.
    pub(crate) fn run(&mut self, run: &Run, http: &Http, members: u64) -> Result<Ran> {
        let before = self.count()?.received;
        let cpu = self.servers.cpu()?;
        let start = Instant::now();
        let published = self.publish(run, http)?;
        self.due += published * members;
        let counters = self.delivered(self.due)?;
        if let Some(faults) = counters.faults() {
            bail!("deliveries went wrong: {faults}");
        }
        if counters.received != self.due {
            bail!("{} deliveries instead of {}", counters.received, self.due);
        }
        let deliveries = counters.received - before;
        Ok(Ran { deliveries, cpu: self.servers.cpu()?.since(cpu), elapsed: start.elapsed() })
    }

    /// Waits until `due` messages were received, or none comes any more.
    fn delivered(&mut self, due: u64) -> Result<Counters> {
        let mut counters = self.count()?;
        let mut deadline = Instant::now() + DELIVERY_TIMEOUT;
        while counters.received < due && Instant::now() < deadline {
            std::thread::sleep(COUNT_PAUSE);
            let now = self.count()?;
            if now.received > counters.received {
                deadline = Instant::now() + DELIVERY_TIMEOUT;
            }
            counters = now;
        }
        Ok(counters)
    }

    /// Publishes a run; returns the number of messages.
    pub(crate) fn publish(&mut self, run: &Run, http: &Http) -> Result<u64> {
        let timeout = Duration::from_secs_f64(run.seconds) + GRACE;
        match self.publish {
            PublishBy::Itself => self.servers.publish(run, timeout),
            PublishBy::Http => {
                let http = http.to(self.servers.publish_address()?);
                self.load.send(&LoadCommand::Publish { run: run.clone(), http })?;
                match self.reply(timeout)? {
                    LoadReply::Published { messages, .. } => Ok(messages),
                    other => bail!("publishing failed: {other:?}"),
                }
            }
        }
    }

    /// Cuts all clients; returns what they had counted until then.
    pub(crate) fn cut(&mut self) -> Result<Counters> {
        let before = self.count()?;
        self.load.send(&LoadCommand::Cut)?;
        match self.reply(ANSWER_TIMEOUT)? {
            LoadReply::Cut => Ok(before),
            other => bail!("the clients were not cut: {other:?}"),
        }
    }

    /// Lets all clients come back at once and waits until they have received `due` messages in all since `before`.
    pub(crate) fn recover(&mut self, before: &Counters, due: u64) -> Result<Return> {
        let cpu = self.servers.cpu()?;
        self.load.send(&LoadCommand::Recover { per_second: AT_ONCE_PER_SECOND })?;
        let recovered = match self.reply(GRACE)? {
            LoadReply::Recovered { recovered } => recovered,
            other => bail!("the clients did not come back: {other:?}"),
        };
        self.received(before, due)?;
        Ok(Return { cpu: self.servers.cpu()?.since(cpu), recovered })
    }

    /// Waits until the clients have received `due` messages in all since `before`; returns what they counted since.
    pub(crate) fn received(&mut self, before: &Counters, due: u64) -> Result<Counters> {
        let counters = self.delivered(before.received + due)?;
        self.due = counters.received;
        Ok(counters.since(before))
    }

    /// Resident memory of the server, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.servers.memory()
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
