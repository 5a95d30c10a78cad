//! `plan.toml` as types: what is measured, on which servers, against which targets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use carillon_bench::control::{HttpPublish, Run, Target as RunTarget};
use serde::{Deserialize, Serialize};

/// Length of every message, in bytes.
pub(crate) const MESSAGE_BYTES: usize = 200;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) settings: BTreeMap<String, Settings>,
    pub(crate) servers: Vec<Server>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) settle_seconds: f64,
    pub(crate) connect_per_second: f64,
    pub(crate) limit_minutes: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Files without which the server cannot run.
    #[serde(default)]
    pub(crate) requires: Vec<String>,
    pub(crate) publish: PublishBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PublishBy {
    /// Inside the server's own process, on command by its standard input.
    #[serde(rename = "self")]
    Itself,
    /// Through the gateway's HTTP API, from the load client's process.
    Http,
}

/// A server with its clients connected, and what is measured on them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) servers: Vec<String>,
    pub(crate) connections: u32,
    pub(crate) rooms: u32,
    #[serde(default)]
    pub(crate) capacity: Option<Capacity>,
    #[serde(default)]
    pub(crate) shapes: Vec<Shape>,
}

/// Names of the metrics of a cell's set-up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capacity {
    pub(crate) set_up: String,
    pub(crate) idle: String,
    pub(crate) after_burst: String,
    /// Messages of the burst to everybody.
    pub(crate) burst: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) metric: String,
    pub(crate) measure: Measure,
    /// Only on these servers; without it on all of the cell.
    #[serde(default)]
    pub(crate) servers: Option<Vec<String>>,
    pub(crate) ticks_per_second: f64,
    pub(crate) burst: u32,
    #[serde(default)]
    pub(crate) rest_micros: u64,
    pub(crate) http: Http,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Measure {
    /// CPU time of the server per delivery, at the shape's pace.
    Cpu,
    /// Deliveries per second, as fast as they come back.
    Throughput,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) batch: u32,
    #[serde(default = "one")]
    pub(crate) connections: u32,
    #[serde(default)]
    pub(crate) window: Option<u32>,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) title: String,
    pub(crate) metric: String,
    pub(crate) server: String,
    /// The value is divided by this server's.
    #[serde(default)]
    pub(crate) reference: Option<String>,
    #[serde(flatten)]
    pub(crate) bound: Bound,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost(f64),
    Above(f64),
}

impl Plan {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let plan: Self = toml::from_str(&text).with_context(|| format!("{} is no plan", path.display()))?;
        plan.check()?;
        Ok(plan)
    }

    pub(crate) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Every name that is used must be declared.
    fn check(&self) -> Result<()> {
        let metrics: BTreeSet<_> = self.metrics.iter().map(|metric| metric.name.as_str()).collect();
        let mut used: Vec<&str> = self.targets.iter().map(|target| target.metric.as_str()).collect();
        let mut servers: Vec<&str> = self.targets.iter().map(|target| target.server.as_str()).collect();
        servers.extend(self.targets.iter().filter_map(|target| target.reference.as_deref()));
        for cell in &self.cells {
            servers.extend(cell.servers.iter().map(String::as_str));
            for shape in &cell.shapes {
                used.push(&shape.metric);
                servers.extend(shape.servers.iter().flatten().map(String::as_str));
            }
            if let Some(Capacity { set_up, idle, after_burst, .. }) = &cell.capacity {
                used.extend([set_up.as_str(), idle, after_burst]);
            }
        }
        for metric in used {
            ensure!(metrics.contains(metric), "metric {metric:?} is used but not declared");
        }
        for server in servers {
            ensure!(self.server(server).is_some(), "server {server:?} is used but not declared");
        }
        Ok(())
    }
}

impl Shape {
    pub(crate) fn concerns(&self, server: &Server) -> bool {
        self.servers.as_ref().is_none_or(|names| names.contains(&server.name))
    }

    pub(crate) fn run(&self, cell: &Cell, seconds: f64) -> Run {
        Run {
            target: RunTarget::Rooms,
            rooms: cell.rooms,
            ticks_per_second: self.ticks_per_second,
            burst: self.burst,
            bytes: MESSAGE_BYTES,
            seconds,
        }
    }
}

impl Http {
    pub(crate) fn to(&self, address: &str) -> HttpPublish {
        let Self { batch, connections, window } = self.clone();
        HttpPublish { address: address.to_owned(), connections, batch, window }
    }
}
