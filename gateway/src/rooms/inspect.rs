//! This node's part of what an operator asks.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::adapter::inspect::{Explained, Finding, Inquiry, Inspected, NodeStatus, TopRooms};
use crate::message::NodeTag;

use super::router::{Command, Router, WorkerPort};

/// How long a worker may take: less than who asks waits.
const PATIENCE: Duration = Duration::from_millis(800);

/// What is in the rooms of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    pub sockets: usize,
    /// Rooms and users with a socket.
    pub rooms: usize,
}

/// Which node this is, and how it is.
pub(super) struct About {
    node: NodeTag,
    status: Box<dyn Fn(Census) -> NodeStatus + Send + Sync>,
}

impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("About").field(&self.node).finish()
    }
}

impl Router {
    /// Which node this is, and how it is whenever that is asked. Until then
    /// nothing is answered. The first call counts.
    pub fn introduce(&self, node: NodeTag, status: impl Fn(Census) -> NodeStatus + Send + Sync + 'static) {
        let _ = self.about.set(About { node, status: Box::new(status) });
    }

    pub(super) async fn answer(&self, inquiry: Inquiry) -> Option<Inspected> {
        let about = self.about.get()?;
        let finding = match &inquiry {
            Inquiry::Status => Finding::Status(Box::new((about.status)(self.census()))),
            Inquiry::Rooms { most, .. } => {
                let (most, mut partial) = (*most, false);
                let parts = self.ask(self.each(u64::MAX), &inquiry).await.into_iter().filter_map(|found| match found {
                    Some(Finding::Rooms(found)) => Some(found),
                    Some(Finding::Status(_) | Finding::Explained(_)) | None => {
                        partial = true;
                        None
                    }
                });
                let sum = TopRooms::sum(parts.collect::<Vec<_>>(), most);
                Finding::Rooms(TopRooms { partial: sum.partial || partial, ..sum })
            }
            Inquiry::Explain { namespace, rooms, .. } => {
                let concerned = self.each(self.concerned(namespace.id, rooms));
                let mut sum = Explained { members: vec![0; rooms.len()], ..Explained::default() };
                for found in self.ask(concerned, &inquiry).await {
                    match found {
                        Some(Finding::Explained(part)) => sum.merge(part),
                        Some(Finding::Status(_) | Finding::Rooms(_)) | None => sum.partial = true,
                    }
                }
                Finding::Explained(sum)
            }
        };
        Some(Inspected { node: about.node, finding })
    }

    /// What each of these workers finds; `None` of one that is too busy.
    async fn ask<'a>(&self, workers: impl Iterator<Item = &'a WorkerPort>, inquiry: &Inquiry) -> Vec<Option<Finding>> {
        let asked = workers.map(|worker| {
            let (answer, found) = oneshot::channel();
            let command = Command::Inspect { inquiry: inquiry.clone(), answer };
            async move {
                worker.commands.try_send(command).ok()?;
                tokio::time::timeout(PATIENCE, found).await.ok()?.ok()
            }
        });
        join_all(asked).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::Registry;
    use tokio::sync::{Notify, mpsc};

    use super::*;
    use crate::adapter::inspect::{Fate, Keeping, RoomCount};
    use crate::message::{NamespaceId, Namespaces, Room, SocketId, Token};
    use crate::rooms::RoomMetrics;
    use crate::rooms::mailbox::Mailbox;

    /// A router with two workers, and their commands.
    fn router() -> (Router, Vec<mpsc::Receiver<Command>>) {
        let space = Arc::new(Notify::new());
        let port = || {
            let (commands, queue) = mpsc::channel(1);
            (WorkerPort { mailbox: Arc::new(Mailbox::new(1000, Arc::clone(&space))), commands }, queue)
        };
        let (ports, queues) = [port(), port()].into_iter().unzip();
        (Router::new(ports, 2, Arc::clone(&space), RoomMetrics::register(&Registry::new()).unwrap()), queues)
    }

    fn room(name: &str) -> Room {
        Room::named(name).unwrap()
    }

    #[test]
    fn sockets_and_rooms_are_counted() {
        let (router, _queues) = router();
        let [one, two] = [0, 1].map(|_| Room::Socket(SocketId(Token::random())));
        router.add(0, NamespaceId(0), &[Room::All, one.clone(), room("a")]);
        router.add(1, NamespaceId(0), &[Room::All, two.clone(), room("a"), Room::user("ann").unwrap()]);
        router.add(1, NamespaceId(1), &[room("a")]);
        assert_eq!(router.census(), Census { sockets: 2, rooms: 3 });
        assert_eq!(router.remove(0, NamespaceId(0), vec![one, room("a")]).len(), 1);
        router.remove(1, NamespaceId(1), vec![room("a"), room("b")]);
        assert_eq!(router.census(), Census { sockets: 1, rooms: 2 });
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_busy_worker_does_not_answer_is_missed() {
        let (router, mut queues) = router();
        assert_eq!(router.answer(Inquiry::Status).await, None, "not introduced yet");
        let node = NodeTag::random();
        router.introduce(node, |census| NodeStatus { sockets: census.sockets as u64, ..NodeStatus::default() });
        let namespace = Namespaces::new([("/", true)]).by_name("/").unwrap().clone();
        let inquiry = Inquiry::Rooms { namespace: namespace.clone(), prefix: String::new(), most: 5 };
        let counted = RoomCount { room: room("a"), members: 3 };
        let (mut idle, busy) = (queues.remove(0), queues.remove(0));
        let works = async {
            while let Some(command) = idle.recv().await {
                let Command::Inspect { inquiry, answer } = command else { panic!("an inquiry") };
                let mut explained = Explained { members: vec![3, 1], ..Explained::default() };
                explained.fates.insert(Fate::Sent, 4);
                let found = match inquiry {
                    Inquiry::Rooms { .. } => Finding::Rooms(TopRooms::of(vec![counted.clone()], 5)),
                    Inquiry::Explain { .. } | Inquiry::Status => Finding::Explained(explained),
                };
                answer.send(found).unwrap();
            }
        };
        let asks = async {
            let found = router.answer(inquiry).await.unwrap();
            assert_eq!(found.node, node);
            let Finding::Rooms(top) = found.finding else { panic!("rooms") };
            assert_eq!((top.rooms, top.partial), (vec![counted.clone()], true));
            let rooms = vec![room("a"), room("b")];
            router.add(0, NamespaceId(0), &rooms);
            let inquiry = Inquiry::Explain { namespace, rooms, except: Vec::new(), keeping: Keeping::Logged };
            let Some(Inspected { finding: Finding::Explained(explained), .. }) = router.answer(inquiry).await else {
                panic!("an explanation");
            };
            // the other worker has no members: it is not asked
            assert_eq!((explained.members.as_slice(), explained.partial), ([3, 1].as_slice(), false));
        };
        tokio::select! {
            () = works => panic!("it ends with the router"),
            () = asks => {}
        }
        drop(busy);
    }
}
