//! Between the words of the gateway and those of the library.

use std::sync::Arc;

use adapter_redis as redis;

use crate::adapter::{
    Action, Ending, GoneReason, Membership, NewSession, Notice, NoticeId, NoticeOf, OperationId, PresenceChange,
    Present, PresentSocket, PresentState, PublishError, ReadError, Refresh, Revocation, Revoked, SessionKey, Stays,
    TakeOverError, Unavailable, WriteError,
};
use crate::message::{Draft, Epoch, NamespaceRef, Namespaces, Offset, Position, Room, SocketId, Token};
use crate::protocol::Body;

pub(super) fn room(room: &Room) -> redis::Room {
    match room {
        Room::All => redis::Room::All,
        Room::Socket(id) => redis::Room::Socket(id.0.as_str().into()),
        Room::User(name) => redis::Room::User(name.clone()),
        Room::Named(name) => redis::Room::Named(name.clone()),
    }
}

/// `None` for a room that no gateway names.
pub(super) fn own_room(room: redis::Room) -> Option<Room> {
    match room {
        redis::Room::All => Some(Room::All),
        redis::Room::Socket(id) => Token::parse(&id).map(|token| Room::Socket(SocketId(token))),
        redis::Room::User(name) => Room::user(&name).ok(),
        redis::Room::Named(name) => Room::named(&name).ok(),
    }
}

pub(super) fn rooms(rooms: &[Room]) -> Vec<redis::Room> {
    rooms.iter().map(room).collect()
}

pub(super) fn own_rooms(rooms: Vec<redis::Room>) -> Option<Vec<Room>> {
    rooms.into_iter().map(own_room).collect()
}

pub(super) fn room_keys(namespace: &NamespaceRef, rooms: &[Room]) -> Vec<redis::RoomKey> {
    rooms.iter().map(|other| redis::RoomKey::new(&namespace.name, &room(other))).collect()
}

pub(super) fn id(position: Position) -> redis::Id {
    redis::Id::new(position.ms(), position.sequence())
}

pub(super) fn position(id: redis::Id) -> Position {
    Position::new(id.ms(), id.sequence())
}

pub(super) fn offset(place: redis::Place) -> Offset {
    Offset { epoch: epoch(place.epoch), position: position(place.id) }
}

pub(super) fn epoch(epoch: redis::Epoch) -> Epoch {
    Epoch::from(epoch.0)
}

pub(super) fn their_epoch(epoch: Epoch) -> redis::Epoch {
    redis::Epoch(epoch.number())
}

pub(super) fn event(draft: &Draft) -> redis::Event {
    redis::Event {
        namespace: (&*draft.namespace.name).into(),
        rooms: rooms(&draft.rooms),
        except: rooms(&draft.except),
        volatile: draft.volatile,
        trace: draft.trace.as_ref().map(|trace| trace.to_string().into()).unwrap_or_default(),
        elements: draft.body.elements().clone(),
        attachments: draft.body.attachments().to_vec(),
    }
}

/// `None` when its namespace is not configured here, or a room is not one.
pub(super) fn draft(namespaces: &Namespaces, event: redis::Event) -> Option<Draft> {
    Some(Draft {
        namespace: namespaces.by_name(&event.namespace)?.clone(),
        rooms: event.rooms.into_iter().map(own_room).collect::<Option<_>>()?,
        except: own_rooms(event.except)?,
        body: Body::from_parts(event.elements, event.attachments),
        volatile: event.volatile,
        idempotency: None,
        // nearly always empty
        trace: if event.trace.is_empty() { None } else { event.trace.parse().ok().map(Arc::new) },
    })
}

pub(super) fn key(key: SessionKey) -> redis::SessionKey {
    redis::SessionKey { pid: key.pid.0.as_str().into(), generation: key.generation }
}

pub(super) fn session(namespace: &NamespaceRef, generation: u64, session: &NewSession) -> redis::NewSession {
    redis::NewSession {
        key: key(SessionKey { pid: session.pid, generation }),
        namespace: (&*namespace.name).into(),
        socket: session.socket.0.as_str().into(),
        subject: session.subject.as_deref().unwrap_or_default().into(),
        identity: session.identity.as_deref().unwrap_or_default().into(),
        watched: redis::Watch { gone: session.watched.gone, presence: session.watched.presence },
        rooms: rooms(&session.rooms),
    }
}

/// Nobody's and nothing is empty there.
pub(super) fn text(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

pub(super) fn reason(ending: Ending) -> redis::Reason {
    match ending {
        Ending::Client => redis::Reason::Client,
        Ending::Backend => redis::Reason::Backend,
        Ending::Lost => redis::Reason::Lost,
    }
}

/// `None` when its namespace is not configured here.
pub(super) fn notice(namespaces: &Namespaces, notice: redis::Notice) -> Option<Notice> {
    let namespace = namespaces.by_name(&notice.namespace)?.id;
    let what = match notice.what {
        redis::NoticeOf::Gone { socket, subject, identity, reason } => NoticeOf::Gone {
            socket: SocketId(Token::parse(&socket)?),
            subject: text(&subject),
            identity: text(&identity),
            reason: match reason {
                redis::Reason::Client => GoneReason::Client,
                redis::Reason::Backend => GoneReason::Backend,
                redis::Reason::Lost => GoneReason::Lost,
                redis::Reason::Expired => GoneReason::Expired,
            },
        },
        redis::NoticeOf::Presence { room, member, change } => NoticeOf::Presence {
            room: own_room(room)?,
            user: match member {
                redis::Room::User(name) | redis::Room::Socket(name) => name.as_str().into(),
                redis::Room::All | redis::Room::Named(_) => return None,
            },
            change: match change {
                redis::Change::Joined => PresenceChange::Joined,
                redis::Change::Left => PresenceChange::Left,
            },
        },
    };
    Some(Notice { id: NoticeId::new(notice.id.id.as_str(), notice.id.entry.as_str()), namespace, what })
}

pub(super) fn present_sockets(present: redis::Present) -> Present {
    let socket = |it: redis::PresentSocket| {
        Some(PresentSocket {
            socket: SocketId(Token::parse(&it.socket)?),
            subject: text(&it.subject),
            state: if it.is_away { PresentState::Away } else { PresentState::Connected },
        })
    };
    Present { total: present.total, sockets: present.sockets.into_iter().filter_map(socket).collect() }
}

pub(super) fn revocation(revocation: &Revocation) -> redis::Revocation<'_> {
    redis::Revocation {
        namespace: &revocation.namespace.name,
        what: match &revocation.what {
            Revoked::User(user) => redis::Revoked::User(user),
            Revoked::Token(id) => redis::Revoked::Token(id),
            Revoked::All => redis::Revoked::All,
        },
        issued_before: revocation.issued_before.0,
        until: revocation.until.0,
    }
}

pub(super) fn refresh(epochs: &redis::Epochs, refresh: Refresh) -> redis::Refresh {
    redis::Refresh { key: key(refresh.key), confirmed: epochs.place(id(refresh.confirmed)) }
}

/// The position of a place, when it is of this epoch.
pub(super) fn present(current: redis::Epoch, place: Option<redis::Place>) -> Option<Position> {
    place.filter(|place| place.epoch == current).map(|place| position(place.id))
}

/// Stays in the present epoch; those that ended before it are over.
pub(super) fn stays(current: redis::Epoch, session: redis::Session) -> Stays {
    let membership = |stay: redis::Membership| {
        let until = match stay.until {
            Some(until) => Some(present(current, Some(until))?),
            None => None,
        };
        let since = present(current, stay.since).unwrap_or(Position::ZERO);
        Some(Membership { room: own_room(stay.room)?, since, until })
    };
    Stays {
        start: present(current, session.start).unwrap_or(Position::ZERO),
        memberships: session.memberships.into_iter().filter_map(membership).collect(),
        changes: session.changes,
    }
}

/// What is done to sessions; nothing is for questions.
pub(super) fn action(action: &Action) -> Option<redis::Action> {
    match action {
        Action::Join(named) => Some(redis::Action::Join(rooms(named))),
        Action::Leave(named) => Some(redis::Action::Leave(rooms(named))),
        Action::Disconnect { .. } => Some(redis::Action::Disconnect),
        Action::List | Action::Count | Action::Revoke(_) => None,
    }
}

pub(super) fn waiting(waiting: redis::Waiting) -> Option<(OperationId, Action)> {
    let id = OperationId(Token::parse(&waiting.operation)?);
    let action = match waiting.action {
        redis::Action::Join(rooms) => Action::Join(own_rooms(rooms)?),
        redis::Action::Leave(rooms) => Action::Leave(own_rooms(rooms)?),
        redis::Action::Disconnect => Action::Disconnect { close: false },
    };
    Some((id, action))
}

impl From<redis::Unavailable> for Unavailable {
    fn from(redis::Unavailable: redis::Unavailable) -> Self {
        Unavailable
    }
}

impl From<redis::PublishError> for PublishError {
    fn from(error: redis::PublishError) -> Self {
        match error {
            redis::PublishError::Conflict => PublishError::IdempotencyConflict,
            redis::PublishError::Unavailable => PublishError::Unavailable,
            redis::PublishError::Unknown => PublishError::OutcomeUnknown,
        }
    }
}

impl From<redis::WriteError> for WriteError {
    fn from(error: redis::WriteError) -> Self {
        match error {
            redis::WriteError::Fenced => WriteError::Fenced,
            redis::WriteError::Full => WriteError::Full,
            redis::WriteError::Unavailable(_) => WriteError::Unavailable(Unavailable),
        }
    }
}

impl From<redis::TakeOverError> for TakeOverError {
    fn from(error: redis::TakeOverError) -> Self {
        match error {
            redis::TakeOverError::Unknown => TakeOverError::Unknown,
            redis::TakeOverError::Foreign => TakeOverError::Foreign,
            redis::TakeOverError::Unavailable(_) => TakeOverError::Unavailable(Unavailable),
        }
    }
}

impl From<redis::ReadError> for ReadError {
    fn from(error: redis::ReadError) -> Self {
        match error {
            redis::ReadError::Trimmed | redis::ReadError::OtherEpoch => ReadError::Trimmed,
            redis::ReadError::TooMuch => ReadError::TooMuch,
            redis::ReadError::Unavailable(_) => ReadError::Unavailable(Unavailable),
        }
    }
}

/// A namespace by its name and room, as the bus names it.
pub(super) fn place_of(namespaces: &Namespaces, key: &redis::RoomKey) -> Option<(NamespaceRef, Room)> {
    let (namespace, room) = key.parts()?;
    Some((namespaces.by_name(namespace)?.clone(), own_room(room)?))
}
