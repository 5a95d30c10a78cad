//! The call of `publish.lua` and its reply, as they are written.

use std::io::Write;

use bytes::Bytes;
use redis::{Cmd, RedisWrite};

use crate::mutation::mutated;
use crate::place::{Epoch, Id, Place};
use crate::record::Writer;
use crate::shard::Shard;
use crate::{Names, RoomKey, reply};

use super::{Accepted, Idempotency, Item, Outcome, PublishError};

/// An item, encoded but for its id.
pub(super) struct Encoded {
    target: Target,
    record: Bytes,
    idempotency: Option<Idempotency>,
}

enum Target {
    /// A room's log and its channel.
    Room(String),
    /// The logs of rooms, by their channels, and everybody.
    Rooms(Vec<String>),
    /// A channel only.
    Channel(String),
}

impl Encoded {
    pub(super) fn new(item: Item, writer: Writer, shard: &Shard) -> Self {
        let Item { event, logged, idempotency } = item;
        let channel = |room| shard.names.channel(&RoomKey::new(&event.namespace, room));
        let mut rooms: Vec<String> = event.rooms.iter().map(channel).collect();
        let one = if rooms.len() == 1 { rooms.pop() } else { None };
        let target = match (one, logged) {
            (Some(room), true) => Target::Room(room),
            (None, true) => Target::Rooms(rooms),
            (Some(room), false) => Target::Channel(room),
            (None, false) => Target::Channel(shard.names.everybody()),
        };
        let record = if logged { writer.event(&event) } else { writer.unlogged(&event) };
        Encoded { target, record, idempotency }
    }

    /// Bytes, about.
    pub(super) fn len(&self) -> usize {
        self.record.len() + 64
    }

    fn is_logged(&self) -> bool {
        match self.target {
            Target::Room(_) | Target::Rooms(_) => true,
            Target::Channel(_) => false,
        }
    }

    fn write(&self, item: usize, names: &Names, life: u64, command: &mut Cmd) {
        if let Some(Idempotency { key, digest }) = self.idempotency.as_ref().filter(|_| !mutated!(IgnoreKey)) {
            command.arg("k").arg(names.idempotency(key)).arg(format!("{digest:016x}")).arg(life);
        }
        match &self.target {
            Target::Room(channel) => command.arg("l").arg(channel),
            Target::Rooms(channels) => command.arg("m").arg(channels.len()).arg(channels),
            Target::Channel(channel) => command.arg("u").arg(channel).arg(&self.record[..]),
        };
        if self.is_logged() {
            let mut record = command.writer_for_next_arg();
            // a command is written to memory, which does not fail
            let _ = write!(record, "{item:03}").and_then(|()| record.write_all(&self.record));
        }
    }
}

/// Adds what follows slot and number in a call.
pub(super) fn write(command: &mut Cmd, shard: &Shard, epoch: Epoch, writer: Writer, items: &[&Encoded]) {
    let (names, settings) = (&shard.names, &shard.settings);
    command.arg(writer.logged_head(epoch)).arg(Names::log_suffix(epoch));
    command.arg(names.everybody());
    let life = reply::ms(settings.idempotency);
    items.iter().enumerate().for_each(|(number, item)| item.write(number, names, life, command));
}

/// What the script answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The id of item 0, or what it would be; that of item n is n more.
    first: Id,
    /// Items that were not accepted anew.
    others: Vec<(usize, Before)>,
}

/// What became of an item's key before.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Logged(Place),
    Unlogged,
    Conflict,
}

impl Reply {
    pub(super) fn read(reply: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(reply).ok()?.split(' ');
        let first = Id::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let other = |part: &str| {
            let (index, before) = part.split_once(':')?;
            let before = match before {
                "conflict" => Before::Conflict,
                "-" => Before::Unlogged,
                place => Before::Logged(place.parse().ok()?),
            };
            Some((index.parse().ok()?, before))
        };
        Some(Reply { first, others: parts.map(other).collect::<Option<_>>()? })
    }

    /// Item by item.
    pub(super) fn outcomes(self, epoch: Epoch, items: &[&Encoded]) -> Vec<Outcome> {
        let mut others = self.others.into_iter().peekable();
        let first = self.first.0;
        let outcome = |(index, item): (usize, &&Encoded)| {
            if let Some((_, before)) = others.next_if(|(other, _)| *other == index) {
                return match before {
                    Before::Conflict => Err(PublishError::Conflict),
                    Before::Unlogged => Ok(Accepted { place: None, duplicate: true }),
                    Before::Logged(place) => Ok(Accepted { place: Some(place), duplicate: true }),
                };
            }
            let place = item.is_logged().then(|| Place { epoch, id: Id(first + index as u64) });
            Ok(Accepted { place, duplicate: false })
        };
        items.iter().enumerate().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        let place: Place = "0000000a-1795246647165-0000003".parse().unwrap();
        let expected = Reply {
            first: Id::new(1_795_246_647_170, 4),
            others: vec![(1, Before::Logged(place)), (3, Before::Conflict), (4, Before::Unlogged)],
        };
        let text = format!("1795246647170 4 1:{place} 3:conflict 4:-");
        assert_eq!(Reply::read(text.as_bytes()), Some(expected));
        for text in ["", "1", "1 x", "1 2 3", "1 2 1:what", "1 2 x:-"] {
            assert_eq!(Reply::read(text.as_bytes()), None, "{text}");
        }
    }
}
