//! What a backend may answer.
//!
//! Types are strict: a field of the wrong type, a value that is refused, a
//! field that stands twice make the whole answer bad, and nothing of it is
//! done. Unknown fields are ignored, so that a backend may be newer than its
//! gateway; `null` is as good as absent.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use smallvec::smallvec;

use crate::auth::{Identity, UnixSeconds};
use crate::message::{BadRoomName, Draft, NamespaceRef, Room, SocketId};
use crate::protocol::Body;
use crate::publish::draft;
use crate::publish::error::RequestError;
use crate::publish::request::{self, Except, Object, Target, TargetLists, Text};

/// Most emits, joins and leaves in one answer, each.
pub const MAX_LISTED: usize = draft::MAX_LISTED;

/// What is to be done after an event or a notice; as a whole: nothing.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub ack: Option<Acked>,
    /// Tells the client that its event was refused.
    pub error: Option<Refusal>,
    /// To be published in this order.
    pub emit: Vec<Draft>,
    pub join: Vec<Room>,
    pub leave: Vec<Room>,
    pub disconnect: Leave,
}

/// What acknowledges the client's event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    /// `arg,arg` as JSON text, as `Frames::ack` takes them.
    pub elements: Bytes,
    pub attachments: Vec<Bytes>,
}

/// Why a backend refuses something; its own words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    pub code: String,
    #[serde(default)]
    pub message: String,
}

/// Whether the client has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leave {
    #[default]
    No,
    /// From the namespace.
    Namespace,
    /// Its connection is closed.
    Connection,
}

/// Why an answer cannot be used; for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadAnswer(String);

impl BadAnswer {
    fn new(reason: impl fmt::Display) -> Self {
        BadAnswer(without_values(&reason.to_string()))
    }
}

/// A reason as serde gives it, without what it repeats of the answer: that is
/// for clients, and not for the log. Values are in double quotes, unknown names
/// in backticks, and so are the paths that end in them.
fn without_values(reason: &str) -> String {
    let names_unknown = reason.contains("unknown field `");
    let mut kept = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some(at) = rest.find(['"', '`']) {
        kept.push_str(&rest[..at]);
        let (quote, named) = (&rest[at..=at], &rest[at + 1..]);
        let end = named.find(quote).unwrap_or(named.len());
        let of_ours = kept.contains("expected")
            || (quote == "`" && !kept.ends_with("unknown variant ") && !(names_unknown && kept.ends_with("field ")));
        kept.extend([quote, if of_ours { &named[..end] } else { "…" }, quote]);
        rest = named.get(end + 1..).unwrap_or_default();
        if quote == "\"" && !of_ours {
            // a value may hold quotes itself
            let after = rest.find(", expected").or_else(|| rest.find(" at line"));
            rest = &rest[after.unwrap_or(rest.len())..];
        }
    }
    kept + rest
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    ack: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    error: Option<Object<Refusal>>,
    #[serde(borrow, default)]
    emit: Option<Vec<Object<Emit<'a>>>>,
    #[serde(borrow, default)]
    join: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    leave: Option<Vec<Text<'a>>>,
    #[serde(default)]
    disconnect: Option<Leave>,
}

#[derive(Deserialize)]
struct Emit<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    args: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    target: Option<To<'a>>,
    #[serde(borrow, default)]
    except: Option<Object<Except<'a>>>,
    #[serde(default)]
    volatile: Option<bool>,
}

/// Whom an emit is for.
enum To<'a> {
    Sender,
    Others,
    These(Target<'a>),
}

/// Reads the answer to an event or a notice of `socket`.
pub(super) fn answer(body: &[u8], namespace: &NamespaceRef, socket: SocketId) -> Result<Answer, BadAnswer> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Answer::default());
    }
    let raw: Raw<'_> = parse(body)?;
    let emits = raw.emit.unwrap_or_default();
    check_listed("emit", emits.len())?;
    let mut emit = Vec::with_capacity(emits.len());
    for (n, Object(item)) in emits.into_iter().enumerate() {
        emit.push(item.draft(namespace, socket).map_err(|error| BadAnswer::new(format_args!("emit[{n}]: {error}")))?);
    }
    Ok(Answer {
        ack: raw.ack.map(|args| acked(&args)).transpose()?,
        error: raw.error.map(|Object(refusal)| refusal),
        emit,
        join: rooms("join", raw.join)?,
        leave: rooms("leave", raw.leave)?,
        disconnect: raw.disconnect.unwrap_or_default(),
    })
}

/// Reads the answer to the question who a client is.
pub(super) fn identity(body: &[u8]) -> Result<Identity, BadAnswer> {
    #[derive(Deserialize)]
    struct Raw {
        user: Option<UserId>,
        claims: Option<Map<String, Value>>,
        expires_at: Option<UnixSeconds>,
        issued_at: Option<UnixSeconds>,
        token_id: Option<Arc<str>>,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum UserId {
        Text(Arc<str>),
        Number(u64),
    }

    let raw: Raw = parse(body)?;
    let user: Option<Arc<str>> = raw.user.map(|user| match user {
        UserId::Text(text) => text,
        UserId::Number(number) => number.to_string().into(),
    });
    if let Some(user) = &user {
        Room::user(user).map_err(|error| BadAnswer::new(format_args!("user: {error}")))?;
    }
    Ok(Identity {
        user,
        claims: raw.claims.unwrap_or_default(),
        expires: raw.expires_at,
        issued: raw.issued_at,
        token_id: raw.token_id,
    })
}

/// Reads why a client is not let in; a backend need not say it.
pub(super) fn refusal(body: &[u8]) -> Option<Refusal> {
    parse(body).ok()
}

/// Reads the answer to the question whether a client may.
pub(super) fn verdict(body: &[u8]) -> Result<bool, BadAnswer> {
    #[derive(Deserialize)]
    struct Raw {
        allow: bool,
    }
    parse::<Raw>(body).map(|raw| raw.allow)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BadAnswer> {
    let json = std::str::from_utf8(body).map_err(BadAnswer::new)?;
    request::parse(json).map_err(BadAnswer::new)
}

fn acked(args: &[&RawValue]) -> Result<Acked, BadAnswer> {
    draft::check_args("ack", args).map_err(BadAnswer::new)?;
    let (elements, attachments) =
        Body::ack_from_json(args).map_err(|error| BadAnswer::new(format_args!("ack: {error}")))?;
    Ok(Acked { elements, attachments })
}

fn check_listed(field: &str, listed: usize) -> Result<(), BadAnswer> {
    if listed > MAX_LISTED {
        return Err(BadAnswer::new(format_args!("{field} names {listed}, at most {MAX_LISTED} are allowed")));
    }
    Ok(())
}

/// In the order of the answer, each once.
fn rooms(field: &str, names: Option<Vec<Text<'_>>>) -> Result<Vec<Room>, BadAnswer> {
    let names = names.unwrap_or_default();
    check_listed(field, names.len())?;
    let mut rooms = Vec::with_capacity(names.len());
    for (n, Text(name)) in names.iter().enumerate() {
        let room = room(name).map_err(|error| BadAnswer::new(format_args!("{field}[{n}]: {error}")))?;
        if !rooms.contains(&room) {
            rooms.push(room);
        }
    }
    Ok(rooms)
}

/// `user:` names a user's room, as in the configuration.
fn room(name: &str) -> Result<Room, BadRoomName> {
    match name.strip_prefix("user:") {
        Some(user) => Room::user(user),
        None => Room::named(name),
    }
}

impl Emit<'_> {
    fn draft(self, namespace: &NamespaceRef, socket: SocketId) -> Result<Draft, RequestError> {
        let own = Room::Socket(socket);
        let args = self.args.unwrap_or_default();
        let Object(except) = self.except.unwrap_or_default();
        let mut except = draft::except(&except)?;
        let rooms = match self.target.unwrap_or(To::Sender) {
            To::Sender => smallvec![own],
            To::Others => {
                if let Err(at) = except.binary_search(&own) {
                    except.insert(at, own);
                }
                smallvec![Room::All]
            }
            To::These(target) => draft::target(&target)?,
        };
        draft::check_args("args", &args)?;
        let body = draft::body(&self.event, &args)?;
        let volatile = self.volatile.unwrap_or_default();
        Ok(Draft { namespace: namespace.clone(), rooms, except, body, volatile, idempotency: None, trace: None })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for To<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ToVisitor;

        impl<'de> Visitor<'de> for ToVisitor {
            type Value = To<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#""sender", "others", "all" or an object of rooms, users and sockets"#)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "sender" => Ok(To::Sender),
                    "others" => Ok(To::Others),
                    "all" => Ok(To::These(Target::All)),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let lists = TargetLists::deserialize(MapAccessDeserializer::new(map))?;
                Ok(To::These(Target::Lists(lists)))
            }
        }

        deserializer.deserialize_any(ToVisitor)
    }
}

impl<'de> Deserialize<'de> for Leave {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LeaveVisitor;

        impl Visitor<'_> for LeaveVisitor {
            type Value = Leave;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"true, false or "close""#)
            }

            fn visit_bool<E: serde::de::Error>(self, leaves: bool) -> Result<Leave, E> {
                Ok(if leaves { Leave::Namespace } else { Leave::No })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Leave, E> {
                match text {
                    "close" => Ok(Leave::Connection),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(LeaveVisitor)
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
