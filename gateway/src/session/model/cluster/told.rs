//! What was told of sessions, and whether it is what has happened to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use adapter_redis::Names;
use fake_redis::FakeRedis;

use crate::adapter::{Notice, NoticeId, NoticeOf, PresenceChange};
use crate::message::{PrivateId, Room, SocketId};

#[derive(Default)]
pub(super) struct Told {
    seen: HashMap<NoticeId, NoticeOf>,
    /// How often something came again.
    pub(super) repeated: usize,
    gone: BTreeSet<String>,
    /// The last change of each socket in each room.
    present: BTreeMap<(String, String), PresenceChange>,
    problems: Vec<String>,
}

impl Told {
    pub(super) fn add(&mut self, notices: Vec<Notice>) {
        for Notice { id, what, .. } in notices {
            match self.seen.insert(id, what.clone()) {
                Some(before) if before == what => self.repeated += 1,
                Some(before) => self.problems.push(format!("one id is {before:?} and {what:?}")),
                None => self.first(what),
            }
        }
    }

    fn first(&mut self, what: NoticeOf) {
        match what {
            NoticeOf::Gone { socket, .. } => drop(self.gone.insert(socket.to_string())),
            NoticeOf::Presence { room: Room::Named(room), user, change } => {
                let before = self.present.insert((room.to_string(), user.to_string()), change);
                if before.unwrap_or(PresenceChange::Left) == change {
                    self.problems.push(format!("{user} has {change:?} {room} twice in a row"));
                }
            }
            NoticeOf::Presence { .. } => self.problems.push("presence in a room without a name".into()),
        }
    }

    /// Whether something is still to be told.
    pub(super) fn waits(redis: &FakeRedis, names: &Names) -> bool {
        ask::<usize>(redis, &["ZCARD", &format!("{}notices", names.prefix())]) > 0
    }

    /// Compares with what is stored. `sessions`: all that ever were.
    pub(super) fn check<'a>(
        &self,
        redis: &FakeRedis,
        names: &Names,
        sessions: impl Iterator<Item = (&'a PrivateId, SocketId)>,
    ) -> Result<usize, String> {
        if let Some(problem) = self.problems.first() {
            return Err(problem.clone());
        }
        let prefix = names.prefix();
        let mut present = BTreeSet::new();
        for (pid, socket) in sessions {
            let fields: HashMap<String, String> = ask(redis, &["HGETALL", &format!("{prefix}s:{}", pid.0)]);
            let (socket, lives) = (socket.to_string(), fields.contains_key("gen"));
            if self.gone.contains(&socket) == lives {
                let told = if lives { "of which it was told that it has ended, lives" } else { "has ended untold" };
                return Err(format!("the session of {socket} {told}"));
            }
            let rooms = fields.keys().filter_map(|field| field.strip_prefix("r:n"));
            present.extend(rooms.map(|room| (room.to_owned(), socket.clone())));
        }
        let counts = format!("{prefix}w:");
        let (_, keys): (u64, Vec<String>) = ask(redis, &["SCAN", "0", "COUNT", "10000"]);
        let counted = keys.into_iter().filter(|key| key.starts_with(&counts));
        let mut stored = BTreeSet::new();
        for key in counted {
            let room = key.split_once(",n").map(|(_, room)| room.to_owned()).unwrap_or_default();
            let counts: HashMap<String, i64> = ask(redis, &["HGETALL", &key]);
            for (member, count) in counts {
                if count != 1 {
                    return Err(format!("{member} is {count} times in {room}"));
                }
                stored.insert((room.clone(), member.trim_start_matches('s').to_owned()));
            }
        }
        if stored != present {
            return Err(format!("counted as present are {stored:?}, and there are {present:?}"));
        }
        let joined = self.present.iter().filter(|(_, change)| **change == PresenceChange::Joined);
        let told: BTreeSet<(String, String)> = joined.map(|(place, _)| place.clone()).collect();
        if told != present {
            return Err(format!("told to be present are {told:?}, and there are {present:?}"));
        }
        Ok(self.seen.len())
    }
}

fn ask<T: ::redis::FromRedisValue>(redis: &FakeRedis, command: &[&str]) -> T {
    ::redis::from_redis_value(redis.execute(command).unwrap()).unwrap()
}
