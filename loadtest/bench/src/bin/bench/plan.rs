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
    pub(crate) tables: Vec<Table>,
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
    /// Processes. Of several, the first publishes and the others have the clients.
    #[serde(default = "one")]
    pub(crate) nodes: u32,
    /// The environment variable that tells it where Redis is; with it, a Redis is started and measured too.
    #[serde(default)]
    pub(crate) redis: Option<String>,
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
    pub(crate) recovery: Option<Recovery>,
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

/// All clients are cut and come back at once: once while only their own rooms had messages, once while others had too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recovery {
    /// Name of the metric when other rooms are quiet.
    pub(crate) quiet: String,
    /// Name of the metric when other rooms are busy.
    pub(crate) busy: String,
    /// Name of the metric that divides the second by the first.
    pub(crate) ratio: String,
    /// How often each of the two is done.
    pub(crate) times: u32,
    /// Messages that each client misses.
    pub(crate) missed: u32,
    /// Messages to rooms of nobody while the clients are away.
    pub(crate) elsewhere: u32,
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
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// CPU time of the server per delivery, at the shape's pace.
    Cpu,
    /// The same without what as much time costs when nothing is published.
    CpuBeyondIdle,
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
    /// Name of the table it is a row of.
    pub(crate) table: String,
}

/// Metrics that are reported together, a column for each server that has any of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// Server whose values the others are divided by.
    #[serde(default)]
    pub(crate) reference: Option<String>,
}

/// What a metric of several processes consists of; measured and reported beside it, as `METRIC/PART`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Publisher,
    Receivers,
    Redis,
    Recovered,
    Lost,
    Duplicate,
}

impl Part {
    pub(crate) const ALL: [Self; 6] =
        [Self::Publisher, Self::Receivers, Self::Redis, Self::Recovered, Self::Lost, Self::Duplicate];

    fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Receivers => "receivers",
            Self::Redis => "redis",
            Self::Recovered => "recovered",
            Self::Lost => "lost",
            Self::Duplicate => "duplicate",
        }
    }

    /// What the report calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Publisher => "of it: node that publishes",
            Self::Receivers => "of it: nodes that deliver",
            Self::Redis => "of it: Redis",
            Self::Recovered => "clients recovered, %",
            Self::Lost => "messages lost",
            Self::Duplicate => "messages doubled",
        }
    }

    /// Name of this part's values.
    pub(crate) fn of(self, metric: &str) -> String {
        format!("{metric}/{}", self.name())
    }
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
        let parts = self.metrics.iter().flat_map(|metric| Part::ALL.map(|part| part.of(&metric.name)));
        let metrics: BTreeSet<_> = self.metrics.iter().map(|metric| metric.name.clone()).chain(parts).collect();
        let mut used: Vec<&str> = self.targets.iter().map(|target| target.metric.as_str()).collect();
        let mut servers: Vec<&str> = self.targets.iter().map(|target| target.server.as_str()).collect();
        servers.extend(self.targets.iter().filter_map(|target| target.reference.as_deref()));
        servers.extend(self.tables.iter().filter_map(|table| table.reference.as_deref()));
        for cell in &self.cells {
            servers.extend(cell.servers.iter().map(String::as_str));
            for shape in &cell.shapes {
                used.push(&shape.metric);
                servers.extend(shape.servers.iter().flatten().map(String::as_str));
            }
            if let Some(Capacity { set_up, idle, after_burst, .. }) = &cell.capacity {
                used.extend([set_up.as_str(), idle, after_burst]);
            }
            if let Some(Recovery { quiet, busy, ratio, .. }) = &cell.recovery {
                used.extend([quiet.as_str(), busy, ratio]);
            }
        }
        for metric in used {
            ensure!(metrics.contains(metric), "metric {metric:?} is used but not declared");
        }
        for server in servers {
            ensure!(self.server(server).is_some(), "server {server:?} is used but not declared");
        }
        for metric in &self.metrics {
            let declared = self.tables.iter().any(|table| table.name == metric.table);
            ensure!(declared, "table {:?} is used but not declared", metric.table);
        }
        for server in &self.servers {
            ensure!(server.nodes > 0, "server {:?} has no nodes", server.name);
            let alone = server.nodes == 1 || server.redis.is_some();
            ensure!(alone, "the nodes of server {:?} have no Redis to meet at", server.name);
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
            first_room: 0,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string("plan.toml")?;
        ensure!(text.contains(from), "{from:?} is not in the plan");
        toml::from_str::<Plan>(&text.replace(from, to))?.check()
    }

    #[test]
    fn the_plan_is_consistent() {
        changed("", "").unwrap();
    }

    #[test]
    fn names_that_are_not_declared_are_refused() {
        for (from, to, error) in [
            ("metric = \"fanout\"", "metric = \"fan\"", "metric \"fan\" is used but not declared"),
            ("growth_single/redis", "growth_single/server", "metric \"growth_single/server\" is used but not declared"),
            ("table = \"two nodes\"", "table = \"two\"", "table \"two\" is used but not declared"),
            ("reference = \"floor\"", "reference = \"ground\"", "server \"ground\" is used but not declared"),
        ] {
            assert_eq!(changed(from, to).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn several_nodes_need_a_redis() {
        let error = changed("nodes = 4\nredis = \"CARILLON_REDIS__URL\"", "nodes = 4").unwrap_err();
        assert_eq!(error.to_string(), "the nodes of server \"carillon-redis-4\" have no Redis to meet at");
        let error = changed("nodes = 4", "nodes = 0").unwrap_err();
        assert_eq!(error.to_string(), "server \"carillon-redis-4\" has no nodes");
    }
}
