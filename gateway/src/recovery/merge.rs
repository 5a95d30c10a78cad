//! What a socket missed, from the logs of its rooms.

use std::sync::Arc;

use crate::adapter::{Membership, Range};
use crate::message::{Message, Position};
use crate::recovery::mutated;

/// The parts of the logs to read for a client that has everything up to
/// `from`, when the cut is at `through`.
pub fn ranges(memberships: &[Membership], from: Position, through: Position) -> Vec<Range> {
    let part = |membership: &Membership| {
        let since = if mutated!(DropSince) { Position::ZERO } else { membership.since };
        let after = since.max(from);
        let through = membership.until.map_or(through, |until| until.min(through));
        (after < through).then(|| Range { room: membership.room.clone(), after, through })
    };
    memberships.iter().filter(|stay| stay.until.is_none() || !mutated!(ForgetPastStays)).filter_map(part).collect()
}

/// The messages of these logs that are meant for a socket with these stays:
/// by id, each once, without those that except a room it was in.
pub fn merge(logs: Vec<Vec<Arc<Message>>>, memberships: &[Membership]) -> Vec<Arc<Message>> {
    let mut messages: Vec<Arc<Message>> = logs.into_iter().flatten().collect();
    messages.sort_by_key(|message| message.position());
    messages.dedup_by_key(|message| message.position());
    messages.retain(|message| !is_excepted(message, memberships));
    messages
}

fn is_excepted(message: &Message, memberships: &[Membership]) -> bool {
    let Some(id) = message.position() else { return true };
    message.except.iter().any(|room| {
        memberships.iter().any(|membership| {
            let was_in =
                if mutated!(ExceptByPresentRooms) { membership.until.is_none() } else { membership.covers(id) };
            membership.room == *room && was_in
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Draft, Epoch, Namespaces, Offset, Room};
    use crate::protocol::Body;
    use proptest::prelude::*;

    fn room(n: u8) -> Room {
        Room::named(&format!("r{n}")).unwrap()
    }

    fn at(n: u64) -> Position {
        Position::new(n, 0)
    }

    fn message(id: u64, rooms: &[u8], except: &[u8]) -> Arc<Message> {
        let namespaces = Namespaces::new([("/", true)]);
        let draft = Draft {
            namespace: namespaces.by_name("/").unwrap().clone(),
            rooms: rooms.iter().map(|n| room(*n)).collect(),
            except: except.iter().map(|n| room(*n)).collect(),
            body: Body::from_values("e", &[]).unwrap(),
            volatile: false,
            idempotency: None,
            trace: None,
        };
        Arc::new(Message::logged(draft, Offset { epoch: Epoch::random(), position: at(id) }))
    }

    /// Message by message, without logs: was the socket in, and not excepted?
    fn expected(messages: &[Arc<Message>], stays: &[Membership], from: Position, through: Position) -> Vec<Position> {
        let in_any = |rooms: &[Room], id| stays.iter().any(|stay| rooms.contains(&stay.room) && stay.covers(id));
        messages
            .iter()
            .filter(|m| {
                let id = m.position().unwrap();
                from < id && id <= through && in_any(&m.rooms, id) && !in_any(&m.except, id)
            })
            .map(|m| m.position().unwrap())
            .collect()
    }

    fn stay() -> impl Strategy<Value = Membership> {
        (0u8..4, 0u64..40, proptest::option::of(0u64..20)).prop_map(|(n, since, length)| Membership {
            room: room(n),
            since: at(since),
            until: length.map(|length| at(since + length)),
        })
    }

    proptest! {
        #[test]
        fn what_was_missed_is_found(
            targets in proptest::collection::vec((
                proptest::collection::btree_set(0u8..4, 1..3),
                proptest::collection::btree_set(0u8..4, 0..2),
            ), 0..40),
            stays in proptest::collection::vec(stay(), 0..6),
            from in 0u64..40,
            through in 0u64..45,
        ) {
            let messages: Vec<_> = targets
                .iter()
                .enumerate()
                .map(|(n, (rooms, except))| {
                    let list = |set: &std::collections::BTreeSet<u8>| set.iter().copied().collect::<Vec<_>>();
                    message(n as u64 + 1, &list(rooms), &list(except))
                })
                .collect();
            let logs = ranges(&stays, at(from), at(through))
                .into_iter()
                .map(|range| messages
                    .iter()
                    .filter(|m| m.rooms.contains(&range.room))
                    .filter(|m| m.position().unwrap() > range.after && m.position().unwrap() <= range.through)
                    .cloned()
                    .collect())
                .collect();
            let found: Vec<_> = merge(logs, &stays).iter().map(|m| m.position().unwrap()).collect();
            prop_assert_eq!(found, expected(&messages, &stays, at(from), at(through)));
        }
    }
}
