//! A namespace, as the session knows it.

use std::sync::Arc;

use crate::adapter::Watch;
use crate::message::NamespaceRef;
use crate::policy::{NamespacePolicy, RateLimits};
use crate::upstream::Upstream;

use super::entry::Entry;

/// A namespace and its rules, compiled.
pub struct NamespaceRules {
    pub namespace: NamespaceRef,
    pub policy: NamespacePolicy,
    pub entry: Entry,
    pub rates: RateLimits,
    /// What is told of its sessions.
    pub watch: Watch,
    /// Where its events go that no node can answer.
    pub backend: Option<Arc<Upstream>>,
    /// The backend is told of each new socket.
    pub tells_connects: bool,
}
