//! The clients of the model, which behave as the stock client does, and the
//! backends that publish.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use rand::RngExt;
use rand::rngs::SmallRng;
use smallvec::smallvec;

use crate::adapter::{Action, Operation, PublishError};
use crate::message::{Draft, Idempotency, NamespaceRef, Offset, PrivateId, Room, SocketId};
use crate::protocol::Body;

use super::ledger::Ledger;
use super::server::{Frame, Input, Link};
use super::world::World;

/// Rooms that clients share.
const ROOMS: u32 = 5;

pub(super) struct Client {
    /// What it asks for when it connects anew.
    rooms: Vec<Room>,
    pub(super) pid: Option<PrivateId>,
    /// The last string argument of any event, kept across sessions.
    offset: Option<Offset>,
    /// CONNECT was answered.
    link: Option<Rc<Link>>,
    /// CONNECT was sent.
    attempts: Vec<Rc<Link>>,
    /// Volatile events of this connection.
    seen: Vec<String>,
}

fn room(n: u32) -> Room {
    if n.is_multiple_of(2) { Room::Named(format!("room-{n}").into()) } else { Room::User(format!("user-{n}").into()) }
}

/// All that clients share.
pub(super) fn shared_rooms() -> impl Iterator<Item = Room> {
    (0..ROOMS).map(room)
}

fn some_rooms(dice: &mut SmallRng, most: u32) -> Vec<Room> {
    let count = dice.random_range(1..=most);
    let mut rooms: Vec<Room> = (0..count).map(|_| room(dice.random_range(0..ROOMS))).collect();
    rooms.sort();
    rooms.dedup();
    rooms
}

/// A client that is nowhere, and may turn up anywhere.
pub(super) struct Roamer {
    rooms: Vec<Room>,
    pid: Option<PrivateId>,
    offset: Option<Offset>,
}

impl Client {
    /// Hands over what the client knows, if it is not connected.
    pub(super) fn roam(&self) -> Option<Roamer> {
        let away = self.link.is_none() && self.attempts.is_empty();
        away.then(|| Roamer { rooms: self.rooms.clone(), pid: self.pid, offset: self.offset })
    }

    pub(super) fn arrive(Roamer { rooms, pid, offset }: Roamer) -> Self {
        Client { rooms, pid, offset, link: None, attempts: vec![], seen: vec![] }
    }

    pub(super) fn new(dice: &mut SmallRng) -> Self {
        Client { rooms: some_rooms(dice, 3), pid: None, offset: None, link: None, attempts: vec![], seen: vec![] }
    }
}

impl World {
    /// Something that a client does, or that happens to it.
    pub(super) fn act(&mut self, client: usize) {
        let Some(link) = self.clients[client].link.clone() else { return self.seek(client) };
        if link.closing.get() {
            // what was under way may still come
            let some = [0, 1, 3, 100][self.dice.random_range(0..4)];
            self.receive(client, some);
            return self.desert(client);
        }
        match self.dice.random_range(0..100) {
            0..50 => {
                let some = [1, 2, 5, 100][self.dice.random_range(0..4)];
                self.receive(client, some);
            }
            50..58 => self.pong(&link),
            58..71 => {
                let rooms = some_rooms(&mut self.dice, 2);
                self.tally.joins += 1;
                link.inbox.borrow_mut().push_back(Input::Join(rooms));
            }
            71..83 => {
                let rooms = some_rooms(&mut self.dice, 2);
                self.tally.leaves += 1;
                link.inbox.borrow_mut().push_back(Input::Leave(rooms));
            }
            83..96 => {
                let some = self.dice.random_range(0..6);
                self.receive(client, some);
                self.desert(client);
            }
            _ => {}
        }
    }

    /// Not connected: tries to be.
    fn seek(&mut self, client: usize) {
        let twice = self.setting.twice && self.dice.random_bool(0.3);
        let most = if self.setting.newest_only { usize::MAX } else { 2 };
        if self.clients[client].attempts.is_empty() || (twice && self.clients[client].attempts.len() < most) {
            return self.connect(client);
        }
        let attempts = self.clients[client].attempts.clone();
        let index = self.dice.random_range(0..attempts.len());
        let attempt = &attempts[index];
        let answer = attempt.outbound.borrow().iter().find_map(|frame| match frame {
            Frame::Connected(key) => Some(*key),
            Frame::Event(_) | Frame::Volatile { .. } | Frame::Ping | Frame::Disconnected => None,
        });
        if let Some(key) = answer {
            attempts.iter().filter(|other| !Rc::ptr_eq(other, attempt)).for_each(|other| other.deserted.set(true));
            let client = &mut self.clients[client];
            client.attempts.clear();
            client.seen.clear();
            client.link = Some(Rc::clone(attempt));
            client.pid = Some(key.pid);
            self.ledger.lock().unwrap().on_connected(key);
        } else if attempt.closing.get() || self.dice.random_ratio(1, 12) {
            attempt.deserted.set(true);
            self.clients[client].attempts.remove(index);
        }
    }

    fn connect(&mut self, client: usize) {
        let place = Rc::clone(&self.places[self.dice.random_range(0..self.places.len())]);
        let (id, pid) = (SocketId(self.token()), PrivateId(self.token()));
        let client = &mut self.clients[client];
        let shown = client.pid.map(|pid| (pid, client.offset));
        let link = Rc::new(Link {
            place,
            outbound: Default::default(),
            capacity: self.setting.outbound,
            closing: false.into(),
            lost: false.into(),
            sockets: Default::default(),
            inbox: Default::default(),
            job: None.into(),
            outcomes: Default::default(),
            pinging: false.into(),
            pong: None.into(),
            deserted: false.into(),
            epoch: self.ledger.lock().unwrap().present(),
        });
        *link.job.borrow_mut() = Some(Box::pin(Rc::clone(&link).connect(shown, id, pid, client.rooms.clone())));
        if self.setting.newest_only {
            client.attempts.drain(..).for_each(|earlier| earlier.deserted.set(true));
        }
        client.attempts.push(Rc::clone(&link));
        self.links.push(link);
        self.born.push(id);
    }

    /// Takes some of what was sent.
    fn receive(&mut self, client: usize, most: usize) {
        let client = &mut self.clients[client];
        let (Some(link), Some(pid)) = (&client.link, client.pid) else { return };
        let mut ledger = self.ledger.lock().unwrap();
        for _ in 0..most {
            let Some(frame) = link.outbound.borrow_mut().pop_front() else { return };
            match frame {
                Frame::Connected(_) => {}
                Frame::Event(offset) => {
                    ledger.on_received(pid, offset);
                    client.offset = Some(offset);
                }
                Frame::Volatile { offset, tag } => {
                    if client.seen.contains(&tag) && !ledger.may_repeat(&tag) {
                        ledger.problems.push(format!("the volatile event {tag} came twice"));
                    }
                    client.seen.push(tag);
                    self.tally.volatile += 1;
                    let received = ledger.received(pid);
                    ledger.on_shown(pid, offset, received);
                    client.offset = Some(offset);
                }
                Frame::Ping => link.pong.set(Some(ledger.received(pid))),
                Frame::Disconnected => {
                    // the stock client stays away; the application calls it back, as somebody new
                    self.tally.disconnected += 1;
                    link.deserted.set(true);
                    (client.link, client.pid) = (None, None);
                    return;
                }
            }
        }
    }

    /// The connection breaks; the server does not know yet.
    fn desert(&mut self, client: usize) {
        if let Some(link) = self.clients[client].link.take() {
            self.tally.cuts += 1;
            if let Some(pid) = self.clients[client].pid {
                self.ledger.lock().unwrap().connected.remove(&pid);
            }
            link.deserted.set(true);
            if self.dice.random_bool(0.5) {
                self.pong(&link);
            }
        }
    }

    /// At the end: reads all, and comes back if it is away. True once it is
    /// connected and nothing is under way.
    pub(super) fn come_home(&mut self, client: usize) -> bool {
        let Some(link) = self.clients[client].link.clone() else {
            self.seek(client);
            return false;
        };
        let waiting = !link.outbound.borrow().is_empty();
        self.receive(client, usize::MAX);
        if link.closing.get() {
            self.desert(client);
            return false;
        }
        !waiting
    }

    /// A backend, or a client by way of the gateway, publishes.
    pub(super) fn publish(&mut self) {
        let place = Rc::clone(&self.places[self.dice.random_range(0..self.places.len())]);
        let count = self.dice.random_range(1..4);
        let draft = |_| draft(&mut self.dice, &self.ledger, &place.namespace, &mut self.names);
        let mut batch: Vec<Draft> = (0..count).map(draft).collect();
        let keyed = self.setting.keyed && self.dice.random_bool(0.3);
        // the answer may get lost on the way
        let repeats = keyed && self.dice.random_bool(0.3);
        if keyed {
            for draft in &mut batch {
                draft.idempotency = Some(Idempotency { key: tag(draft).into(), digest: 7 });
            }
        }
        self.tally.published += batch.len();
        let (adapter, ledger) = (Arc::clone(&place.adapter), Arc::clone(&self.ledger));
        let publishing = async move {
            for attempt in 0..4 {
                let outcomes = adapter.publish(batch.clone()).await;
                let mut again = Vec::new();
                for (draft, outcome) in batch.into_iter().zip(outcomes) {
                    ledger.lock().unwrap().on_answer(&tag(&draft), outcome, attempt);
                    let lost = repeats && attempt == 0 && outcome != Err(PublishError::Unavailable);
                    if lost || (keyed && outcome == Err(PublishError::OutcomeUnknown)) {
                        again.push(draft);
                    }
                }
                if again.is_empty() {
                    return;
                }
                batch = again;
            }
        };
        self.tasks.push((place, Box::pin(publishing)));
    }

    /// A backend wants something done with whoever is in some rooms.
    pub(super) fn operate(&mut self) {
        let place = Rc::clone(&self.places[self.dice.random_range(0..self.places.len())]);
        let own = self.ledger.lock().unwrap().own_room(&mut self.dice);
        let rooms = match own {
            Some(own) if self.dice.random_bool(0.5) => vec![own],
            _ => some_rooms(&mut self.dice, 2),
        };
        let action = match self.dice.random_range(0..10) {
            0..5 => Action::Join(some_rooms(&mut self.dice, 2)),
            5..9 => Action::Leave(some_rooms(&mut self.dice, 2)),
            _ => Action::Disconnect { close: false },
        };
        let operation = Operation { namespace: place.namespace.clone(), rooms, action, id: None };
        self.tally.operations += 1;
        let adapter = Arc::clone(&place.adapter);
        let operating = async move {
            let _ = adapter.operate(operation).await;
        };
        self.tasks.push((place, Box::pin(operating)));
    }
}

/// Tells a publish apart from all others.
pub(super) fn tag(draft: &Draft) -> String {
    String::from_utf8_lossy(draft.body.elements()).into_owned()
}

/// Something to publish.
pub(super) fn draft(dice: &mut SmallRng, ledger: &Mutex<Ledger>, namespace: &NamespaceRef, names: &mut u64) -> Draft {
    let own = ledger.lock().unwrap().own_room(dice);
    let rooms = match dice.random_range(0..100) {
        0..60 => smallvec![room(dice.random_range(0..ROOMS))],
        60..85 => some_rooms(dice, 3).into(),
        85..92 => smallvec![Room::All],
        _ => smallvec![own.clone().unwrap_or(Room::All)],
    };
    let except = match dice.random_range(0..100) {
        0..20 => some_rooms(dice, 2),
        20..30 => own.into_iter().collect(),
        _ => Vec::new(),
    };
    *names += 1;
    let body = Body::from_values("n", &[(*names).into()]).unwrap();
    let namespace = namespace.clone();
    Draft { namespace, rooms, except, body, volatile: dice.random_ratio(1, 5), idempotency: None, trace: None }
}
