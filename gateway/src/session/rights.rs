//! What a client that comes back, or shows another token, may keep.

use std::rc::Rc;

use crate::auth::Identity;
use crate::message::Room;
use crate::policy::{Context, Right};

use super::ask::{Asking, Unanswered};
use super::connection::Connection;
use super::namespace::NamespaceRules;

/// Those of the rooms that the client has no right to any more.
///
/// # Errors
/// When that cannot be told now.
pub(super) async fn withdrawn<'r>(
    connection: &Rc<Connection>,
    rules: &NamespaceRules,
    asking: Asking<'_>,
    context: &Context<'_>,
    rooms: impl Iterator<Item = &'r Room>,
) -> Result<Vec<Room>, Unanswered> {
    let mut withdrawn: Vec<Room> = Vec::new();
    for room in rooms {
        if withdrawn.contains(room) || is_own(rules, asking.identity, room) {
            continue;
        }
        match rules.policy.right(room, context) {
            Right::Unruled | Right::Held => {}
            Right::If(grants) => {
                let mut held = false;
                for grant in grants {
                    held = held
                        || asking
                            .by(grant.event.as_deref(), Some(room))
                            .all(connection, rules, &grant.questions)
                            .await?;
                }
                if !held {
                    withdrawn.push(room.clone());
                }
            }
        }
    }
    Ok(withdrawn)
}

/// The room of the user himself.
fn is_own(rules: &NamespaceRules, identity: &Identity, room: &Room) -> bool {
    rules.entry.user_room && matches!(room, Room::User(name) if identity.user.as_deref() == Some(name))
}
