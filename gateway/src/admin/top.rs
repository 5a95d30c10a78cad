//! `GET /admin/v1/rooms`: the rooms with the most sockets.

use serde::{Deserialize, Serialize};

use crate::adapter::inspect::{Finding, Inquiry, TopRooms};
use crate::message::NodeTag;
use crate::publish::draft;
use crate::publish::error::RequestError;

use super::AdminState;
use super::ask::Reach;

/// Most rooms of an answer.
const MOST: usize = 200;

/// Each node tells of more than is shown, as what is in the middle at each may
/// be on top of all.
const SPARE: usize = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default = "root")]
    namespace: String,
    /// How their names begin.
    #[serde(default)]
    prefix: String,
    #[serde(default = "some")]
    most: usize,
}

pub(super) fn root() -> String {
    "/".to_owned()
}

fn some() -> usize {
    50
}

#[derive(Serialize)]
pub(super) struct Rooms {
    reach: Reach,
    #[serde(flatten)]
    top: TopRooms,
    /// Nodes that did not answer.
    missing: Vec<NodeTag>,
}

pub(super) async fn rooms(state: &AdminState, asked: Asked) -> Result<Rooms, RequestError> {
    let namespace = draft::namespace(&state.namespaces, &asked.namespace)?;
    if !(1..=MOST).contains(&asked.most) {
        return Err(RequestError::field("most", format_args!("must be from 1 to {MOST}")));
    }
    let inquiry = Inquiry::Rooms { namespace, prefix: asked.prefix, most: asked.most * SPARE };
    let answers = state.ask(inquiry).await;
    let missing = answers.missing(state);
    let reach = answers.reach;
    let parts = answers.found.into_iter().filter_map(|it| match it.finding {
        Finding::Rooms(rooms) => Some(rooms),
        Finding::Status(_) | Finding::Explained(_) => None,
    });
    Ok(Rooms { reach, top: TopRooms::sum(parts, asked.most), missing })
}
