//! From the configuration to backends.

use std::sync::{Arc, Mutex};

use http::Uri;
use tokio::runtime::Handle;

use crate::config;
use crate::fetch::{Client, Trust};
use crate::message::NamespaceId;
use crate::tasks::Tasks;

use super::cache::Cache;
use super::error::SetupError;
use super::gate::Gate;
use super::metrics::UpstreamMetrics;
use super::{MAX_VERDICTS, Upstream};

/// The backend of each namespace. Namespaces with the same settings share
/// theirs: its places, its circuit and its connections.
#[derive(Clone, Default)]
pub struct Backends(Vec<Option<Arc<Upstream>>>);

impl Backends {
    /// The backends of `namespaces`, in the order of their indexes. Their
    /// connections live on `runtime`, and end with `tasks`.
    ///
    /// # Errors
    /// When a URL, a secret or the authorities to trust cannot be used.
    pub fn new(
        settings: &config::Upstream,
        namespaces: &[config::Namespace],
        runtime: &Handle,
        tasks: &Tasks,
        metrics: &UpstreamMetrics,
    ) -> Result<Self, SetupError> {
        let mut made: Vec<(config::Upstream, Arc<Upstream>)> = Vec::new();
        let mut backends = Vec::with_capacity(namespaces.len());
        for namespace in namespaces {
            let own = settings.of_namespace(&namespace.upstream);
            if !own.is_used() {
                backends.push(None);
                continue;
            }
            let same = made.iter().find(|(settings, _)| *settings == own).map(|(_, upstream)| Arc::clone(upstream));
            let upstream = match same {
                Some(upstream) => upstream,
                None => {
                    let upstream = Arc::new(Upstream::new(&own, runtime.clone(), tasks.clone(), metrics.clone())?);
                    made.push((own, Arc::clone(&upstream)));
                    upstream
                }
            };
            backends.push(Some(upstream));
        }
        Ok(Backends(backends))
    }

    /// `None`: this namespace has none.
    #[must_use]
    pub fn of(&self, namespace: NamespaceId) -> Option<&Arc<Upstream>> {
        self.0.get(usize::from(namespace.0))?.as_ref()
    }
}

impl Upstream {
    /// The backend of these settings, with a URL.
    ///
    /// # Errors
    /// When the URL, the secret or the authorities to trust cannot be used.
    pub fn new(
        settings: &config::Upstream,
        runtime: Handle,
        tasks: Tasks,
        metrics: UpstreamMetrics,
    ) -> Result<Self, SetupError> {
        let url: Uri = settings.url.parse().map_err(|source| SetupError::Url { url: settings.url.clone(), source })?;
        let name = format!("{}{}", url.authority().map_or("", |authority| authority.as_str()), url.path());
        let trust = Trust::for_url(&settings.url, settings.ca_file.as_deref());
        let gate = Gate::new(
            name.clone(),
            settings.max_concurrent,
            settings.max_waiting,
            settings.failures,
            settings.open_for,
            metrics.clone(),
        );
        Ok(Upstream {
            url,
            name,
            secret: settings.read_secret()?.into(),
            timeout: settings.timeout,
            max_answer: settings.max_answer,
            client: Client::new(runtime, tasks, &trust, settings.connect_timeout)?,
            gate,
            verdicts: Mutex::new(Cache::new(MAX_VERDICTS)),
            metrics,
        })
    }
}
