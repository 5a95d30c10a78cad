//! `POST /admin/v1/explain`: what would become of a publish. It sends nothing.

use std::collections::HashSet;

use serde::Serialize;

use crate::adapter::PresentState;
use crate::adapter::inspect::{Explained, Finding, Inquiry, Inspected, Keeping, RoomCount};
use crate::message::{Draft, NamespaceRef, NodeTag, Room, SocketId};
use crate::publish::Asked;

use super::AdminState;
use super::ask::Reach;

/// Rooms whose sessions are looked up, and sessions of each.
const ROOMS: usize = 10;
const SESSIONS: usize = 1000;

#[derive(Serialize)]
pub(super) struct Explanation {
    reach: Reach,
    /// Sockets that would get it.
    receivers: u64,
    /// Whether it would be in the log, so that clients who are away get it.
    logged: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<NotLogged>,
    /// Clients who are away and would get it when they come back in time;
    /// absent where it is not in the log, or that cannot be told now.
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<Away>,
    /// The target rooms, and how many sockets are in each.
    rooms: Vec<RoomCount>,
    nodes: Vec<OneNode>,
    /// Nodes that did not answer.
    missing: Vec<NodeTag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum NotLogged {
    Volatile,
    Acknowledged,
    NamespaceWithoutRecovery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Away {
    count: usize,
    /// All rooms and sessions were looked at.
    complete: bool,
}

#[derive(Serialize)]
struct OneNode {
    node: NodeTag,
    receivers: u64,
    #[serde(flatten)]
    explained: Explained,
}

pub(super) async fn explain(state: &AdminState, asked: Asked) -> Explanation {
    let draft = asked.draft;
    let because = not_logged(&draft, asked.ack.is_some());
    // an event to be acknowledged does not wait in the log
    let keeping = if asked.ack.is_some() { Keeping::Unlogged } else { Keeping::of(&draft) };
    let (rooms, except) = (draft.rooms.to_vec(), draft.except);
    let inquiry =
        Inquiry::Explain { namespace: draft.namespace.clone(), rooms: rooms.clone(), except: except.clone(), keeping };
    let look = async {
        match because {
            None => away(state, &draft.namespace, &rooms, &except).await,
            Some(_) => None,
        }
    };
    let (answers, away) = tokio::join!(state.ask(inquiry), look);
    let missing = answers.missing(state);
    let reach = answers.reach;
    let mut nodes: Vec<OneNode> = answers.found.into_iter().filter_map(one).collect();
    nodes.sort_by_key(|it| it.node);
    let members = |n: usize| nodes.iter().filter_map(|it| it.explained.members.get(n)).sum();
    Explanation {
        reach,
        receivers: nodes.iter().map(|it| it.receivers).sum(),
        logged: because.is_none(),
        because,
        away,
        rooms: (0..).zip(rooms).map(|(n, room)| RoomCount { members: members(n), room }).collect(),
        nodes,
        missing,
    }
}

fn one(Inspected { node, finding }: Inspected) -> Option<OneNode> {
    match finding {
        Finding::Explained(explained) => Some(OneNode { node, receivers: explained.receivers(), explained }),
        Finding::Status(_) | Finding::Rooms(_) => None,
    }
}

fn not_logged(draft: &Draft, acknowledged: bool) -> Option<NotLogged> {
    if acknowledged {
        Some(NotLogged::Acknowledged)
    } else if draft.volatile {
        Some(NotLogged::Volatile)
    } else if !draft.namespace.recovery {
        Some(NotLogged::NamespaceWithoutRecovery)
    } else {
        None
    }
}

/// Sessions in some of the rooms whose clients are not there, without those in
/// rooms that are left out.
async fn away(state: &AdminState, namespace: &NamespaceRef, rooms: &[Room], except: &[Room]) -> Option<Away> {
    let mut complete = rooms.len() + except.len() <= ROOMS;
    let (mut absent, mut excepted) = (HashSet::<SocketId>::new(), HashSet::new());
    for (n, room) in except.iter().chain(rooms).take(ROOMS).enumerate() {
        let present = state.adapter.presence(namespace, room, SESSIONS).await.ok()?;
        complete &= present.total <= SESSIONS;
        let found = if n < except.len() { &mut excepted } else { &mut absent };
        found.extend(present.sockets.iter().filter(|it| it.state == PresentState::Away).map(|it| it.socket));
    }
    Some(Away { count: absent.difference(&excepted).count(), complete })
}
