//! Which of this server's sockets are meant.

use std::collections::HashSet;

use socketioxide_core::Sid;
use socketioxide_core::adapter::{BroadcastFlags, BroadcastOptions, CoreLocalAdapter, Room as Name, SocketEmitter};

use super::names;
use crate::Room;

/// Sockets in some rooms but not in others; each once.
#[derive(Debug, Default)]
pub(super) struct Selection {
    everyone: bool,
    rooms: Vec<Name>,
    sockets: Vec<Sid>,
    except_rooms: Vec<Name>,
    except_sockets: Vec<Sid>,
    nobody: bool,
}

impl Selection {
    pub(super) fn new(rooms: &[Room], except: &[Room]) -> Self {
        let mut selection = Selection { everyone: rooms.contains(&Room::All), ..Selection::default() };
        selection.nobody = except.contains(&Room::All);
        let sockets = |room: &Room| match room {
            Room::Socket(id) => names::own_sid(id),
            Room::All | Room::User(_) | Room::Named(_) => None,
        };
        if !selection.everyone {
            selection.rooms = rooms.iter().filter_map(names::name).collect();
            selection.sockets = rooms.iter().filter_map(sockets).collect();
        }
        selection.except_rooms = except.iter().filter_map(names::name).collect();
        selection.except_sockets = except.iter().filter_map(sockets).collect();
        selection
    }

    /// The same in the words of socketioxide, where it has them.
    pub(super) fn options(&self) -> Option<BroadcastOptions> {
        let is_of_rooms = self.sockets.is_empty() && (self.everyone || !self.rooms.is_empty());
        (is_of_rooms && !self.nobody && self.except_sockets.len() <= 1).then(|| self.of_rooms())
    }

    fn of_rooms(&self) -> BroadcastOptions {
        let mut options = BroadcastOptions::default();
        options.rooms.extend(self.rooms.iter().cloned());
        options.except.extend(self.except_rooms.iter().cloned());
        options.sid = self.except_sockets.first().copied();
        options.add_flag(BroadcastFlags::Broadcast);
        options
    }

    /// The sockets, one by one.
    pub(super) fn sids<E: SocketEmitter>(&self, local: &CoreLocalAdapter<E>) -> Vec<Sid> {
        if self.nobody {
            return Vec::new();
        }
        let mut sids = HashSet::new();
        if self.everyone || !self.rooms.is_empty() {
            sids.extend(local.sockets(self.of_rooms()));
        }
        let is_meant = |sid: &Sid| {
            let rooms = local.socket_rooms(*sid);
            let is_here = !local.fetch_sockets(BroadcastOptions::new(*sid)).is_empty();
            is_here && !self.except_rooms.iter().any(|room| rooms.contains(room))
        };
        sids.extend(self.sockets.iter().copied().filter(is_meant));
        self.except_sockets.iter().for_each(|sid| {
            sids.remove(sid);
        });
        sids.into_iter().collect()
    }
}
