//! The recovery log: a log for each room, so that a recovery reads what the
//! client missed and not what everybody said.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::adapter::{Range, ReadError, ReadLimit};
use crate::message::{Message, NamespaceId, Position, Room};

/// Bounds of the log.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// How long a message is kept.
    pub retention: Duration,
    pub max_entries_per_room: usize,
    /// Of all rooms together. A message counts in each of its rooms.
    pub max_bytes: usize,
}

/// A room of a namespace.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    namespace: NamespaceId,
    room: Room,
}

#[derive(Debug)]
pub(super) struct Log {
    rooms: HashMap<Key, RoomLog, foldhash::fast::RandomState>,
    /// Every entry by age; those that left their room early stay listed.
    ages: VecDeque<(Position, Key)>,
    /// Rooms that lost entries to `max_bytes`, by the last entry lost.
    marks: VecDeque<(Position, Key)>,
    bytes: usize,
    /// All before it was dropped for its age; the clock may have stepped back
    /// since.
    expired: Position,
    limits: LogLimits,
}

#[derive(Debug, Default)]
struct RoomLog {
    entries: VecDeque<Arc<Message>>,
    /// The last entry that was dropped before its time.
    trimmed: Position,
}

impl Log {
    pub(super) fn new(limits: LogLimits) -> Self {
        Log {
            rooms: HashMap::default(),
            ages: VecDeque::new(),
            marks: VecDeque::new(),
            bytes: 0,
            expired: Position::ZERO,
            limits,
        }
    }

    /// Appends to the log of each of the message's rooms.
    pub(super) fn append(&mut self, message: &Arc<Message>, id: Position) {
        let len = message.len();
        for room in &message.rooms {
            let key = Key { namespace: message.namespace, room: room.clone() };
            let log = self.rooms.entry_ref(&key).or_default();
            log.entries.push_back(Arc::clone(message));
            self.bytes += len;
            if log.entries.len() > self.limits.max_entries_per_room {
                self.bytes -= log.trim_first();
            }
            self.ages.push_back((id, key));
        }
        while self.bytes > self.limits.max_bytes {
            let Some((id, key)) = self.ages.pop_front() else { break };
            if let Some(log) = self.rooms.get_mut(&key) {
                if log.first() == Some(id) {
                    self.bytes -= log.trim_first();
                }
                self.marks.push_back((id, key));
            }
        }
    }

    /// Drops what is older than the retention.
    pub(super) fn expire(&mut self, now: u64) {
        let oldest = self.oldest(now);
        self.expired = oldest;
        while let Some((id, key)) = self.ages.pop_front_if(|(id, _)| *id < oldest) {
            if let Some(log) = self.rooms.get_mut(&key)
                && log.first() == Some(id)
            {
                self.bytes -= log.drop_first();
            }
            self.forget(&key, oldest);
        }
        while let Some((_, key)) = self.marks.pop_front_if(|(id, _)| *id < oldest) {
            self.forget(&key, oldest);
        }
        if self.ages.is_empty() {
            self.ages = VecDeque::new();
        }
    }

    /// Drops an empty room, unless it must remember that it lost entries.
    fn forget(&mut self, key: &Key, oldest: Position) {
        if self.rooms.get(key).is_some_and(|log| log.entries.is_empty() && log.trimmed < oldest) {
            self.rooms.remove(key);
        }
    }

    /// Nothing is kept, nor remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.ages.is_empty() && self.marks.is_empty() && self.bytes == 0
    }

    fn oldest(&self, now: u64) -> Position {
        let retention = u64::try_from(self.limits.retention.as_millis()).unwrap_or(u64::MAX);
        Position::new(now.saturating_sub(retention), 0).max(self.expired)
    }

    /// The last `most` messages that are there of a range, in order.
    pub(super) fn recent(&self, namespace: NamespaceId, range: &Range, most: usize) -> Vec<Arc<Message>> {
        let Some(log) = self.rooms.get(&Key { namespace, room: range.room.clone() }) else { return Vec::new() };
        let found = log.within(range);
        let left_out = found.len().saturating_sub(most);
        found.skip(left_out).cloned().collect()
    }

    /// The messages of each range, in order.
    pub(super) fn read(
        &self,
        namespace: NamespaceId,
        ranges: &[Range],
        limit: ReadLimit,
        now: u64,
    ) -> Result<Vec<Vec<Arc<Message>>>, ReadError> {
        let oldest = self.oldest(now);
        let (mut messages, mut bytes) = (0, 0);
        let mut logs = Vec::with_capacity(ranges.len());
        for range in ranges {
            if range.after < oldest {
                return Err(ReadError::Trimmed);
            }
            let Some(log) = self.rooms.get(&Key { namespace, room: range.room.clone() }) else { continue };
            if range.after < log.trimmed {
                return Err(ReadError::Trimmed);
            }
            let part: Vec<_> = log.within(range).cloned().collect();
            messages += part.len();
            bytes += part.iter().map(|m| m.len()).sum::<usize>();
            if messages > limit.messages || bytes > limit.bytes {
                return Err(ReadError::TooMuch);
            }
            logs.push(part);
        }
        Ok(logs)
    }
}

impl RoomLog {
    /// What is there of a range.
    fn within(&self, range: &Range) -> impl ExactSizeIterator<Item = &Arc<Message>> {
        let start = self.entries.partition_point(|message| message.position() <= Some(range.after));
        let end = self.entries.partition_point(|message| message.position() <= Some(range.through));
        self.entries.range(start..end.max(start))
    }

    fn first(&self) -> Option<Position> {
        self.entries.front().and_then(|message| message.position())
    }

    /// Drops the first entry; answers its bytes.
    fn drop_first(&mut self) -> usize {
        self.entries.pop_front().map_or(0, |message| message.len())
    }

    /// Drops the first entry before its time; answers its bytes.
    fn trim_first(&mut self) -> usize {
        self.trimmed = self.first().unwrap_or(self.trimmed);
        self.drop_first()
    }
}
