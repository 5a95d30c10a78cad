//! The namespaces, with what decides about their clients.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::adapter::Watch;
use crate::auth::{AuthMetrics, HandshakeNeeds, KeyServer, TokenSources, UnixSeconds, Verifier};
use crate::config::{Auth, AuthMethod, Config, Namespace};
use crate::fetch::{Client, Trust};
use crate::message::{NamespaceRef, Namespaces};
use crate::notices::Told;
use crate::policy::{NamespacePolicy, RateLimits};
use crate::session::{Entry, Gate, NamespaceRules, TokenSignals};
use crate::tasks::Tasks;
use crate::upstream::{Backends, UpstreamMetrics};

/// A set of keys is fetched in this time.
const KEYS_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest set of keys, in bytes.
const MAX_KEYS: usize = 1 << 20;

/// Makes the rules of namespaces; what they need of the network lives on this
/// runtime, as these tasks.
pub(super) struct Maker {
    runtime: Handle,
    tasks: Tasks,
    auth: AuthMetrics,
    backends: Backends,
}

impl Maker {
    pub(super) fn new(config: &Config, tasks: &Tasks, registry: &Registry) -> Result<Self> {
        let (runtime, tasks) = (Handle::current(), tasks.clone());
        let metrics = UpstreamMetrics::register(registry)?;
        let backends = Backends::new(&config.upstream, &config.effective_namespaces(), &runtime, &tasks, &metrics)
            .context("upstream")?;
        Ok(Maker { runtime, tasks, auth: AuthMetrics::register(registry)?, backends })
    }

    /// To whom what happens to sessions is told; `None` when nobody is.
    pub(super) fn told(&self, configured: &[Namespace], namespaces: &Namespaces) -> Option<Vec<Told>> {
        let told = |(config, namespace): (&Namespace, &NamespaceRef)| Told {
            namespace: namespace.clone(),
            backend: self.backends.of(namespace.id).filter(|_| config.upstream.disconnect).cloned(),
            presence: config.presence.clone(),
        };
        let told: Vec<Told> = configured.iter().zip(namespaces.iter()).map(told).collect();
        told.iter().any(|told| told.backend.is_some() || told.presence.is_on()).then_some(told)
    }

    pub(super) fn rules(&self, configured: &[Namespace], namespaces: &Namespaces) -> Result<Vec<NamespaceRules>> {
        let rules = |(config, namespace): (&Namespace, &NamespaceRef)| {
            self.rules_of(config, namespace).with_context(|| format!("namespace {}", config.name))
        };
        configured.iter().zip(namespaces.iter()).map(rules).collect()
    }

    fn rules_of(&self, config: &Namespace, namespace: &NamespaceRef) -> Result<NamespaceRules> {
        let backend = self.backends.of(namespace.id).cloned();
        let gate = match config.auth.method {
            AuthMethod::None => Gate::Open,
            AuthMethod::Jwt => Gate::Token(self.verifier(&config.auth)?),
            AuthMethod::Upstream => Gate::Backend(backend.clone().context("auth.method \"upstream\" needs a backend")?),
        };
        Ok(NamespaceRules {
            namespace: namespace.clone(),
            policy: NamespacePolicy::compile(config)?,
            entry: entry(&config.auth, gate, self.auth.clone()),
            rates: RateLimits::new(&config.limits),
            watch: Watch { gone: backend.is_some() && config.upstream.disconnect, presence: config.presence.is_on() },
            tells_connects: config.upstream.connect,
            backend,
        })
    }

    fn verifier(&self, auth: &Auth) -> Result<Arc<Verifier>> {
        let mut unusable = None;
        let server = |url: &str| match self.key_server(url) {
            Ok(server) => server,
            Err(error) => {
                unusable = Some(error);
                Arc::new(NoServer) as Arc<dyn KeyServer>
            }
        };
        let verifier = Verifier::new(auth, server, Arc::new(UnixSeconds::now), self.auth.clone()).context("auth")?;
        if let Some(error) = unusable {
            return Err(error);
        }
        let verifier = Arc::new(verifier);
        let (running, stop) = (Arc::clone(&verifier), self.tasks.stop().clone());
        self.tasks.spawn_vital("token keys", async move { running.run(stop).await });
        Ok(verifier)
    }

    fn key_server(&self, url: &str) -> Result<Arc<dyn KeyServer>> {
        let trust = Trust::for_url(url, None);
        let client = Client::new(self.runtime.clone(), self.tasks.clone(), &trust, KEYS_TIMEOUT)?;
        Ok(Arc::new(Keys { client, url: url.parse()? }))
    }
}

fn entry(auth: &Auth, gate: Gate, metrics: AuthMetrics) -> Entry {
    let event = |name: &str| (!name.is_empty() && auth.method != AuthMethod::None).then(|| name.to_owned());
    Entry {
        gate,
        sources: TokenSources::new(&auth.token),
        signals: TokenSignals {
            warn_before: auth.warn_before,
            warn: event(&auth.warn_event),
            expired: event(&auth.expired_event),
            revoked: event(&auth.revoked_event),
            refresh: event(&auth.refresh_event),
        },
        leeway: auth.leeway,
        on_recovery: auth.on_recovery,
        user_room: auth.user_room,
        failure_event: event(&auth.failure_event),
        metrics,
    }
}

/// What of a handshake some namespace asks for.
pub(super) fn needs(namespaces: &[Namespace]) -> HandshakeNeeds {
    let asking = namespaces.iter().filter(|namespace| namespace.auth.method != AuthMethod::None);
    let needs = asking.map(|namespace| TokenSources::new(&namespace.auth.token).needs_handshake());
    needs.fold(HandshakeNeeds::default(), HandshakeNeeds::and)
}

/// A set of keys behind a URL.
struct Keys {
    client: Client,
    url: http::Uri,
}

#[async_trait]
impl KeyServer for Keys {
    async fn fetch(&self) -> Result<Bytes, String> {
        let request = Request::get(self.url.clone()).header(http::header::ACCEPT, "application/json");
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + KEYS_TIMEOUT;
        let answer = self.client.send(request, deadline, MAX_KEYS).await.map_err(|error| error.to_string())?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status => Err(format!("status {status}")),
        }
    }
}

/// Stands in while the error about the real one is on its way.
struct NoServer;

#[async_trait]
impl KeyServer for NoServer {
    async fn fetch(&self) -> Result<Bytes, String> {
        Err("there is none".to_owned())
    }
}
