//! What every publisher does, whichever way it sends: pick the rooms of a tick in turn and number the messages.

use crate::control::{Run, Target};
use crate::message;

/// Last sequence numbers and the position in the circle of rooms; lives as long as its process.
#[derive(Debug, Default)]
pub struct Numbering {
    rooms: Vec<u32>,
    everyone: u32,
    cursor: u32,
}

/// One message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Index of the room; `None` is everyone's.
    pub room: Option<u32>,
    pub sequence: u32,
}

impl Due {
    /// Event name of the message.
    pub fn event(&self) -> &'static str {
        if self.room.is_some() { message::ROOM_EVENT } else { message::EVERYONE_EVENT }
    }

    /// Name of the room it goes to.
    pub fn room_name(&self) -> String {
        self.room.map_or_else(|| message::EVERYONE_ROOM.to_owned(), |index| format!("r{index}"))
    }
}

impl Numbering {
    /// The next message of a run, its rooms taking turns.
    pub fn next(&mut self, run: &Run) -> Due {
        match run.target {
            Target::Everyone => self.number(None),
            Target::Rooms => {
                let place = self.cursor % run.rooms.max(1);
                self.cursor = place + 1;
                self.number(Some(run.first_room + place))
            }
        }
    }

    /// The next message to one room; `None` is everyone's.
    pub fn number(&mut self, room: Option<u32>) -> Due {
        let last = match room {
            None => &mut self.everyone,
            Some(room) => {
                let index = room as usize;
                if self.rooms.len() <= index {
                    self.rooms.resize(index + 1, 0);
                }
                &mut self.rooms[index]
            }
        };
        *last += 1;
        Due { room, sequence: *last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_take_turns_and_count_each_on_their_own() {
        let run = Run {
            target: Target::Rooms,
            first_room: 5,
            rooms: 2,
            ticks_per_second: 1.0,
            burst: 1,
            bytes: 200,
            seconds: 1.0,
        };
        let mut numbering = Numbering::default();
        let due: Vec<_> = (0..4).map(|_| numbering.next(&run)).map(|due| (due.room, due.sequence)).collect();
        assert_eq!(due, [(Some(5), 1), (Some(6), 1), (Some(5), 2), (Some(6), 2)]);
    }
}
