//! Configuration: a TOML file and environment variables become validated types.
//!
//! Every other room takes its own struct from here and reads nothing else: what a room may be told is one struct whose
//! doc comments state units and defaults. [`load()`] is called once, by `serve` and `check-config`, with a [`Source`]
//! (the process environment in `main`, a map in tests). `reference` makes `docs/config.md` from the doc comments.
//!
//! Invariants: a [`Config`] that [`load()`] returned has passed `validate`; `Config::default()` is the documented default
//! and valid; nothing secret is in it (API keys only as hashes), so it may be printed.
//!
//! Failures: unknown keys, wrong types and values that make no sense are all reported at once in a [`ConfigError`],
//! each with its key path, where it was set, and the nearest known key. Nothing falls back silently.

mod auth;
mod client_limits;
mod cluster;
mod condition;
mod error;
mod history;
mod internal;
mod limits;
mod load;
mod namespace;
mod presence;
mod public;
mod recovery;
mod redis;
mod reference;
mod rule;
mod source;
mod tls;
mod tracing;
mod units;
mod upstream;
mod validate;
mod warnings;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    auth::{Algorithm, Auth, AuthMethod, KeyKind, NotATokenSource, OnRecovery, TokenSource},
    client_limits::ClientLimits,
    cluster::Cluster,
    condition::{Condition, ConditionError},
    error::{ConfigError, Problem, Problems},
    history::History,
    internal::{ApiKey, Internal, KeyHash, Log, LogFormat, Scope},
    limits::{Drain, Fanout, Limits},
    load::{load, load_internal, parse},
    namespace::{Emit, JoinRule, Namespace, OnConnect},
    presence::Presence,
    public::{AllowedOrigin, Engine, Legacy, NotAnOrigin, Public, Transport},
    recovery::Recovery,
    redis::{OnEpochChange, Redis, Secret},
    reference::markdown,
    rule::{AckWith, EventAction, EventRule, RelayTarget, RuleError},
    source::{PREFIX, ProcessEnvironment, Source},
    tls::{InternalTls, PublicTls, TlsVersion},
    tracing::Tracing,
    upstream::{NamespaceUpstream, Upstream},
};

/// The whole configuration of one gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Worker threads; 0 = one per core. Default: `0`.
    pub workers: usize,
    /// Whether the demo page is served at `/` of the public listener, with rules for `/` that let it join, leave and
    /// relay to rooms when no namespace is configured. Default: `false`.
    pub demo: bool,
    /// The listener that clients connect to.
    pub public: Public,
    /// Heartbeat and size limits of Engine.IO connections.
    pub engine: Engine,
    /// Admission and per-connection limits.
    pub limits: Limits,
    /// The listener of the publish API, metrics and health.
    pub internal: Internal,
    /// How nodes reach each other.
    pub cluster: Cluster,
    /// Where several nodes meet.
    pub redis: Redis,
    /// What is kept for clients that come back.
    pub recovery: Recovery,
    /// The backend that client events are sent to.
    pub upstream: Upstream,
    /// How messages reach the workers.
    pub fanout: Fanout,
    /// How the node ends on SIGTERM.
    pub drain: Drain,
    /// What is logged.
    pub log: Log,
    /// What is traced, and who is told.
    pub tracing: Tracing,
    /// The namespaces; without any there is `/` with recovery and no client events. Default: `[]`.
    pub namespaces: Vec<Namespace>,
}

impl Config {
    /// The namespaces to serve: the configured ones, or else the demo's or a quiet `/`.
    #[must_use]
    pub fn effective_namespaces(&self) -> Cow<'_, [Namespace]> {
        match (self.namespaces.is_empty(), self.demo) {
            (false, _) => Cow::Borrowed(&self.namespaces),
            (true, true) => Cow::Owned(vec![Namespace::demo()]),
            (true, false) => Cow::Owned(vec![Namespace::quiet("/")]),
        }
    }
}
