//! The node, as the bus sees it.

use std::sync::Arc;
use std::time::Instant;

use adapter_redis::{Asked, Event, Host, Id, Place, Question, RoomKey};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::adapter::Node;
use crate::message::{AckCollector, Message, NamespaceId, Namespaces, Room, SocketId, Token};

use super::convert;

/// Questions of other nodes that may wait; further ones are not answered, and
/// the answer there is called partial.
pub(super) const QUESTIONS: usize = 1024;

/// A question, with what there is to wait for.
pub(super) enum Work {
    /// The event has been sent; its acknowledgements are to come.
    Collect(AckCollector),
    Operate(Bytes),
}

/// See the module.
pub(super) struct Local {
    pub(super) node: Arc<dyn Node>,
    pub(super) namespaces: Namespaces,
    pub(super) questions: mpsc::Sender<(Question, Work)>,
}

#[async_trait]
impl Host for Local {
    type Message = Arc<Message>;

    fn message(&self, place: Option<Place>, event: Event) -> Option<Arc<Message>> {
        let Some(draft) = convert::draft(&self.namespaces, event) else {
            tracing::debug!("an event of a namespace that is not configured here");
            return None;
        };
        Some(Arc::new(match place {
            Some(place) => Message::logged(draft, convert::offset(place)),
            None => Message::unlogged(draft),
        }))
    }

    fn deliver(&self, message: Arc<Message>) {
        self.node.deliver(message);
    }

    fn announce(&self) {
        self.node.announce();
    }

    fn position(&self, id: Id) {
        self.node.tick(convert::position(id));
    }

    fn canary(&self, sent: Instant) {
        self.node.canary(sent);
    }

    fn has_space(&self) -> bool {
        self.node.has_space()
    }

    async fn space(&self) {
        self.node.space().await;
    }

    fn is_wanted(&self, room: &RoomKey) -> bool {
        convert::place_of(&self.namespaces, room)
            .is_some_and(|(namespace, room)| self.node.is_wanted(namespace.id, &room))
    }

    fn lost(&self, rooms: Vec<RoomKey>) {
        let mut by_namespace: Vec<(NamespaceId, Vec<Room>)> = Vec::new();
        for (namespace, room) in rooms.iter().filter_map(|key| convert::place_of(&self.namespaces, key)) {
            match by_namespace.iter_mut().find(|(id, _)| *id == namespace.id) {
                Some((_, rooms)) => rooms.push(room),
                None => by_namespace.push((namespace.id, vec![room])),
            }
        }
        by_namespace.into_iter().for_each(|(namespace, rooms)| self.node.lost(namespace, rooms));
    }

    fn new_epoch(&self) {
        self.node.refresh();
    }

    async fn entangled(&self) {
        self.node.begin_anew().await;
    }

    fn fence(&self, namespace: &str, socket: &str, generation: u64) {
        if let (Some(namespace), Some(socket)) = (self.namespaces.by_name(namespace), Token::parse(socket)) {
            self.node.fence(namespace.id, SocketId(socket), generation);
        }
    }

    fn asked(&self, question: Question, asked: Asked) {
        let work = match asked {
            Asked::Operate(operation) => Work::Operate(operation),
            Asked::Acknowledge(event) => {
                let (collector, ticket) = AckCollector::new();
                match convert::draft(&self.namespaces, event) {
                    Some(draft) => {
                        self.node.deliver(Arc::new(Message::with_ack(draft, ticket)));
                        self.node.announce();
                    }
                    // nobody is sent it: the answer is that
                    None => drop(ticket),
                }
                Work::Collect(collector)
            }
        };
        if self.questions.try_send((question, work)).is_err() {
            tracing::warn!("too many questions of other nodes: one is not answered");
        }
    }
}
