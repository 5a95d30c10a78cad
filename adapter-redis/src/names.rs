//! Names in Redis: rooms, keys, channels.
//!
//! All keys of a shard share the hash tag `{prefix}`, so that they stay
//! together on a Redis Cluster.

use std::fmt;

use smol_str::SmolStr;

/// A room of a namespace. Written as one character for its kind, and its name.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Room {
    /// Everyone in the namespace: `*`.
    All,
    /// The one socket of this id: `s<id>`.
    Socket(SmolStr),
    /// All sockets of a user: `u<name>`.
    User(SmolStr),
    /// A room by name: `n<name>`. No name holds a control character.
    Named(SmolStr),
}

impl Room {
    /// `None` for what no version known here writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut characters = text.chars();
        let kind = characters.next()?;
        let name = characters.as_str();
        match kind {
            '*' if name.is_empty() => Some(Room::All),
            's' => Some(Room::Socket(name.into())),
            'u' => Some(Room::User(name.into())),
            'n' => Some(Room::Named(name.into())),
            _ => None,
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Room::All => f.write_str("*"),
            Room::Socket(name) => write!(f, "s{name}"),
            Room::User(name) => write!(f, "u{name}"),
            Room::Named(name) => write!(f, "n{name}"),
        }
    }
}

/// A room and its namespace, as keys and channels name them:
/// `<namespace>,<room>`. (No namespace holds a comma.)
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RoomKey(SmolStr);

impl RoomKey {
    /// `namespace` begins with `/` and holds no comma.
    pub fn new(namespace: &str, room: &Room) -> Self {
        RoomKey(smol_str::format_smolstr!("{namespace},{room}"))
    }

    /// All rooms of a namespace, for who hears them all.
    pub(crate) fn all_of(namespace: &str) -> Self {
        RoomKey(smol_str::format_smolstr!("{namespace},"))
    }

    /// Whether it is of [`Self::all_of`].
    pub(crate) fn is_all_of_one(&self) -> bool {
        self.0.split_once(',').is_some_and(|(_, room)| room.is_empty())
    }

    /// As it is written: `<namespace>,<room>`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Namespace and room.
    pub fn parts(&self) -> Option<(&str, Room)> {
        let (namespace, room) = self.0.split_once(',')?;
        Some((namespace, Room::parse(room)?))
    }
}

/// The keys and channels of one deployment.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// `prefix`: of all keys; deployments with different ones do not meet.
    pub fn new(prefix: &str) -> Self {
        Names { prefix: format!("{{{prefix}}}:") }
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Epoch, run id, last id.
    pub fn meta(&self) -> String {
        format!("{}meta", self.prefix)
    }

    /// The nodes that are alive.
    pub fn nodes(&self) -> String {
        format!("{}nodes", self.prefix)
    }

    /// How many connections each of them has.
    pub(crate) fn loads(&self) -> String {
        format!("{}loads", self.prefix)
    }

    /// What all nodes take from together.
    pub(crate) fn budget(&self) -> String {
        format!("{}budget", self.prefix)
    }

    /// What nodes authenticate each other with.
    pub fn secret(&self) -> String {
        format!("{}secret", self.prefix)
    }

    /// What follows a room's channel in the key of its log, before the number
    /// of the slice.
    pub fn log_suffix(epoch: crate::Epoch) -> String {
        format!("|{epoch}|")
    }

    /// The sessions of a room.
    pub fn index(&self, room: &RoomKey) -> String {
        format!("{}i:{}", self.prefix, room.as_str())
    }

    /// A revocation, of the tokens that `whose` says.
    pub(crate) fn revocation(&self, namespace: &str, whose: &str) -> String {
        format!("{}v:{namespace},{whose}", self.prefix)
    }

    pub fn idempotency(&self, key: &str) -> String {
        format!("{}k:{key}", self.prefix)
    }

    pub fn channel(&self, room: &RoomKey) -> String {
        format!("{}c:{}", self.prefix, room.as_str())
    }

    /// What matches the channels of all rooms of a namespace.
    pub(crate) fn pattern(&self, all: &RoomKey) -> String {
        let mut pattern = String::new();
        for character in self.channel(all).chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('*');
        pattern
    }

    /// The channel that every node hears.
    pub fn everybody(&self) -> String {
        format!("{}all", self.prefix)
    }

    /// Begins the channels of nodes.
    pub fn node_channels(&self) -> String {
        format!("{}n:", self.prefix)
    }

    pub fn node_channel(&self, tag: &str) -> String {
        format!("{}n:{tag}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_and_their_keys_read_back() {
        for room in [Room::All, Room::Socket("x".into()), Room::User("a,b".into()), Room::Named("房间 1".into())] {
            assert_eq!(Room::parse(&room.to_string()), Some(room.clone()));
            let key = RoomKey::new("/chat", &room);
            assert_eq!(key.parts(), Some(("/chat", room)));
        }
        assert_eq!(Room::parse("x1"), None);
        assert_eq!(Room::parse("*1"), None);
        assert_eq!(Room::parse(""), None);
    }

    #[test]
    fn all_rooms_of_a_namespace_are_a_pattern() {
        let all = RoomKey::all_of("/chat*[1]");
        assert!(all.is_all_of_one());
        assert_eq!(all.parts(), None);
        assert_eq!(Names::new("p?").pattern(&all), r"{p\?}:c:/chat\*\[1\],*");
        for room in [Room::All, Room::Named(",".into()), Room::Named("a,".into())] {
            assert!(!RoomKey::new("/", &room).is_all_of_one(), "{room}");
        }
    }
}
