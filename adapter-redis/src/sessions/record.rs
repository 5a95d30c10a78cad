//! A session as it is stored (see `lua/sessions.lua`).

use smol_str::SmolStr;

use crate::Room;
use crate::place::Place;

/// What is kept of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub socket: SmolStr,
    /// Empty for nobody's.
    pub subject: SmolStr,
    /// Text of the caller's; empty where there is none.
    pub identity: SmolStr,
    pub watched: Watch,
    pub generation: u64,
    /// Rooms that every socket is in count from here; `None` when that is of
    /// no epoch known.
    pub start: Option<Place>,
    /// The client had everything up to here.
    pub confirmed: Option<Place>,
    /// Present and past stays.
    pub memberships: Vec<Membership>,
    /// Counts what was done to it while its client was away.
    pub changes: u64,
}

/// What is told about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watch {
    /// That it has ended.
    pub gone: bool,
    /// Who comes to its named rooms and leaves them.
    pub presence: bool,
}

impl Watch {
    pub(super) fn as_str(self) -> &'static str {
        match (self.gone, self.presence) {
            (false, false) => "",
            (true, false) => "g",
            (false, true) => "p",
            (true, true) => "gp",
        }
    }

    fn read(text: &str) -> Self {
        Watch { gone: text.contains('g'), presence: text.contains('p') }
    }
}

/// A stay in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub room: Room,
    /// `None`: since before the present epoch.
    pub since: Option<Place>,
    /// `None` while it lasts.
    pub until: Option<Place>,
}

/// The version of sessions that is written; the one before is read too, once
/// there is one.
const VERSION: &str = "1";

impl Session {
    /// From its fields: name, value, name, value. `None` when it is of another
    /// version.
    pub(super) fn read(generation: u64, fields: Vec<String>) -> Option<Self> {
        let mut session = Session {
            socket: SmolStr::default(),
            subject: SmolStr::default(),
            identity: SmolStr::default(),
            watched: Watch::default(),
            generation,
            start: None,
            confirmed: None,
            memberships: Vec::new(),
            changes: 0,
        };
        for pair in fields.chunks_exact(2) {
            let (name, value) = (pair[0].as_str(), pair[1].as_str());
            match name {
                "version" if value != VERSION => return None,
                "sid" => session.socket = value.into(),
                "subject" => session.subject = value.into(),
                "identity" => session.identity = value.into(),
                "watch" => session.watched = Watch::read(value),
                "start" => session.start = value.parse().ok(),
                "confirmed" => session.confirmed = value.parse().ok(),
                "changes" => session.changes = value.parse().ok()?,
                "past" => {
                    for line in value.lines() {
                        session.memberships.push(past(line)?);
                    }
                }
                _ => {
                    if let Some(room) = name.strip_prefix("r:") {
                        let room = Room::parse(room)?;
                        session.memberships.push(Membership { room, since: value.parse().ok(), until: None });
                    }
                }
            }
        }
        Some(session)
    }
}

/// Room, since and until.
fn past(line: &str) -> Option<Membership> {
    let mut parts = line.split('\t');
    let room = Room::parse(parts.next()?)?;
    let since = parts.next()?.parse().ok();
    Some(Membership { room, since, until: Some(parts.next()?.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(extra: &[&str]) -> Vec<String> {
        let known = ["version", "1", "sid", "abc", "changes", "3", "start", "", "gen", "2"];
        known.iter().chain(extra).map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn a_session_is_read() {
        let at = "0000000a-1795246647165-0000003";
        let past = format!("na\t{at}\t{at}\n");
        let session = Session::read(2, fields(&["confirmed", at, "r:n1", at, "r:u7", "", "past", &past])).unwrap();
        let at = Some(at.parse().unwrap());
        assert_eq!((session.start, session.confirmed, session.changes), (None, at, 3));
        let stay = |room: Room, since, until| Membership { room, since, until };
        assert_eq!(
            session.memberships,
            [
                stay(Room::Named("1".into()), at, None),
                stay(Room::User("7".into()), None, None),
                stay(Room::Named("a".into()), at, at)
            ]
        );
    }

    #[test]
    fn another_version_is_not_read() {
        assert_eq!(Session::read(2, fields(&["version", "2"])), None);
        assert_eq!(Session::read(2, fields(&["past", "x"])), None);
    }
}
