//! What is published: to whom, where it stands in the order, and its content.
//!
//! The vocabulary of everything between the publish API and the outbound
//! queues. A [`Draft`] is what somebody wants to send; the adapter gives it its
//! place and makes it a [`Message`], encoded once and shared by every worker,
//! room and log entry that holds it.
//!
//! Invariants: positions of logged messages grow strictly within an epoch; a
//! message never changes.

mod ack;
mod node;
mod position;
mod room;
mod written;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::protocol::{Body, Frames};
use crate::trace::TraceContext;

pub use ack::{AckCollector, AckTicket, Acknowledgement, Acks};
pub use node::NodeTag;
pub use position::{BadOffset, Epoch, Offset, Position};
pub use room::{BadRoomName, NamespaceId, PrivateId, Room, SocketId, Token};

/// Target rooms; nearly always one.
pub type Rooms = SmallVec<[Room; 1]>;

/// A configured namespace, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRef {
    pub id: NamespaceId,
    /// Begins with `/`.
    pub name: Arc<str>,
    /// Its events are logged and can be recovered.
    pub recovery: bool,
}

/// The namespaces of this process, by name and by index.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(Vec<NamespaceRef>);

impl Namespaces {
    /// `names` with whether recovery is on, in the order of their indexes.
    pub fn new<'a>(names: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let refs = names.into_iter().enumerate().map(|(index, (name, recovery))| NamespaceRef {
            id: NamespaceId(index as u16),
            name: name.into(),
            recovery,
        });
        Namespaces(refs.collect())
    }

    pub fn by_name(&self, name: &str) -> Option<&NamespaceRef> {
        self.0.iter().find(|namespace| &*namespace.name == name)
    }

    /// `None` for an index of another process.
    pub fn get(&self, id: NamespaceId) -> Option<&NamespaceRef> {
        self.0.get(usize::from(id.0))
    }

    pub fn iter(&self) -> impl Iterator<Item = &NamespaceRef> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An event that wants to be sent.
#[derive(Clone, Debug)]
pub struct Draft {
    pub namespace: NamespaceRef,
    /// Sockets in any of these get it, once. At most [`Draft::MAX_ROOMS`].
    pub rooms: Rooms,
    /// Sockets in any of these do not.
    pub except: Vec<Room>,
    pub body: Body,
    /// Dropped for who cannot take it at once; never logged.
    pub volatile: bool,
    pub idempotency: Option<Idempotency>,
    /// The span that publishes it, where there is one.
    pub trace: Option<Arc<TraceContext>>,
}

impl Draft {
    /// Most target rooms of one message.
    pub const MAX_ROOMS: usize = 100;

    /// Whether it goes to the log, so that who missed it can recover it.
    pub fn is_recoverable(&self) -> bool {
        self.namespace.recovery && !self.volatile
    }
}

/// The client's key of one publish: the same key again is answered with the
/// first message's id and sent no second time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// Namespace, API key's name and the client's key.
    pub key: Arc<str>,
    /// Of the whole request: the same key with another body is a conflict.
    pub digest: u64,
}

/// An event on its way to its recipients.
#[derive(Debug)]
pub struct Message {
    pub namespace: NamespaceId,
    pub rooms: Rooms,
    pub except: Box<[Room]>,
    pub content: Content,
    /// The span that published it, where there is one.
    pub trace: Option<Arc<TraceContext>>,
}

/// How a message is encoded, and what it promises.
#[derive(Debug)]
pub enum Content {
    /// In the log; the frames end in its offset.
    Logged { offset: Offset, frames: Frames },
    /// Not in the log, and without an offset: a namespace without recovery, or
    /// an event that asks for acknowledgements.
    Unlogged { frames: Frames, volatile: bool, ack: Option<AckTicket> },
    /// Volatile among logged ones: each worker ends it in the position that
    /// its recipient has reached.
    Positionless { namespace: Arc<str>, body: Body },
}

impl Message {
    /// A draft at its place in the log.
    pub fn logged(draft: Draft, offset: Offset) -> Self {
        let mut text = Vec::with_capacity(Offset::MAX_LEN);
        offset.write_to(&mut text);
        let frames = Frames::event(&draft.namespace.name, &draft.body, None, Some(&text));
        let content = Content::Logged { offset, frames };
        Self::new(draft.namespace.id, draft.rooms, draft.except, content, draft.trace)
    }

    /// The same event, ending in another offset; `None` of one that ends in none.
    pub fn ending_in(&self, offset: Offset) -> Option<Self> {
        let Content::Logged { offset: own, frames } = &self.content else { return None };
        let written = |offset: Offset| {
            let mut text = Vec::with_capacity(Offset::MAX_LEN);
            offset.write_to(&mut text);
            text
        };
        let frames = frames.ending_in(written(*own).len(), &written(offset));
        Some(Message {
            namespace: self.namespace,
            rooms: self.rooms.clone(),
            except: self.except.clone(),
            trace: None,
            content: Content::Logged { offset, frames },
        })
    }

    /// A draft that does not go to the log.
    pub fn unlogged(draft: Draft) -> Self {
        let content = if draft.namespace.recovery {
            Content::Positionless { namespace: draft.namespace.name, body: draft.body }
        } else {
            let frames = Frames::event(&draft.namespace.name, &draft.body, None, None);
            Content::Unlogged { frames, volatile: draft.volatile, ack: None }
        };
        Self::new(draft.namespace.id, draft.rooms, draft.except, content, draft.trace)
    }

    /// A draft that every recipient shall acknowledge.
    pub fn with_ack(draft: Draft, ticket: AckTicket) -> Self {
        let frames = Frames::event(&draft.namespace.name, &draft.body, Some(ticket.id()), None);
        let content = Content::Unlogged { frames, volatile: draft.volatile, ack: Some(ticket) };
        Self::new(draft.namespace.id, draft.rooms, draft.except, content, draft.trace)
    }

    fn new(
        namespace: NamespaceId,
        rooms: Rooms,
        except: Vec<Room>,
        content: Content,
        trace: Option<Arc<TraceContext>>,
    ) -> Self {
        Message { namespace, rooms, except: except.into(), content, trace }
    }

    /// Its place in the log, if it has one.
    pub fn position(&self) -> Option<Position> {
        match &self.content {
            Content::Logged { offset, .. } => Some(offset.position),
            Content::Unlogged { .. } | Content::Positionless { .. } => None,
        }
    }

    /// Bytes held, about; where a message comes from is not counted.
    pub fn len(&self) -> usize {
        let content = match &self.content {
            Content::Logged { frames, .. } | Content::Unlogged { frames, .. } => frames.len(),
            Content::Positionless { body, .. } => body.len(),
        };
        size_of::<Self>() - size_of::<Option<Arc<TraceContext>>>() + content
    }

    /// Never: there is always an event.
    pub fn is_empty(&self) -> bool {
        false
    }
}
