//! `/v1/join`, `/v1/leave`, `/v1/disconnect`, `/v1/sockets`, `/v1/count`.

use axum::extract::Query;
use axum::http::Uri;

use crate::adapter::{Action, Operation, Report};
use crate::message::Room;

use super::PublishState;
use super::answer;
use super::draft::{named, namespace, target};
use super::error::RequestError;
use super::openapi::{BodyRefusals, ChangeAnswer, CountAnswer, ListAnswer, Refusals, SelectionParams};
use super::request::{Disconnect, RoomsChange, Selection, parse};

/// Puts sockets into rooms.
#[utoipa::path(
    post,
    path = "/v1/join",
    tag = "sockets",
    request_body = RoomsChange,
    responses((status = 200, description = "Done", body = ChangeAnswer), Refusals, BodyRefusals),
    security(("api_key" = ["manage"])),
)]
pub(super) async fn join(state: &PublishState, json: &str) -> Result<Vec<u8>, RequestError> {
    change_rooms(state, json, Action::Join).await
}

/// Takes sockets out of rooms.
#[utoipa::path(
    post,
    path = "/v1/leave",
    tag = "sockets",
    request_body = RoomsChange,
    responses((status = 200, description = "Done", body = ChangeAnswer), Refusals, BodyRefusals),
    security(("api_key" = ["manage"])),
)]
pub(super) async fn leave(state: &PublishState, json: &str) -> Result<Vec<u8>, RequestError> {
    change_rooms(state, json, Action::Leave).await
}

/// Disconnects sockets; their sessions cannot be recovered.
#[utoipa::path(
    post,
    path = "/v1/disconnect",
    tag = "sockets",
    request_body = Disconnect,
    responses((status = 200, description = "Done", body = ChangeAnswer), Refusals, BodyRefusals),
    security(("api_key" = ["manage"])),
)]
pub(super) async fn disconnect(state: &PublishState, json: &str) -> Result<Vec<u8>, RequestError> {
    let request: Disconnect<'_> = parse(json)?;
    let operation = Operation {
        namespace: namespace(&state.namespaces, &request.namespace)?,
        rooms: target(&request.target)?.into_vec(),
        action: Action::Disconnect { close: request.close },
        id: None,
    };
    Ok(answer::changed(&state.adapter.operate(operation).await?))
}

/// Lists sockets with their rooms.
#[utoipa::path(
    get,
    path = "/v1/sockets",
    tag = "sockets",
    params(SelectionParams),
    responses((status = 200, description = "Found", body = ListAnswer), Refusals),
    security(("api_key" = ["read"])),
)]
pub(super) async fn list(state: &PublishState, uri: &Uri) -> Result<Vec<u8>, RequestError> {
    Ok(answer::listed(&select(state, uri, Action::List).await?))
}

/// Counts sockets.
#[utoipa::path(
    get,
    path = "/v1/count",
    tag = "sockets",
    params(SelectionParams),
    responses((status = 200, description = "Found", body = CountAnswer), Refusals),
    security(("api_key" = ["read"])),
)]
pub(super) async fn count(state: &PublishState, uri: &Uri) -> Result<Vec<u8>, RequestError> {
    Ok(answer::counted(&select(state, uri, Action::Count).await?))
}

async fn change_rooms(
    state: &PublishState,
    json: &str,
    action: fn(Vec<Room>) -> Action,
) -> Result<Vec<u8>, RequestError> {
    let request: RoomsChange<'_> = parse(json)?;
    let operation = Operation {
        namespace: namespace(&state.namespaces, &request.namespace)?,
        rooms: target(&request.target)?.into_vec(),
        action: action(named(&request.rooms)?),
        id: None,
    };
    Ok(answer::changed(&state.adapter.operate(operation).await?))
}

async fn select(state: &PublishState, uri: &Uri, action: Action) -> Result<Report, RequestError> {
    let Query(selection) =
        Query::<Selection>::try_from_uri(uri).map_err(|rejection| RequestError::Query(rejection.body_text()))?;
    let namespace = namespace(&state.namespaces, &selection.namespace)?;
    let room = room(selection.room.as_deref(), selection.user.as_deref())?;
    Ok(state.adapter.operate(Operation { namespace, rooms: vec![room], action, id: None }).await?)
}

/// The room that a query names.
pub(crate) fn room(room: Option<&str>, user: Option<&str>) -> Result<Room, RequestError> {
    match (room, user) {
        (None, None) => Ok(Room::All),
        (Some(room), None) => Room::named(room).map_err(|reason| RequestError::field("room", reason)),
        (None, Some(user)) => Room::user(user).map_err(|reason| RequestError::field("user", reason)),
        (Some(_), Some(_)) => Err(RequestError::Query("give `room` or `user`, not both".into())),
    }
}
