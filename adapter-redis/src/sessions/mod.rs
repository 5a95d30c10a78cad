//! The session store: what is kept of a client so that any node can take it
//! over.
//!
//! Every write shows the session's generation and fails on a later one. Each
//! script's effect is the same when it runs twice, so a write whose outcome is
//! unknown is repeated until it is known.

mod presence;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::Value;
use smol_str::SmolStr;

use crate::mutation::mutated;
use crate::names::RoomKey;
use crate::nodes::Tag;
use crate::notices::{Notices, Reason};
use crate::place::Place;
use crate::record::Writer;
use crate::reply::{array, ms, number, place, text, texts};
use crate::script::Script;
use crate::shard::Shard;
use crate::{Room, Unavailable};

pub use presence::{Present, PresentSocket};
pub use record::{Membership, Session, Watch};

/// Sessions that one operation changes in one call.
const OPERATE_CHUNK: usize = 200;

/// Expired sessions removed in one call.
const SWEEP_CHUNK: u64 = 100;

/// A session under one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    pub pid: SmolStr,
    pub generation: u64,
}

/// What a session is written with.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub key: SessionKey,
    pub namespace: SmolStr,
    pub socket: SmolStr,
    /// Empty for nobody's.
    pub subject: SmolStr,
    /// Text of the caller's; empty where there is none.
    pub identity: SmolStr,
    pub watched: Watch,
    /// Without those that every socket is in.
    pub rooms: Vec<Room>,
}

/// Why a session was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("the session has another owner or has ended")]
    Fenced,
    #[error("there are too many sessions")]
    Full,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a session cannot be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeOverError {
    #[error("there is no such session, or no longer")]
    Unknown,
    #[error("it belongs to another namespace or subject")]
    Foreign,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Who wants to take a session over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimant<'a> {
    /// Only one that is nobody's.
    Nobody,
    /// Only one of this subject.
    User(&'a str),
    /// Whoever has its private id.
    Holder,
}

/// What attaching to a session comes to.
#[derive(Debug)]
pub enum Attached {
    /// The cut.
    At(Place),
    /// It has changed since it was taken over: this is what it is now.
    Changed(Session),
}

/// Rooms that a session enters and leaves.
#[derive(Debug, Clone, Default)]
pub struct RoomChange {
    pub join: Vec<Room>,
    pub leave: Vec<Room>,
    /// The operation that asks for it, which is done with it.
    pub operation: Option<SmolStr>,
    /// In place of the one before.
    pub identity: Option<SmolStr>,
}

/// A session whose client is alive.
#[derive(Debug, Clone)]
pub struct Refresh {
    pub key: SessionKey,
    /// The client has everything up to here.
    pub confirmed: Place,
}

/// What is to be done about a session that was to be refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attention {
    /// It has another owner or has ended.
    Fenced,
    /// It is gone though nobody ended it, or not written in this epoch yet.
    Missing,
    /// Operations that it was not told of, in their order.
    Waiting(Vec<Waiting>),
}

/// An operation that waits to be carried out by a session's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub operation: SmolStr,
    pub action: Action,
}

/// What an operation does to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Join(Vec<Room>),
    Leave(Vec<Room>),
    Disconnect,
}

impl Action {
    /// A word and rooms, by lines.
    fn write(&self) -> String {
        let (word, rooms): (_, &[Room]) = match self {
            Action::Join(rooms) => ("join", rooms),
            Action::Leave(rooms) => ("leave", rooms),
            Action::Disconnect => ("disconnect", &[]),
        };
        rooms.iter().fold(word.to_owned(), |text, room| format!("{text}\n{room}"))
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let word = lines.next()?;
        let rooms = lines.map(Room::parse).collect::<Option<Vec<_>>>()?;
        match word {
            "join" => Some(Action::Join(rooms)),
            "leave" => Some(Action::Leave(rooms)),
            "disconnect" => Some(Action::Disconnect),
            _ => None,
        }
    }
}

impl Waiting {
    /// `p:<number>:<operation>`, a line end, and the action.
    fn read(text: &str) -> Option<Self> {
        let (field, action) = text.split_once('\n')?;
        let operation = field.splitn(3, ':').nth(2)?.into();
        Some(Waiting { operation, action: Action::read(action)? })
    }
}

pub(crate) struct Sessions {
    shard: Arc<Shard>,
    writer: Writer,
    tag: Tag,
    notices: Arc<Notices>,
    /// Numbers changes of rooms.
    changes: AtomicU64,
}

impl Sessions {
    pub(crate) fn new(shard: Arc<Shard>, tag: Tag, notices: Arc<Notices>) -> Self {
        let writer = Writer(shard.settings.format);
        Sessions { shard, writer, tag, notices, changes: AtomicU64::new(1) }
    }

    /// Calls a script of the session store; `arguments` follow the prefix.
    async fn call(&self, script: Script, arguments: &[&str]) -> Result<Value, Unavailable> {
        let call = |_: &_, command: &mut redis::Cmd| {
            command.arg(self.shard.names.prefix());
            let _ = arguments.iter().fold(command, |command, argument| command.arg(*argument));
        };
        Ok(self.notices.heed(self.shard.call(script, &[], call).await?))
    }

    fn ttl(&self) -> String {
        ms(self.shard.settings.session_ttl).to_string()
    }

    /// How long it is remembered that a session was ended.
    fn ended_ttl(&self) -> String {
        ms(self.shard.settings.retention).to_string()
    }

    /// Calls a script with all of a session; `more` stands before its rooms.
    async fn write(&self, script: Script, session: &NewSession, more: &[&str]) -> Result<Value, Unavailable> {
        let rooms: Vec<String> = session.rooms.iter().map(Room::to_string).collect();
        let (generation, ttl) = (session.key.generation.to_string(), self.ttl());
        let mut arguments = vec![
            session.key.pid.as_str(),
            &session.namespace,
            &session.socket,
            &session.subject,
            self.tag.as_str(),
            &generation,
            &ttl,
            &session.identity,
            session.watched.as_str(),
        ];
        arguments.extend(more);
        arguments.extend(rooms.iter().map(String::as_str));
        self.call(script, &arguments).await
    }

    /// Writes a new session; its rooms count from the place returned.
    pub(crate) async fn open(&self, session: &NewSession) -> Result<Place, WriteError> {
        let most = self.shard.settings.max_sessions.to_string();
        let reply = self.write(Script::OpenSession, session, &[&most]).await?;
        if is(&reply, "FULL") { Err(WriteError::Full) } else { Ok(self.shard.cut(place(reply)?)?) }
    }

    /// Writes a session that Redis has lost, or a part of it, while its client
    /// stayed.
    pub(crate) async fn restore(&self, session: &NewSession) -> Result<(), WriteError> {
        done(self.write(Script::RestoreSession, session, &[]).await?)
    }

    /// Makes this node the owner of a session, and fences the earlier one.
    pub(crate) async fn take_over(
        &self,
        pid: &str,
        namespace: &str,
        claimant: Claimant<'_>,
    ) -> Result<Session, TakeOverError> {
        let whose = match claimant {
            Claimant::Nobody => "=".to_owned(),
            Claimant::User(subject) => format!("={subject}"),
            Claimant::Holder => "*".to_owned(),
        };
        let channels = self.shard.names.node_channels();
        let (fence, attempt) = (self.writer.fence_head(), hex::encode(rand::random::<[u8; 8]>()));
        let (ttl, ended) = (self.ttl(), self.ended_ttl());
        let arguments = [pid, namespace, &whose, self.tag.as_str(), &ttl, &ended, &channels, &fence, &attempt];
        let reply = self.call(Script::TakeOver, &arguments).await?;
        if is(&reply, "UNKNOWN") {
            return Err(TakeOverError::Unknown);
        }
        if is(&reply, "FOREIGN") {
            return Err(TakeOverError::Foreign);
        }
        let mut reply = array(reply)?.into_iter();
        let generation = text(reply.next().unwrap_or(Value::Nil))?.parse().map_err(|_| Unavailable)?;
        let fields = texts(reply.next().unwrap_or(Value::Nil))?;
        // one of a version that comes after this one's is left for its own nodes
        Session::read(generation, fields).ok_or(TakeOverError::Unknown)
    }

    /// This node hears the session's rooms.
    pub(crate) async fn attach(&self, key: &SessionKey, changes: u64) -> Result<Attached, WriteError> {
        let (generation, changes) = (key.generation.to_string(), changes.to_string());
        let reply = self.call(Script::Attach, &[&key.pid, &generation, &changes]).await?;
        if is(&reply, "FENCED") {
            return Err(WriteError::Fenced);
        }
        let mut reply = array(reply)?.into_iter();
        let word = text(reply.next().unwrap_or(Value::Nil))?;
        let rest = reply.next().unwrap_or(Value::Nil);
        if word == "AT" {
            return Ok(Attached::At(self.shard.cut(place(rest)?)?));
        }
        let session = Session::read(key.generation, texts(rest)?).ok_or(Unavailable)?;
        Ok(Attached::Changed(session))
    }

    /// Enters and leaves rooms, as of the place returned.
    pub(crate) async fn change_rooms(&self, key: &SessionKey, change: &RoomChange) -> Result<Place, WriteError> {
        let generation = key.generation.to_string();
        let channel = self.shard.names.node_channel(self.tag.as_str());
        let rooms: Vec<String> = change.join.iter().chain(&change.leave).map(Room::to_string).collect();
        let entering = change.join.len().to_string();
        let number = self.changes.fetch_add(1, Ordering::Relaxed);
        let operation = change.operation.as_deref().unwrap_or_default();
        let identity = change.identity.as_deref().unwrap_or_default();
        let call = |up: &crate::shard::Up, command: &mut redis::Cmd| {
            command.arg(self.shard.names.prefix()).arg(key.pid.as_str()).arg(&generation).arg(operation);
            command.arg(&channel).arg(self.writer.position_head(up.epoch)).arg(number).arg(identity);
            command.arg(&entering);
            let _ = rooms.iter().fold(command, |command, room| command.arg(room));
        };
        let reply = self.notices.heed(self.shard.call(Script::ChangeRooms, &[], call).await?);
        if is(&reply, "FENCED") { Err(WriteError::Fenced) } else { Ok(self.shard.cut(place(reply)?)?) }
    }

    /// Keeps sessions alive; answers those that need attention, by index.
    pub(crate) async fn refresh(&self, batch: &[Refresh]) -> Result<Vec<(usize, Attention)>, Unavailable> {
        let ttl = self.ttl();
        let call = |_: &_, command: &mut redis::Cmd| {
            command.arg(self.shard.names.prefix()).arg(&ttl);
            for Refresh { key, confirmed } in batch {
                command.arg(key.pid.as_str()).arg(key.generation).arg(confirmed.to_string());
            }
        };
        let reply = array(self.shard.call(Script::Refresh, &[], call).await?)?;
        let mut attention: Vec<_> = reply.into_iter().map(attention).collect::<Result<_, _>>()?;
        if mutated!(IgnoreWaiting) {
            attention.retain(|(_, attention)| !matches!(attention, Attention::Waiting(_)));
        }
        Ok(attention)
    }

    /// The client has gone.
    pub(crate) async fn detach(&self, Refresh { key, confirmed }: &Refresh) -> Result<(), WriteError> {
        let (generation, confirmed) = (key.generation.to_string(), confirmed.to_string());
        let arguments = [key.pid.as_str(), &generation, &confirmed, &self.ttl(), &self.ended_ttl()];
        done(self.call(Script::Detach, &arguments).await?)
    }

    /// It cannot be recovered after this returned.
    pub(crate) async fn end(&self, key: &SessionKey, reason: Reason) -> Result<(), WriteError> {
        let generation = key.generation.to_string();
        let arguments = [key.pid.as_str(), &generation, &self.ended_ttl(), reason.as_str()];
        done(self.call(Script::EndSession, &arguments).await?)
    }

    /// Does something to the sessions of these rooms: now, to those whose
    /// client is away, which are counted; the owners of others find it.
    pub(crate) async fn operate(
        &self,
        namespace: &str,
        rooms: &[Room],
        operation: &str,
        action: &Action,
    ) -> Result<usize, Unavailable> {
        let names: Vec<String> = rooms.iter().map(Room::to_string).collect();
        let (written, count, ended) = (action.write(), names.len().to_string(), self.ended_ttl());
        let mut changed = 0;
        for room in rooms {
            let index = self.shard.names.index(&RoomKey::new(namespace, room));
            let mut cursor = 0u64;
            loop {
                let (next, pids) = self.scan(&index, cursor).await?;
                if !pids.is_empty() {
                    let mut arguments = vec![namespace, operation, &written, &ended, &count];
                    arguments.extend(names.iter().map(String::as_str));
                    arguments.extend(pids.iter().map(String::as_str));
                    let done = number(self.call(Script::Operate, &arguments).await?)?;
                    changed += usize::try_from(done).unwrap_or_default();
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(changed)
    }

    async fn scan(&self, index: &str, cursor: u64) -> Result<(u64, Vec<String>), Unavailable> {
        let up = self.shard.up(tokio::time::Instant::now() + self.shard.settings.patience).await?;
        let mut command = redis::cmd("SSCAN");
        command.arg(index).arg(cursor).arg("COUNT").arg(OPERATE_CHUNK);
        let reply = array(up.send(command).await.map_err(|_| Unavailable)?)?;
        let mut reply = reply.into_iter();
        let next = text(reply.next().unwrap_or(Value::Nil))?.parse().map_err(|_| Unavailable)?;
        Ok((next, texts(reply.next().unwrap_or(Value::Nil))?))
    }

    /// Removes sessions that have expired; whether there may be more.
    pub(crate) async fn sweep(&self) -> Result<bool, Unavailable> {
        let arguments = [&*SWEEP_CHUNK.to_string(), &self.ended_ttl()];
        let expired = number(self.call(Script::Sweep, &arguments).await?)?;
        if expired > 0 {
            tracing::debug!(sessions = expired, "sessions have expired");
        }
        Ok(expired >= SWEEP_CHUNK)
    }
}

fn is(reply: &Value, word: &str) -> bool {
    match reply {
        Value::BulkString(text) => text == word.as_bytes(),
        Value::SimpleString(text) => text == word,
        _ => false,
    }
}

/// FENCED or OK.
fn done(reply: Value) -> Result<(), WriteError> {
    if is(&reply, "FENCED") { Err(WriteError::Fenced) } else { Ok(()) }
}

/// `{ number, word, what waits }`.
fn attention(reply: Value) -> Result<(usize, Attention), Unavailable> {
    let mut parts = array(reply)?.into_iter();
    let index = usize::try_from(number(parts.next().unwrap_or(Value::Nil))?).map_err(|_| Unavailable)?;
    let attention = match text(parts.next().unwrap_or(Value::Nil))?.as_str() {
        "MISSING" => Attention::Missing,
        "WAITING" => {
            let waiting = texts(parts.next().unwrap_or(Value::Nil))?;
            Attention::Waiting(waiting.iter().filter_map(|text| Waiting::read(text)).collect())
        }
        _ => Attention::Fenced,
    };
    Ok((index, attention))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_read_back() {
        let rooms = vec![Room::Named("a b".into()), Room::User("7".into())];
        for action in [Action::Join(rooms.clone()), Action::Leave(rooms), Action::Disconnect] {
            let waiting = Waiting { operation: "o:1".into(), action: action.clone() };
            assert_eq!(Waiting::read(&format!("p:000000001:o:1\n{}", action.write())), Some(waiting));
        }
        assert_eq!(Waiting::read("p:1:x\njump"), None);
        assert_eq!(Action::read("join\nx"), None);
    }
}
