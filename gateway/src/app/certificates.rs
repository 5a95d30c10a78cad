//! The TLS of the listeners.

use std::sync::Arc;

use anyhow::{Context, Result};
use prometheus::Registry;

use crate::config::Config;
use crate::tasks::Tasks;
use crate::tls::{Endpoint, Settings, Side, TlsMetrics};

/// Each `None` where the listener speaks plain HTTP.
pub(super) struct Certificates {
    pub(super) public: Option<Arc<Endpoint>>,
    pub(super) internal: Option<Arc<Endpoint>>,
}

impl Certificates {
    /// # Errors
    /// When files cannot be used.
    pub(super) fn load(config: &Config, registry: &Registry) -> Result<Self> {
        let metrics = TlsMetrics::register(registry)?;
        let load = |side: Side, settings: Option<Settings>| {
            let endpoint = settings.map(|settings| Endpoint::load(side, settings, metrics.clone()));
            let endpoint = endpoint.transpose().with_context(|| format!("{}.tls", side.label()))?;
            anyhow::Ok(endpoint.map(Arc::new))
        };
        // a node that is alone calls no other
        let peers =
            |settings: Settings| Settings { peers: settings.peers.filter(|_| config.redis.is_used()), ..settings };
        Ok(Certificates {
            public: load(Side::Public, config.public.tls.settings())?,
            internal: load(Side::Internal, config.internal.tls.settings().map(peers))?,
        })
    }

    /// Keeps them current.
    pub(super) fn run(&self, tasks: &Tasks) {
        for endpoint in [&self.public, &self.internal].into_iter().flatten() {
            let (endpoint, stop) = (Arc::clone(endpoint), tasks.stop().clone());
            tasks.spawn_vital("certificates", async move { endpoint.run(stop).await });
        }
    }
}
