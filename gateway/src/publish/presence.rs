//! `/v1/presence`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::Query;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::adapter::{Present, PresentSocket, PresentState};

use super::PublishState;
use super::draft::namespace;
use super::error::RequestError;
use super::openapi::{RecoveryRefusals, Refusals};
use super::request::root;
use super::sockets::room;

/// Sockets in one answer, at most and unless told.
const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

/// Whose presence is asked for; without room and user that of all of the namespace.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PresenceParams {
    /// A configured namespace with recovery; `/` by default.
    #[serde(default = "root")]
    #[param(value_type = String, required = false, default = "/")]
    namespace: Cow<'static, str>,
    /// Who is in this room; not together with `user`.
    #[param(value_type = String, required = false)]
    room: Option<String>,
    /// Whether this user is there, in a namespace where sockets join the room of their user; not together with `room`.
    #[param(value_type = String, required = false)]
    user: Option<String>,
    /// Most sockets that are listed.
    #[serde(default = "default_limit")]
    #[param(required = false, default = 100, minimum = 1, maximum = 1000)]
    limit: usize,
}

fn default_limit() -> usize {
    DEFAULT_LIMIT
}

/// Who is there, on all nodes: whoever is connected, and whoever may still come back.
#[derive(Serialize, ToSchema)]
pub(super) struct PresenceAnswer {
    /// How many sockets there are, listed or not.
    total: usize,
    /// At most `limit` of them, in no order.
    #[schema(max_items = 1000)]
    sockets: Vec<PresenceEntry>,
}

/// One socket that is there.
#[derive(Serialize, ToSchema)]
pub(super) struct PresenceEntry {
    id: String,
    /// Who it was authenticated as.
    #[schema(value_type = Option<String>)]
    user: Option<Arc<str>>,
    state: PresenceState,
}

/// Whether a socket's client is connected.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PresenceState {
    Connected,
    /// Not now: it may come back until its session expires.
    Away,
}

/// Who is in a room, and whether a user is there.
#[utoipa::path(
    get,
    path = "/v1/presence",
    tag = "sockets",
    params(PresenceParams),
    responses((status = 200, description = "Found", body = PresenceAnswer), Refusals, RecoveryRefusals),
    security(("api_key" = ["read"])),
)]
pub(super) async fn presence(state: &PublishState, uri: &Uri) -> Result<Vec<u8>, RequestError> {
    let Query(params) =
        Query::<PresenceParams>::try_from_uri(uri).map_err(|rejection| RequestError::Query(rejection.body_text()))?;
    let namespace = namespace(&state.namespaces, &params.namespace)?;
    let room = room(params.room.as_deref(), params.user.as_deref())?;
    if !(1..=MAX_LIMIT).contains(&params.limit) {
        return Err(RequestError::field("limit", format!("must be 1 to {MAX_LIMIT}")));
    }
    if !namespace.recovery {
        return Err(RequestError::NoRecovery(namespace.name.to_string()));
    }
    let present = state.adapter.presence(&namespace, &room, params.limit).await?;
    Ok(serde_json::to_vec(&PresenceAnswer::from(present)).expect("text and numbers are written to memory"))
}

impl From<Present> for PresenceAnswer {
    fn from(present: Present) -> Self {
        PresenceAnswer { total: present.total, sockets: present.sockets.into_iter().map(Into::into).collect() }
    }
}

impl From<PresentSocket> for PresenceEntry {
    fn from(socket: PresentSocket) -> Self {
        let state = match socket.state {
            PresentState::Connected => PresenceState::Connected,
            PresentState::Away => PresenceState::Away,
        };
        PresenceEntry { id: socket.socket.to_string(), user: socket.subject, state }
    }
}
