//! Which adapter, and what it is made with.

use std::sync::Arc;

use adapter_redis as redis;
use anyhow::{Context, Result};
use prometheus::Registry as MetricsRegistry;
use tokio_util::sync::CancellationToken;

use crate::adapter::memory::{LogLimits, MemoryAdapter, MemoryLimits, system_clock};
use crate::adapter::redis::{RedisAdapter, RedisMetrics};
use crate::adapter::{Adapter, Fleet, Node, Sets};
use crate::config::{Config, OnEpochChange};
use crate::fleet::Alone;
use crate::message::{Namespaces, NodeTag};
use crate::peers::{Directory, Registry, SingleNode};

/// The adapter of this node, and how it knows the others.
pub(super) struct Adapters {
    pub(super) adapter: Arc<dyn Adapter>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) fleet: Arc<dyn Fleet>,
    /// Where there may be other nodes.
    shared: Option<(Arc<RedisAdapter>, Arc<Registry>)>,
}

impl Adapters {
    /// Over Redis where one is configured; `advertise`: where other nodes reach
    /// this one; `metrics`: where it registers what it counts.
    pub(super) fn new(
        config: &Config,
        namespaces: &Namespaces,
        node: Arc<dyn Node>,
        internal: std::net::SocketAddr,
        metrics: &MetricsRegistry,
    ) -> Result<Self> {
        let tag = NodeTag::random();
        if !config.redis.is_used() {
            return Ok(Adapters {
                adapter: Arc::new(MemoryAdapter::new(memory_limits(config), node, system_clock())),
                directory: Arc::new(SingleNode::new(tag)),
                fleet: Arc::new(Alone::new(tag)),
                shared: None,
            });
        }
        let advertise = config.cluster.advertised(internal).context(
            "cluster.advertise must be set: other nodes cannot reach this one at the address of internal.listen",
        )?;
        let server = redis::server::RedisServer::new(address(config)?).context("redis cannot be used")?;
        let settings =
            redis::Settings { observer: Arc::new(RedisMetrics::register(metrics)?), ..settings(config, advertise) };
        let unready_after = config.redis.unready_after;
        let adapter = RedisAdapter::new(Arc::new(server), settings, tag, namespaces.clone(), node, unready_after);
        let adapter = Arc::new(adapter);
        let registry = Arc::new(Registry::new(tag, Arc::clone(&adapter)));
        tracing::info!(redis = %config.redis.shown(), prefix = config.redis.prefix, node = %tag, "a node of a cluster");
        Ok(Adapters {
            adapter: Arc::clone(&adapter) as _,
            directory: Arc::clone(&registry) as _,
            fleet: Arc::clone(&adapter) as _,
            shared: Some((adapter, registry)),
        })
    }

    /// Where conditions on sets are asked; `None` without Redis.
    pub(super) fn sets(&self) -> Option<Arc<dyn Sets>> {
        self.shared.as_ref().map(|(adapter, _)| Arc::clone(adapter) as _)
    }

    /// Resolves when this node may serve: at once when it is alone, otherwise
    /// when it is known to the others.
    ///
    /// # Errors
    /// When another node has its tag.
    pub(super) async fn joined(&self) -> Result<()> {
        let Some((adapter, registry)) = &self.shared else { return Ok(()) };
        anyhow::ensure!(adapter.register().await, "another node has this node's tag; started again, it takes another");
        while registry.learn().await.is_err() {}
        Ok(())
    }

    /// What it does besides, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        match self.shared {
            Some((_, registry)) => registry.run(stop).await,
            None => stop.cancelled().await,
        }
    }
}

fn address(config: &Config) -> Result<redis::server::Address> {
    let file = |path: &Option<std::path::PathBuf>| match path {
        Some(path) => std::fs::read(path).map(Some).with_context(|| path.display().to_string()),
        None => Ok(None),
    };
    let it = &config.redis;
    Ok(redis::server::Address {
        url: it.url.0.clone(),
        sentinels: it.sentinels.iter().map(|url| url.0.clone()).collect(),
        master: it.master.clone(),
        authorities: file(&it.ca_file)?,
        identity: file(&it.cert_file)?.zip(file(&it.key_file)?),
        connect_timeout: it.timeout,
        response_timeout: it.timeout,
    })
}

/// What follows from the intervals at which clients are kept track of.
fn intervals(config: &Config) -> redis::Settings {
    let intervals = redis::Intervals {
        window: config.recovery.window,
        refresh: config.recovery.refresh,
        ping_interval: config.engine.ping_interval,
        ping_timeout: config.engine.ping_timeout,
        max_entries_per_room: config.recovery.max_entries_per_room,
    };
    intervals.settings()
}

fn memory_limits(config: &Config) -> MemoryLimits {
    let redis::Settings { session_ttl, retention, max_slice_entries, .. } = intervals(config);
    MemoryLimits {
        log: LogLimits { retention, max_entries_per_room: max_slice_entries, max_bytes: config.recovery.max_bytes },
        session_ttl,
        max_sessions: config.recovery.max_sessions,
        idempotency: config.recovery.idempotency,
        max_idempotency_keys: config.recovery.max_idempotency_keys,
    }
}

fn settings(config: &Config, advertise: String) -> redis::Settings {
    let it = &config.redis;
    redis::Settings {
        prefix: it.prefix.clone(),
        advertise,
        format: if it.format == 1 { redis::Format::One } else { redis::Format::Two },
        max_sessions: config.recovery.max_sessions,
        idempotency: config.recovery.idempotency,
        patience: it.patience,
        inbox: it.inbox,
        wait_replicas: it.wait_replicas,
        linger: it.linger,
        readers: it.readers,
        anew_on_new_epoch: it.on_epoch_change == OnEpochChange::Reconnect,
        ..intervals(config)
    }
}
