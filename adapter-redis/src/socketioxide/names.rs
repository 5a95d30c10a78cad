//! Between the names of socketioxide and those of the cluster.
//!
//! An id of socketioxide has 16 characters, one of a gateway 20. So a socket
//! of a socketioxide server is known to the others by its id and [`TAIL`]; one
//! of a gateway is known to socketioxide by its first 16 characters, the others
//! being kept where the server of a remote socket is named.

use std::borrow::Cow;
use std::str::FromStr;

use smol_str::{SmolStr, format_smolstr};
use socketioxide_core::{Sid, Uid};

use crate::Room;

/// What the ids of sockets of socketioxide servers end with, elsewhere.
const TAIL: &str = "----";

/// Characters of an id, elsewhere.
const ID: usize = 20;

/// Characters of a [`Sid`], and of a [`Uid`].
const SID: usize = 16;

/// Longest name of a room or user, in bytes.
const MAX_NAME: usize = 256;

const USER: &str = "user:";
const SOCKET: &str = "socket:";

/// A room that other nodes cannot be told of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRoom {
    #[error("a room name must not be empty")]
    Empty,
    #[error("a room name has at most {MAX_NAME} bytes")]
    TooLong,
    #[error("a room name must not hold control characters")]
    ControlCharacter,
    #[error("{SOCKET:?} is followed by the id of a socket, of {SID} or {ID} characters")]
    NoSocket,
    #[error("the room of one socket is nobody else's to join or leave")]
    Own,
}

/// What a room of socketioxide is called in the cluster.
pub(super) fn room(name: &str) -> Result<Room, BadRoom> {
    if let Some(id) = name.strip_prefix(SOCKET) {
        let is_id = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        return match id.len() {
            ID if is_id => Ok(Room::Socket(id.into())),
            SID if is_id => Ok(Room::Socket(format_smolstr!("{id}{TAIL}"))),
            _ => Err(BadRoom::NoSocket),
        };
    }
    let user = name.strip_prefix(USER);
    let checked = user.unwrap_or(name);
    if checked.is_empty() {
        return Err(BadRoom::Empty);
    }
    if checked.len() > MAX_NAME {
        return Err(BadRoom::TooLong);
    }
    if checked.chars().any(char::is_control) {
        return Err(BadRoom::ControlCharacter);
    }
    Ok(user.map_or_else(|| Room::Named(name.into()), |user| Room::User(user.into())))
}

/// The same for rooms that sockets are to join or leave.
pub(super) fn joinable(rooms: impl Iterator<Item = Cow<'static, str>>) -> Result<Vec<Room>, BadRoom> {
    rooms
        .map(|name| match room(&name)? {
            Room::All | Room::Socket(_) => Err(BadRoom::Own),
            room @ (Room::User(_) | Room::Named(_)) => Ok(room),
        })
        .collect()
}

/// What a room of the cluster is called here; `None` when no room here is it,
/// whatever its name.
pub(super) fn name(room: &Room) -> Option<Cow<'static, str>> {
    match room {
        Room::All | Room::Socket(_) => None,
        Room::User(name) => Some(format!("{USER}{name}").into()),
        // a client that may name rooms must not reach users and sockets by it
        Room::Named(name) if name.starts_with(USER) || name.starts_with(SOCKET) => None,
        Room::Named(name) => Some(name.to_string().into()),
    }
}

/// The id, elsewhere, of a socket that socketioxide knows by `sid`, and by
/// `server` when it is remote.
pub(super) fn id(sid: Sid, server: Option<Uid>) -> SmolStr {
    match server.map(|server| *server) {
        Some(server) => format_smolstr!("{sid}{}", &server.as_str()[..ID - SID]),
        None => format_smolstr!("{sid}{TAIL}"),
    }
}

/// The socket of a socketioxide server, perhaps this one, that has this id.
pub(super) fn own_sid(id: &str) -> Option<Sid> {
    Sid::from_str(id.strip_suffix(TAIL)?).ok()
}

/// How socketioxide knows a remote socket.
pub(super) fn remote(id: &str) -> Option<(Sid, Uid)> {
    let (sid, rest) = id.split_at_checked(SID)?;
    let server = format!("{rest}{:->1$}", "", SID.checked_sub(rest.len())?);
    Some((Sid::from_str(sid).ok()?, Uid::from_str(&server).ok()?))
}

/// A new name for an operation, as long as an id.
pub(super) fn operation() -> String {
    format!("{}{}", Sid::new(), &Sid::new().as_str()[..ID - SID])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_map_both_ways() {
        for (text, expected) in [
            ("news", Room::Named("news".into())),
            ("房间 1", Room::Named("房间 1".into())),
            ("user:7", Room::User("7".into())),
            ("user:a:b", Room::User("a:b".into())),
        ] {
            assert_eq!(room(text), Ok(expected.clone()), "{text}");
            assert_eq!(name(&expected).as_deref(), Some(text));
        }
        let gateway = "abcdefghijklmnopqr-_";
        assert_eq!(room(&format!("socket:{gateway}")), Ok(Room::Socket(gateway.into())));
        assert_eq!(room("socket:abcdefghijklmnop"), Ok(Room::Socket("abcdefghijklmnop----".into())));
    }

    #[test]
    fn kinds_do_not_meet() {
        for room in [Room::All, Room::Socket("x".into()), Room::Named("user:7".into()), Room::Named("socket:x".into())]
        {
            assert_eq!(name(&room), None, "{room}");
        }
    }

    #[test]
    fn what_no_gateway_takes_is_refused() {
        let long = "x".repeat(MAX_NAME + 1);
        for (text, error) in [
            ("", BadRoom::Empty),
            ("user:", BadRoom::Empty),
            (&*long, BadRoom::TooLong),
            ("a\nb", BadRoom::ControlCharacter),
            ("socket:short", BadRoom::NoSocket),
            ("socket:abcdefghijklmno!", BadRoom::NoSocket),
        ] {
            assert_eq!(room(text), Err(error), "{text:?}");
        }
        assert!(room(&long[1..]).is_ok());
        let join = |name: &'static str| joinable([name.into()].into_iter());
        assert_eq!(join("socket:abcdefghijklmnop"), Err(BadRoom::Own));
        assert_eq!(join("news"), Ok(vec![Room::Named("news".into())]));
    }

    #[test]
    fn ids_map_both_ways() {
        let sid = Sid::new();
        assert_eq!(own_sid(&id(sid, None)), Some(sid));
        assert_eq!(id(sid, None).len(), ID);
        let gateway = "abcdefghijklmnopqrst";
        assert_eq!(own_sid(gateway), None);
        let (sid, server) = remote(gateway).unwrap();
        assert_eq!(sid.as_str(), "abcdefghijklmnop");
        assert_eq!(id(sid, Some(server)), gateway);
        assert_eq!(remote("short"), None);
        assert_eq!(remote(&"x".repeat(40)), None);
    }
}
