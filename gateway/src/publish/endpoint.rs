//! The endpoints of the publish API: path, method and what a key must be
//! allowed to do.

use axum::http::Method;

use crate::config::Scope;

/// One endpoint; also a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Publish,
    Batch,
    Join,
    Leave,
    Disconnect,
    Revoke,
    Sockets,
    Count,
    Presence,
    OpenApi,
    /// Every path that is none of them.
    Unknown,
}

impl Endpoint {
    /// All that have a path: the router is made from this list, and the
    /// OpenAPI document is compared with it.
    pub(crate) const ROUTED: [Endpoint; 10] = [
        Endpoint::Publish,
        Endpoint::Batch,
        Endpoint::Join,
        Endpoint::Leave,
        Endpoint::Disconnect,
        Endpoint::Revoke,
        Endpoint::Sockets,
        Endpoint::Count,
        Endpoint::Presence,
        Endpoint::OpenApi,
    ];

    /// How many there are, [`Endpoint::Unknown`] included.
    pub(crate) const COUNT: usize = Self::ROUTED.len() + 1;

    pub(crate) fn path(self) -> &'static str {
        match self {
            Endpoint::Publish => "/v1/publish",
            Endpoint::Batch => "/v1/publish/batch",
            Endpoint::Join => "/v1/join",
            Endpoint::Leave => "/v1/leave",
            Endpoint::Disconnect => "/v1/disconnect",
            Endpoint::Revoke => "/v1/revoke",
            Endpoint::Sockets => "/v1/sockets",
            Endpoint::Count => "/v1/count",
            Endpoint::Presence => "/v1/presence",
            Endpoint::OpenApi => "/openapi.json",
            Endpoint::Unknown => "",
        }
    }

    pub(crate) fn of_path(path: &str) -> Self {
        Self::ROUTED.into_iter().find(|endpoint| endpoint.path() == path).unwrap_or(Endpoint::Unknown)
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Endpoint::Publish
            | Endpoint::Batch
            | Endpoint::Join
            | Endpoint::Leave
            | Endpoint::Disconnect
            | Endpoint::Revoke => Method::POST,
            Endpoint::Sockets | Endpoint::Count | Endpoint::Presence | Endpoint::OpenApi | Endpoint::Unknown => {
                Method::GET
            }
        }
    }

    /// Whether it brings messages.
    pub(crate) fn publishes(self) -> bool {
        matches!(self, Endpoint::Publish | Endpoint::Batch)
    }

    /// What the caller's key must be allowed; `None` asks for no key.
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            Endpoint::Publish | Endpoint::Batch => Some(Scope::Publish),
            Endpoint::Join | Endpoint::Leave | Endpoint::Disconnect | Endpoint::Revoke => Some(Scope::Manage),
            Endpoint::Sockets | Endpoint::Count | Endpoint::Presence => Some(Scope::Read),
            Endpoint::OpenApi | Endpoint::Unknown => None,
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Endpoint::Publish => "publish",
            Endpoint::Batch => "batch",
            Endpoint::Join => "join",
            Endpoint::Leave => "leave",
            Endpoint::Disconnect => "disconnect",
            Endpoint::Revoke => "revoke",
            Endpoint::Sockets => "sockets",
            Endpoint::Count => "count",
            Endpoint::Presence => "presence",
            Endpoint::OpenApi => "openapi",
            Endpoint::Unknown => "unknown",
        }
    }
}
