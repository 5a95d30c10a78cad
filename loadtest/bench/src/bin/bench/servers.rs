//! What is measured: the processes of one server, and the Redis that they share.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_bench::control::{Done, Ready, Run};
use carillon_bench::process;

use crate::child::Leashed;
use crate::plan::Server;
use crate::redis::{self, Redis};

const START_TIMEOUT: Duration = Duration::from_secs(15);

/// Running nodes. Of several, the first publishes and the others have the clients; one alone does both.
#[derive(Debug)]
pub(crate) struct Servers {
    // Dropped in this order: the nodes go before their Redis.
    nodes: Vec<Node>,
    redis: Option<Redis>,
}

#[derive(Debug)]
struct Node {
    process: Leashed,
    ready: Ready,
}

/// CPU time by who used it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// The first node.
    pub(crate) publisher: Duration,
    /// All other nodes together.
    pub(crate) receivers: Duration,
    pub(crate) redis: Duration,
}

/// Why a server cannot be measured, if so.
pub(crate) fn missing(server: &Server) -> Option<String> {
    let program = server.command.first().map_or("", String::as_str);
    let redis = server.redis.as_ref().map(|_| redis::PROGRAM);
    if let Some(program) = [Some(program), redis].into_iter().flatten().find(|program| !is_there(program)) {
        return Some(format!("{program} is not there"));
    }
    let lacking = server.requires.iter().find(|path| !Path::new(path).exists())?;
    Some(format!("{lacking} is not there"))
}

fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

impl Servers {
    /// Starts Redis, if it needs one, then node after node.
    pub(crate) fn start(server: &Server) -> Result<Self> {
        let mut environment = server.environment.clone();
        let redis = match &server.redis {
            Some(variable) => {
                let redis = Redis::start()?;
                environment.insert(variable.clone(), redis.url());
                Some(redis)
            }
            None => None,
        };
        let nodes = (0..server.nodes).map(|_| Node::start(server, &environment)).collect::<Result<_>>()?;
        Ok(Self { nodes, redis })
    }

    fn publisher(&self) -> Result<&Node> {
        self.nodes.first().context("a server without nodes")
    }

    /// Addresses that clients connect to.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let receivers = if self.nodes.len() > 1 { &self.nodes[1..] } else { &self.nodes[..] };
        receivers.iter().map(|node| node.ready.public.clone()).collect()
    }

    /// Address of the publish API.
    pub(crate) fn publish_address(&self) -> Result<&str> {
        self.publisher()?.ready.internal.as_deref().context("the server has no publish API")
    }

    /// Lets the publishing node publish a run from inside its own process; returns the number of messages.
    pub(crate) fn publish(&mut self, run: &Run, timeout: Duration) -> Result<u64> {
        let node = self.nodes.first_mut().context("a server without nodes")?;
        node.process.send(run)?;
        let done: Done = node.process.receive(timeout, |value| {
            let done: Done = serde_json::from_value(value).ok()?;
            (done.message == Done::MESSAGE).then_some(done)
        })?;
        Ok(done.published)
    }

    /// Resident memory of the publishing node, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        process::resident_bytes(self.publisher()?.process.id())
    }

    /// CPU time since the processes started.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut cpu = Cpu { publisher: process::cpu_time(self.publisher()?.process.id())?, ..Cpu::default() };
        for node in &self.nodes[1..] {
            cpu.receivers += process::cpu_time(node.process.id())?;
        }
        if let Some(redis) = &self.redis {
            cpu.redis = process::cpu_time(redis.id())?;
        }
        Ok(cpu)
    }
}

impl Node {
    fn start(server: &Server, environment: &BTreeMap<String, String>) -> Result<Self> {
        let mut process = Leashed::start(&server.name, &server.command, environment)?;
        let ready = process.receive(START_TIMEOUT, |value| {
            let ready: Ready = serde_json::from_value(value).ok()?;
            (ready.message == Ready::MESSAGE).then_some(ready)
        })?;
        Ok(Self { process, ready })
    }
}

impl Cpu {
    pub(crate) fn total(self) -> Duration {
        self.publisher + self.receivers + self.redis
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        self.combine(other, Duration::saturating_add)
    }

    /// What was used since an `earlier` reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        self.combine(earlier, Duration::saturating_sub)
    }

    /// The same over a time `factor` times as long.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        self.combine(self, |value, _| value.mul_f64(factor))
    }

    fn combine(self, other: Self, with: impl Fn(Duration, Duration) -> Duration) -> Self {
        Self {
            publisher: with(self.publisher, other.publisher),
            receivers: with(self.receivers, other.receivers),
            redis: with(self.redis, other.redis),
        }
    }
}
