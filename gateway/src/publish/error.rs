//! Why a request is refused. What becomes of it on the wire is in `answer`.

use crate::adapter::{PublishError, Unavailable};
use crate::config::Scope;

/// A refused request, or a refused item of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the body is not valid json: {0}")]
    NotJson(String),
    /// A field has the wrong type, or an unknown one was given.
    #[error("{0}")]
    Shape(String),
    /// A field's value is refused.
    #[error("field `{field}`: {reason}")]
    Field { field: String, reason: String },
    #[error("header `{header}`: {reason}")]
    Header { header: &'static str, reason: &'static str },
    #[error("the query is refused: {0}")]
    Query(String),
    #[error("this node has as many live tails as it may have")]
    TooManyTails,
    #[error("the body was cut off")]
    Incomplete,
    #[error("namespace `{0}` is not configured")]
    UnknownNamespace(String),
    #[error("namespace `{0}` has no recovery: who is present is not known there")]
    NoRecovery(String),
    #[error("an api key is required: `Authorization: Bearer <key>`")]
    NoKey,
    #[error("the api key is not valid")]
    BadKey,
    #[error("the api key lacks the scope `{}`", scope_name(*.0))]
    LacksScope(Scope),
    #[error("no such endpoint")]
    NotFound,
    #[error("the endpoint does not take this method")]
    MethodNotAllowed,
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body must be sent as `Content-Type: application/json`")]
    ContentType,
    #[error("the body must not be compressed")]
    ContentEncoding,
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl RequestError {
    /// A value that is refused, by the path of its field.
    pub(crate) fn field(field: impl Into<String>, reason: impl ToString) -> Self {
        RequestError::Field { field: field.into(), reason: reason.to_string() }
    }
}

/// As the configuration spells it.
fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Publish => "publish",
        Scope::Manage => "manage",
        Scope::Read => "read",
        Scope::Admin => "admin",
    }
}
