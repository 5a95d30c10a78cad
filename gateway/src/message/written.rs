//! Rooms, sockets and nodes as JSON, where nodes or people are told of them.

use serde::{Deserialize, Serialize};

use super::node::NodeTag;
use super::room::{BadRoomName, Room, SocketId, Token};

/// A [`Room`]: `"all"`, `{"socket": id}`, `{"user": name}` or `{"room": name}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WrittenRoom {
    All,
    Socket(SocketId),
    User(String),
    Room(String),
}

impl From<Room> for WrittenRoom {
    fn from(room: Room) -> Self {
        match room {
            Room::All => WrittenRoom::All,
            Room::Socket(id) => WrittenRoom::Socket(id),
            Room::User(name) => WrittenRoom::User(name.into()),
            Room::Named(name) => WrittenRoom::Room(name.into()),
        }
    }
}

impl TryFrom<WrittenRoom> for Room {
    type Error = BadRoomName;

    fn try_from(written: WrittenRoom) -> Result<Self, Self::Error> {
        match written {
            WrittenRoom::All => Ok(Room::All),
            WrittenRoom::Socket(id) => Ok(Room::Socket(id)),
            WrittenRoom::User(name) => Room::user(&name),
            WrittenRoom::Room(name) => Room::named(&name),
        }
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.as_str().to_owned()
    }
}

impl TryFrom<String> for Token {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Token::parse(&text).ok_or("not 20 characters of the url-safe alphabet")
    }
}

impl From<NodeTag> for String {
    fn from(tag: NodeTag) -> Self {
        tag.as_str().to_owned()
    }
}

impl TryFrom<String> for NodeTag {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        NodeTag::parse(&text).ok_or("not 3 characters of the url-safe alphabet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_read_back() {
        let socket = SocketId(Token::random());
        for (room, json) in [
            (Room::All, r#""all""#.to_owned()),
            (Room::Socket(socket), format!(r#"{{"socket":"{socket}"}}"#)),
            (Room::user("ann").unwrap(), r#"{"user":"ann"}"#.to_owned()),
            (Room::named("<b>").unwrap(), r#"{"room":"<b>"}"#.to_owned()),
        ] {
            assert_eq!(serde_json::to_string(&room).unwrap(), json);
            assert_eq!(serde_json::from_str::<Room>(&json).unwrap(), room);
        }
        for wrong in [r#"{"room":""}"#, r#"{"socket":"x"}"#, r#"{"user":"a\nb"}"#, r#""some""#] {
            assert!(serde_json::from_str::<Room>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<NodeTag>(r#""aB-""#).unwrap().as_str(), "aB-");
        assert!(serde_json::from_str::<NodeTag>(r#""aB""#).is_err());
    }
}
