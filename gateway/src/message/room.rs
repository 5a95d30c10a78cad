//! The names of rooms, as types: what a client can name is never confused
//! with what belongs to a socket or a user.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::node::NodeTag;
use super::written::WrittenRoom;

/// Index of a configured namespace, valid within one process. On the wire and
/// in storage namespaces go by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct NamespaceId(pub u16);

/// Random token of 20 characters of the URL-safe alphabet (120 bits).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token([u8; 20]);

pub(super) const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Token {
    pub const LEN: usize = 20;

    /// A fresh token from the operating system's seeded generator.
    pub fn random() -> Self {
        let bits: [u8; Self::LEN] = rand::random();
        Token(bits.map(|b| ALPHABET[usize::from(b & 63)]))
    }

    /// The same, with a number below 64 in its first character.
    #[must_use]
    pub fn with_first(mut self, number: usize) -> Self {
        self.0[0] = ALPHABET[number & 63];
        self
    }

    /// The number in the first character.
    pub fn first(&self) -> usize {
        ALPHABET.iter().position(|character| *character == self.0[0]).unwrap_or_default()
    }

    /// The same, with a node's tag in the three characters after the first.
    #[must_use]
    pub fn with_node(mut self, tag: NodeTag) -> Self {
        self.0[1..=NodeTag::LEN].copy_from_slice(tag.as_bytes());
        self
    }

    /// The tag in the three characters after the first.
    pub fn node(&self) -> NodeTag {
        NodeTag::from_bytes([self.0[1], self.0[2], self.0[3]])
    }

    /// `None` unless `text` is 20 characters of the alphabet.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).then_some(Token(bytes))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The public id of a socket: one namespace of one client. Kept by recovery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketId(pub Token);

/// The private id of a session: who shows it may recover it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrivateId(pub Token);

impl fmt::Debug for PrivateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateId(..)")
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A room of one namespace; short names are held inline, as they are compared
/// in three maps on the way of each message. The kinds never meet: a client that joins the room
/// `user:7` is in `Named("user:7")`, not in `User("7")`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "WrittenRoom", into = "WrittenRoom")]
pub enum Room {
    /// Everyone in the namespace.
    All,
    /// The one socket of this id.
    Socket(SocketId),
    /// All sockets of a user, as the configuration names it.
    User(SmolStr),
    /// A room by name: the only kind that a client can name.
    Named(SmolStr),
}

impl Room {
    /// Longest name of a room or user, in bytes.
    pub const MAX_NAME: usize = 256;

    pub fn user(name: &str) -> Result<Self, BadRoomName> {
        check_name(name)?;
        Ok(Room::User(name.into()))
    }

    pub fn named(name: &str) -> Result<Self, BadRoomName> {
        check_name(name)?;
        Ok(Room::Named(name.into()))
    }

    /// Joined by the gateway itself at connect and kept for the socket's life.
    pub fn is_implicit(&self) -> bool {
        matches!(self, Room::All | Room::Socket(_))
    }
}

/// Why a text cannot name a room or a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRoomName {
    #[error("a room name must not be empty")]
    Empty,
    #[error("a room name has at most {} bytes", Room::MAX_NAME)]
    TooLong,
    #[error("a room name must not hold control characters")]
    ControlCharacter,
}

fn check_name(name: &str) -> Result<(), BadRoomName> {
    if name.is_empty() {
        return Err(BadRoomName::Empty);
    }
    if name.len() > Room::MAX_NAME {
        return Err(BadRoomName::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(BadRoomName::ControlCharacter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(Room::named(""), Err(BadRoomName::Empty));
        assert_eq!(Room::user(&"x".repeat(257)), Err(BadRoomName::TooLong));
        assert_eq!(Room::named("a\nb"), Err(BadRoomName::ControlCharacter));
        assert_ne!(Room::named("user:7").unwrap(), Room::user("7").unwrap());
        assert!(Room::named("房间 1").is_ok());
    }

    #[test]
    fn tokens_read_back_and_differ() {
        let token = Token::random();
        assert_eq!(Token::parse(token.as_str()), Some(token));
        assert_ne!(Token::random(), token);
        assert_eq!(Token::parse("short"), None);
        let tag = NodeTag::random();
        let named = Token::random().with_first(63).with_node(tag);
        assert_eq!((named.first(), named.node()), (63, tag));
        assert_eq!(Token::parse(named.as_str()), Some(named));
        assert_eq!(Token::parse("aaaaaaaaaaaaaaaaaaa\""), None);
    }
}
