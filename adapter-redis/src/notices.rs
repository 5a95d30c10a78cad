//! What is to be told of watched sessions: an outbox, written by the scripts
//! that change the sessions.
//!
//! Each notice is leased to one node; what a node has not settled in time goes
//! to another. So it is told at least once, also after a node was killed, and
//! under the same id each time. The changes of one member of one room are told
//! one after the other.
//!
//! Who looks: a node is woken by its own writes, and looks as often as expired
//! sessions are looked for.
//!
//! Limits: a million notices; what is over is dropped, and said so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::Value;
use smol_str::SmolStr;
use tokio::sync::Notify;

use crate::adapter::SWEEP;
use crate::reply::{array, ms, number, text, texts};
use crate::script::Script;
use crate::shard::Shard;
use crate::{Room, Unavailable};

/// Notices claimed in one call.
const CLAIM: usize = 100;

/// Names a notice: the same when it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoticeId {
    /// 20 characters of the URL-safe alphabet; unlike every other's.
    pub id: SmolStr,
    /// Where it is kept.
    pub entry: SmolStr,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub id: NoticeId,
    pub namespace: SmolStr,
    pub what: NoticeOf,
}

/// What a notice tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeOf {
    /// A session has ended.
    Gone {
        socket: SmolStr,
        /// Empty for nobody's.
        subject: SmolStr,
        /// Empty where there is none.
        identity: SmolStr,
        reason: Reason,
    },
    /// The first session of a member has come to a room, or the last has left.
    Presence {
        room: Room,
        /// [`Room::User`] for a subject, [`Room::Socket`] for a session of
        /// nobody.
        member: Room,
        change: Change,
    },
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    Client,
    Backend,
    Lost,
    Expired,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::Client => "client",
            Reason::Backend => "backend",
            Reason::Lost => "lost",
            Reason::Expired => "expired",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Reason::Client, Reason::Backend, Reason::Lost, Reason::Expired].into_iter().find(|it| it.as_str() == text)
    }
}

/// What became of a member of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    Joined,
    Left,
}

pub(crate) struct Notices {
    shard: Arc<Shard>,
    /// There may be something new.
    woken: Notify,
    /// How many were ever dropped, as last seen.
    dropped: AtomicU64,
}

impl Notices {
    pub(crate) fn new(shard: Arc<Shard>) -> Self {
        Notices { shard, woken: Notify::new(), dropped: AtomicU64::new(0) }
    }

    /// A script's answer, without the word that there is something to tell.
    pub(crate) fn heed(&self, reply: Value) -> Value {
        match reply {
            Value::Array(mut parts) if parts.len() == 2 && parts[0] == Value::BulkString(b"TOLD".to_vec()) => {
                self.woken.notify_one();
                parts.swap_remove(1)
            }
            reply => reply,
        }
    }

    /// Resolves when there are some.
    pub(crate) async fn next(&self) -> Vec<Notice> {
        let often = SWEEP.min(self.shard.settings.notice_lease);
        loop {
            match self.claim().await {
                Ok(notices) if !notices.is_empty() => return notices,
                // while Redis is away there is nothing to tell of
                Ok(_) | Err(Unavailable) => {}
            }
            let _ = tokio::time::timeout(often, self.woken.notified()).await;
        }
    }

    async fn claim(&self) -> Result<Vec<Notice>, Unavailable> {
        let lease = ms(self.shard.settings.notice_lease);
        let call = |_: &_, command: &mut redis::Cmd| {
            command.arg(self.shard.names.prefix()).arg(lease).arg(CLAIM);
        };
        let mut reply = array(self.shard.call(Script::ClaimNotices, &[], call).await?)?.into_iter();
        let dropped = number(reply.next().unwrap_or(Value::Nil))?;
        let before = self.dropped.swap(dropped, Ordering::Relaxed);
        self.shard.settings.observer.notices_dropped(dropped);
        if dropped > before {
            tracing::warn!(dropped = dropped - before, "too many notices wait: some are never told");
        }
        reply.map(notice).filter_map(Result::transpose).collect()
    }

    pub(crate) async fn settle(&self, done: &[NoticeId]) {
        if done.is_empty() {
            return;
        }
        let call = |_: &_, command: &mut redis::Cmd| {
            command.arg(self.shard.names.prefix());
            for NoticeId { id, entry } in done {
                command.arg(entry.as_str()).arg(id.as_str());
            }
        };
        match self.shard.call(Script::SettleNotices, &[], call).await.and_then(number) {
            Ok(0) => {}
            Ok(_) => self.woken.notify_one(),
            Err(Unavailable) => tracing::debug!(notices = done.len(), "notices were not settled: they come again"),
        }
    }
}

/// `{ entry, fields }`; `None` for one that no version known here writes.
fn notice(reply: Value) -> Result<Option<Notice>, Unavailable> {
    let mut parts = array(reply)?.into_iter();
    let entry = text(parts.next().unwrap_or(Value::Nil))?;
    let fields = texts(parts.next().unwrap_or(Value::Nil))?;
    let notice = read(&entry, &fields);
    if notice.is_none() {
        tracing::warn!(entry, "a notice cannot be read here: it is left for other nodes");
    }
    Ok(notice)
}

fn read(entry: &str, fields: &[String]) -> Option<Notice> {
    let field = |name: &str| {
        let pair = fields.chunks_exact(2).find(|pair| pair[0] == name)?;
        Some(pair[1].as_str())
    };
    let (id, what) = if entry.starts_with('g') {
        let gone = NoticeOf::Gone {
            socket: field("sid")?.into(),
            subject: field("subject")?.into(),
            identity: field("identity")?.into(),
            reason: Reason::read(field("reason")?)?,
        };
        (field("sid")?, gone)
    } else {
        let (id, change) = field("queue")?.lines().next()?.split_once(' ')?;
        let presence = NoticeOf::Presence {
            room: Room::parse(field("room")?)?,
            member: Room::parse(field("member")?)?,
            change: match change {
                "joined" => Change::Joined,
                "left" => Change::Left,
                _ => return None,
            },
        };
        (id, presence)
    };
    let id = NoticeId { id: id.into(), entry: entry.into() };
    Some(Notice { id, namespace: field("ns")?.into(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &[&str]) -> Vec<String> {
        text.iter().map(|field| (*field).to_owned()).collect()
    }

    #[test]
    fn notices_are_read() {
        let gone = fields(&["ns", "/", "sid", "abc", "subject", "ann", "identity", "", "reason", "lost"]);
        let what =
            NoticeOf::Gone { socket: "abc".into(), subject: "ann".into(), identity: "".into(), reason: Reason::Lost };
        let id = NoticeId { id: "abc".into(), entry: "gabc".into() };
        assert_eq!(read("gabc", &gone), Some(Notice { id, namespace: "/".into(), what }));

        let queue = "0000000a-00000000001 left\n0000000a-00000000002 joined\n";
        let present = fields(&["ns", "/", "room", "na,b", "member", "ux", "queue", queue]);
        let what = NoticeOf::Presence {
            room: Room::Named("a,b".into()),
            member: Room::User("x".into()),
            change: Change::Left,
        };
        let id = NoticeId { id: "0000000a-00000000001".into(), entry: "p/,na,b\nux".into() };
        assert_eq!(read("p/,na,b\nux", &present), Some(Notice { id, namespace: "/".into(), what }));
    }

    #[test]
    fn others_are_left_alone() {
        for (entry, broken) in [
            ("gabc", ["ns", "/", "sid", "abc", "subject", "ann", "identity", "", "reason", "bored"]),
            ("p/,na\nux", ["ns", "/", "room", "na", "member", "ux", "queue", "1 gone\n", "", ""]),
            ("p/,na\nux", ["ns", "/", "room", "na", "member", "ux", "queue", "", "", ""]),
            ("p/,na\nux", ["ns", "/", "room", "xa", "member", "ux", "queue", "1 left\n", "", ""]),
        ] {
            assert_eq!(read(entry, &fields(&broken)), None, "{broken:?}");
        }
    }
}
