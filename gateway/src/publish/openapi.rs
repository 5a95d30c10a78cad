//! The OpenAPI document, and the shapes of answers for it: answers are written
//! as bytes (see `answer`), requests are described where they are read.

use axum::body::Bytes;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

use crate::ops;

use super::{events, presence, revoke, sockets};

/// The document as JSON.
pub(super) fn document() -> Bytes {
    Document::openapi().to_json().expect("the document consists of plain JSON types").into()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Carillon internal API",
        description = "Publish events to connected clients, and manage and list their sockets. \
            Served on the internal listener. A key is required once `internal.api_keys` are configured.",
    ),
    paths(
        events::publish,
        events::publish_batch,
        sockets::join,
        sockets::leave,
        sockets::disconnect,
        revoke::revoke,
        sockets::list,
        sockets::count,
        presence::presence,
        describe,
        ops::healthz,
        ops::readyz,
        ops::metrics_text,
    ),
    tags(
        (name = "publish", description = "Events to clients; keys with the scope `publish`"),
        (name = "sockets", description = "Rooms and connections; keys with the scope `manage` to change, `read` to look"),
        (name = "operations", description = "For probes, scrapers and tools; no key"),
    ),
    modifiers(&Security),
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key whose SHA-256 is in `internal.api_keys`, with the scope that the operation names"))
            .build();
        document.components.get_or_insert_default().add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    responses((status = 200, description = "The OpenAPI document", body = Object)),
)]
#[expect(dead_code, reason = "carries the description of an endpoint that `call` answers itself")]
fn describe() {}

/// Who is meant: everyone in the namespace, or the sockets that are in any of the rooms, of any of the users, or
/// listed. At most 100 names in all.
#[derive(ToSchema)]
#[schema(examples(json!({"rooms": ["news"]}), json!("all")))]
#[serde(untagged)]
#[expect(dead_code, reason = "describes a type that is read by hand")]
pub(super) enum Target {
    Everyone(Everyone),
    Listed(Listed),
}

/// Everyone in the namespace.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a type that is read by hand")]
pub(super) enum Everyone {
    All,
}

/// Rooms, users and socket ids; at least one, at most 100 in all.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes a type that borrows")]
pub(super) struct Listed {
    #[schema(required = false, max_items = 100)]
    rooms: Vec<String>,
    #[schema(required = false, max_items = 100)]
    users: Vec<String>,
    #[schema(required = false, max_items = 100)]
    sockets: Vec<String>,
}

/// Who is left out; at most 100 names in all.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes a type that borrows")]
pub(super) struct Except {
    #[schema(required = false, max_items = 100)]
    rooms: Vec<String>,
    #[schema(required = false, max_items = 100)]
    sockets: Vec<String>,
}

/// The outcome of a publish.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) enum PublishAnswer {
    Published(Published),
    Acknowledged(Acknowledged),
}

/// The event was accepted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct Published {
    /// Its place in the log; absent if it is not logged.
    #[schema(required = false)]
    id: String,
    /// Whether it is in the log, so that clients who missed it get it when they come back. Not so for volatile events
    /// and namespaces without recovery.
    logged: bool,
    /// The idempotency key was seen before: nothing was sent now, the id is the first publish's.
    #[schema(required = false)]
    duplicate: bool,
}

/// What the recipients answered.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct Acknowledged {
    /// Always false.
    logged: bool,
    /// Sockets that were sent the event.
    expected: usize,
    acks: Vec<SocketAnswer>,
    /// Every expected socket answered in time.
    complete: bool,
}

/// One socket's acknowledgement.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct SocketAnswer {
    /// The socket's id.
    socket: String,
    /// Its arguments; binary data as `{"$binary":"<base64>"}`.
    #[schema(value_type = Vec<Value>)]
    args: Vec<serde_json::Value>,
}

/// The outcome of each item, in the items' order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct BatchAnswer {
    results: Vec<ItemAnswer>,
}

/// The outcome of one item: `status` is what a single publish would have been answered with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct ItemAnswer {
    status: u16,
    /// See `Published`; with status 200.
    #[schema(required = false)]
    id: String,
    /// See `Published`; with status 200.
    #[schema(required = false)]
    logged: bool,
    /// See `Published`; with status 200.
    #[schema(required = false)]
    duplicate: bool,
    /// With any other status.
    #[schema(required = false)]
    error: Failure,
}

/// How many sockets a change concerned.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct ChangeAnswer {
    sockets: usize,
    /// Present and true where a node did not answer in time: there may have been more.
    #[schema(required = false)]
    partial: bool,
}

/// The sockets asked for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct ListAnswer {
    sockets: Vec<SocketEntry>,
    /// A node did not answer in time: there may be more.
    partial: bool,
}

/// One socket.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct SocketEntry {
    id: String,
    rooms: Vec<String>,
    user: Option<String>,
}

/// How many sockets there are.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct CountAnswer {
    count: usize,
    /// A node did not answer in time: there may be more.
    partial: bool,
}

/// Why a request was refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct ErrorAnswer {
    error: Failure,
}

/// What went wrong.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer that is written as bytes")]
pub(super) struct Failure {
    /// One of `invalid_request`, `unauthorized`, `forbidden`, `unknown_namespace`, `no_recovery`, `not_found`,
    /// `method_not_allowed`, `idempotency_conflict`, `payload_too_large`, `unsupported_media_type`, `unavailable`, `outcome_unknown`.
    code: String,
    /// For people; names the field.
    message: String,
}

/// Which sockets are asked for; without room and user all of the namespace.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a type that is read elsewhere")]
pub(super) struct SelectionParams {
    /// A configured namespace; `/` by default.
    #[param(required = false, default = "/")]
    namespace: String,
    /// Those in this room; not together with `user`.
    #[param(required = false)]
    room: String,
    /// Those of this user; not together with `room`.
    #[param(required = false)]
    user: String,
}

/// Refusals that any authorized endpoint may answer with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are written as bytes")]
pub(super) enum Refusals {
    /// `invalid_request`: not valid JSON, an unknown field, or a value that is refused; the message names it.
    #[response(status = 400)]
    Invalid(#[to_schema] ErrorAnswer),
    /// `unauthorized`: no key, or not a valid one.
    #[response(status = 401)]
    Unauthorized(#[to_schema] ErrorAnswer),
    /// `forbidden`: the key lacks the scope.
    #[response(status = 403)]
    Forbidden(#[to_schema] ErrorAnswer),
    /// `unknown_namespace`: the namespace is not configured.
    #[response(status = 404)]
    UnknownNamespace(#[to_schema] ErrorAnswer),
    /// `unavailable`: nothing was done; repeat after `Retry-After` seconds.
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorAnswer),
}

/// Refusals where sessions are asked for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are written as bytes")]
pub(super) enum RecoveryRefusals {
    /// `no_recovery`: the namespace keeps no sessions.
    #[response(status = 422)]
    NoRecovery(#[to_schema] ErrorAnswer),
}

/// Refusals of bodies.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are written as bytes")]
pub(super) enum BodyRefusals {
    /// `payload_too_large`: the body is larger than `internal.max_body`.
    #[response(status = 413)]
    TooLarge(#[to_schema] ErrorAnswer),
    /// `unsupported_media_type`: not `application/json`, or compressed.
    #[response(status = 415)]
    MediaType(#[to_schema] ErrorAnswer),
}
