//! Rooms and their members.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use carillon_bench::message::EVERYONE_ROOM;
use tokio::net::TcpStream;

/// All rooms. Called by connections to join and leave, by the publisher to write.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    rooms: RefCell<HashMap<Box<str>, Vec<Rc<TcpStream>>>>,
}

/// Membership in one's own room and in everybody's; ends when dropped.
#[derive(Debug)]
pub(crate) struct Member {
    hub: Rc<Hub>,
    stream: Rc<TcpStream>,
    room: Box<str>,
}

/// A socket did not take a whole write at once. The floor has no queue.
#[derive(Debug)]
pub(crate) struct Full;

impl Hub {
    /// Adds a connection to its room and to everybody's.
    pub(crate) fn join(self: Rc<Self>, stream: Rc<TcpStream>, room: &str) -> Member {
        {
            let mut rooms = self.rooms.borrow_mut();
            for name in [room, EVERYONE_ROOM] {
                match rooms.get_mut(name) {
                    Some(members) => members.push(stream.clone()),
                    None => drop(rooms.insert(name.into(), vec![stream.clone()])),
                }
            }
        }
        Member { hub: self, stream, room: room.into() }
    }

    /// Writes to every member of a room.
    pub(crate) fn broadcast(&self, room: &str, bytes: &[u8]) -> Result<(), Full> {
        self.rooms.borrow().get(room).map_or(Ok(()), |members| write_all(members.iter(), bytes))
    }

    /// Writes to every member of everybody's room whose place is `part` modulo `parts`.
    pub(crate) fn broadcast_part(&self, part: usize, parts: usize, bytes: &[u8]) -> Result<(), Full> {
        let rooms = self.rooms.borrow();
        let members = rooms.get(EVERYONE_ROOM).map_or(&[][..], Vec::as_slice);
        write_all(members.iter().skip(part).step_by(parts), bytes)
    }
}

fn write_all<'a>(members: impl Iterator<Item = &'a Rc<TcpStream>>, bytes: &[u8]) -> Result<(), Full> {
    for member in members {
        match member.try_write(bytes) {
            Ok(written) if written == bytes.len() => {}
            Ok(_) => return Err(Full),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Err(Full),
            // The member's own task sees the same and ends.
            Err(_) => {}
        }
    }
    Ok(())
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut rooms = self.hub.rooms.borrow_mut();
        for name in [&*self.room, EVERYONE_ROOM] {
            if let Some(members) = rooms.get_mut(name) {
                if let Some(place) = members.iter().position(|other| Rc::ptr_eq(other, &self.stream)) {
                    members.swap_remove(place);
                }
                if members.is_empty() {
                    rooms.remove(name);
                }
            }
        }
    }
}
