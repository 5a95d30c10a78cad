//! From what callers sent to what the adapter takes: every value is checked
//! here, each refusal names its field.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::message::{Draft, Idempotency, NamespaceRef, Namespaces, Room, Rooms, SocketId, Token};
use crate::protocol::{BadBody, Body};

use super::arguments;
use super::error::RequestError;
use super::keys::Caller;
use super::request::{AckRequest, Except, Publish, Target, Text};

/// Most rooms, users and sockets in one target, in one `except`, and most
/// rooms in one join or leave.
pub(crate) const MAX_LISTED: usize = Draft::MAX_ROOMS;

/// Longest idempotency key, in characters.
const MAX_KEY: usize = 128;

/// Bounds of an acknowledgement's timeout, in milliseconds.
const ACK_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 1..=60_000;

/// The configured namespace of this name.
pub(crate) fn namespace(namespaces: &Namespaces, name: &str) -> Result<NamespaceRef, RequestError> {
    namespaces.by_name(name).cloned().ok_or_else(|| RequestError::UnknownNamespace(name.to_owned()))
}

/// The draft of one publish; `key` is its idempotency key, from wherever it
/// came. `item.ack` is the caller's to handle.
pub(super) fn draft(
    namespaces: &Namespaces,
    caller: Caller<'_>,
    item: &Publish<'_>,
    key: Option<&str>,
) -> Result<Draft, RequestError> {
    let namespace = namespace(namespaces, &item.namespace)?;
    let rooms = target(&item.target)?;
    let except = except(&item.except.0)?;
    check_args("args", &item.args)?;
    let body = body(&item.event, &item.args)?;
    let mut draft = Draft { namespace, rooms, except, body, volatile: item.volatile, idempotency: None, trace: None };
    if let Some(key) = key {
        if draft.volatile {
            return Err(RequestError::field("volatile", "cannot be combined with an idempotency key"));
        }
        draft.idempotency = Some(idempotency(&draft, caller, key));
    }
    Ok(draft)
}

/// The event's name and arguments, which have been checked.
pub(crate) fn body(event: &str, args: &[&RawValue]) -> Result<Body, RequestError> {
    Body::from_json(event, args).map_err(bad_body)
}

/// Refuses arguments that others could not decode, by the path of their list.
pub(crate) fn check_args(field: &str, args: &[&RawValue]) -> Result<(), RequestError> {
    let check = |(n, arg): (usize, &&RawValue)| {
        arguments::check(arg).map_err(|error| RequestError::field(format!("{field}[{n}]"), error))
    };
    args.iter().enumerate().try_for_each(check)
}

/// Whether `key` can be an idempotency key; the reason if not.
pub(super) fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err("an idempotency key has 1 to 128 printable ASCII characters");
    }
    Ok(())
}

/// How long to wait for acknowledgements.
pub(super) fn ack_timeout(ack: AckRequest) -> Result<Duration, RequestError> {
    if !ACK_TIMEOUT_MS.contains(&ack.timeout_ms) {
        let (least, most) = ACK_TIMEOUT_MS.into_inner();
        return Err(RequestError::field("ack.timeout_ms", format_args!("must be from {least} to {most}")));
    }
    Ok(Duration::from_millis(ack.timeout_ms))
}

/// The rooms that a target stands for, sorted, each once.
pub(crate) fn target(target: &Target<'_>) -> Result<Rooms, RequestError> {
    let lists = match target {
        Target::All => return Ok(Rooms::from_iter([Room::All])),
        Target::Lists(lists) => lists,
    };
    let listed = lists.rooms.len() + lists.users.len() + lists.sockets.len();
    if listed == 0 {
        return Err(RequestError::field("target", "must name at least one room, user or socket, or be \"all\""));
    }
    check_listed("target", "rooms, users and sockets", listed)?;
    let mut rooms = Rooms::with_capacity(listed);
    extend(&mut rooms, "target.rooms", &lists.rooms, |name| Room::named(name).map_err(|e| e.to_string()))?;
    extend(&mut rooms, "target.users", &lists.users, |name| Room::user(name).map_err(|e| e.to_string()))?;
    extend(&mut rooms, "target.sockets", &lists.sockets, socket)?;
    if rooms.len() > 1 {
        rooms.sort_unstable();
        rooms.dedup();
    }
    Ok(rooms)
}

/// The rooms to be joined or left.
pub(super) fn named(names: &[Text<'_>]) -> Result<Vec<Room>, RequestError> {
    if names.is_empty() {
        return Err(RequestError::field("rooms", "must name at least one room"));
    }
    check_listed("rooms", "rooms", names.len())?;
    let mut rooms = Vec::with_capacity(names.len());
    extend(&mut rooms, "rooms", names, |name| Room::named(name).map_err(|e| e.to_string()))?;
    rooms.sort_unstable();
    rooms.dedup();
    Ok(rooms)
}

/// The rooms that are left out, sorted, each once.
pub(crate) fn except(except: &Except<'_>) -> Result<Vec<Room>, RequestError> {
    let listed = except.rooms.len() + except.sockets.len();
    check_listed("except", "rooms and sockets", listed)?;
    let mut rooms = Vec::with_capacity(listed);
    extend(&mut rooms, "except.rooms", &except.rooms, |name| Room::named(name).map_err(|e| e.to_string()))?;
    extend(&mut rooms, "except.sockets", &except.sockets, socket)?;
    rooms.sort_unstable();
    rooms.dedup();
    Ok(rooms)
}

fn check_listed(field: &str, what: &str, listed: usize) -> Result<(), RequestError> {
    if listed > MAX_LISTED {
        return Err(RequestError::field(
            field,
            format_args!("names {listed} {what}, at most {MAX_LISTED} are allowed"),
        ));
    }
    Ok(())
}

/// Appends the rooms that `names` stand for, by `read`.
fn extend(
    rooms: &mut impl Extend<Room>,
    field: &str,
    names: &[Text<'_>],
    read: impl Fn(&str) -> Result<Room, String>,
) -> Result<(), RequestError> {
    for (n, Text(name)) in names.iter().enumerate() {
        let room = read(name).map_err(|reason| RequestError::field(format!("{field}[{n}]"), reason))?;
        rooms.extend([room]);
    }
    Ok(())
}

fn socket(id: &str) -> Result<Room, String> {
    let token = Token::parse(id).ok_or_else(|| String::from("not a socket id"))?;
    Ok(Room::Socket(SocketId(token)))
}

#[cold]
fn bad_body(error: BadBody) -> RequestError {
    let field = match error {
        BadBody::EmptyName | BadBody::ReservedName(_) => "event",
        BadBody::BadBinary | BadBody::Placeholder | BadBody::TooManyAttachments | BadBody::NotAnEvent => "args",
    };
    RequestError::field(field, error)
}

/// The key in its scope, and the digest of the content: its rooms in any
/// order, its event, and its arguments as they were written. The digest is
/// the same on every node and in every version.
fn idempotency(draft: &Draft, caller: Caller<'_>, key: &str) -> Idempotency {
    let mut hash = Sha256::new();
    let mut part = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (side, rooms) in [(0, &*draft.rooms), (4, &*draft.except)] {
        for room in rooms {
            match room {
                Room::All => part(side, b""),
                Room::Socket(id) => part(side + 1, id.0.as_str().as_bytes()),
                Room::User(name) => part(side + 2, name.as_bytes()),
                Room::Named(name) => part(side + 3, name.as_bytes()),
            }
        }
    }
    part(8, draft.body.elements());
    draft.body.attachments().iter().for_each(|attachment| part(9, attachment));
    let digest = hash.finalize();
    let head = digest.first_chunk().expect("a sha256 has 32 bytes");
    // neither a namespace's nor a key's name can be forged into another scope:
    // callers choose the last part only, and it holds no line break
    let key: Arc<str> = format!("{}\n{}\n{key}", draft.namespace.name, caller.name).into();
    Idempotency { key, digest: u64::from_le_bytes(*head) }
}
