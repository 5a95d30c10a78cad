//! What Redis has really done, told to the ledger: seen from within the
//! server, after each request that it has carried out.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use ::redis::{FromRedisValue, from_redis_value};
use adapter_redis::{Event, Names, Place, Record, RoomKey};
use fake_redis::{ConnectionId, FakeRedis, Push, SubscriberReceiver, SubscriberSender};

use crate::adapter::{NewSession, RoomChange, SessionKey, Watch};
use crate::message::{Epoch, NamespaceId, Offset, Position, PrivateId, Room, SocketId, Token};

use super::super::ledger::Ledger;

/// Hears all that is published, at once.
struct Spy {
    sender: SubscriberSender,
    receiver: SubscriberReceiver,
}

/// The rooms of a session as it is stored, and since when; `None`: since before
/// this epoch.
type Rooms = Vec<(Room, Option<Offset>)>;

pub(super) struct Truth {
    redis: FakeRedis,
    names: Names,
    ledger: Arc<Mutex<Ledger>>,
    spy: Spy,
    rooms: Vec<Room>,
    /// What each session was last seen to hold as confirmed.
    confirmed: HashMap<PrivateId, String>,
    /// The rooms of sessions that were not written in this epoch yet, as a
    /// failover has left them.
    stale: HashMap<PrivateId, Rooms>,
    /// The latest that each session was under.
    generations: HashMap<PrivateId, u64>,
}

fn library_room(room: &Room) -> adapter_redis::Room {
    match room {
        Room::All => adapter_redis::Room::All,
        Room::Socket(id) => adapter_redis::Room::Socket(id.0.as_str().into()),
        Room::User(name) => adapter_redis::Room::User(name.clone()),
        Room::Named(name) => adapter_redis::Room::Named(name.clone()),
    }
}

fn own_room(room: &adapter_redis::Room) -> Room {
    match room {
        adapter_redis::Room::All => Room::All,
        adapter_redis::Room::Socket(id) => Room::Socket(SocketId(Token::parse(id).unwrap())),
        adapter_redis::Room::User(name) => Room::User(name.clone()),
        adapter_redis::Room::Named(name) => Room::Named(name.clone()),
    }
}

fn own_offset(place: Place) -> Offset {
    Offset { epoch: Epoch::from(place.epoch.0), position: Position::new(place.id.ms(), place.id.sequence()) }
}

fn place(text: &str) -> Option<Offset> {
    text.parse::<Place>().ok().map(own_offset)
}

fn rooms_of(fields: &HashMap<String, String>) -> Rooms {
    let room = |name: &String| Some(own_room(&adapter_redis::Room::parse(name.strip_prefix("r:")?)?));
    fields.iter().filter_map(|(name, since)| Some((room(name)?, place(since)))).collect()
}

/// The rooms that a session has left with the last message.
fn left_at(fields: &HashMap<String, String>, head: Offset) -> Vec<Room> {
    let lines = fields.get("past").into_iter().flat_map(|past| past.lines());
    let room = |line: &str| {
        let (stay, until) = line.rsplit_once('\t')?;
        let room = adapter_redis::Room::parse(stay.split_once('\t')?.0)?;
        (place(until) == Some(head)).then(|| own_room(&room))
    };
    lines.filter_map(room).collect()
}

impl Truth {
    pub(super) fn new(redis: &FakeRedis, names: Names, ledger: Arc<Mutex<Ledger>>, rooms: Vec<Room>) -> Self {
        let spy = Spy::new(redis);
        let (confirmed, stale, generations) = Default::default();
        let redis = redis.clone();
        let mut truth = Truth { redis, names, ledger, spy, rooms: Vec::new(), confirmed, stale, generations };
        truth.listen(rooms);
        truth
    }

    /// The connection that listens: no part of the model.
    pub(super) fn spy(&self) -> ConnectionId {
        self.spy.sender.id()
    }

    /// All connections have ended.
    pub(super) fn renew(&mut self) {
        self.spy = Spy::new(&self.redis);
        let rooms = std::mem::take(&mut self.rooms);
        self.listen(rooms);
    }

    /// There are more rooms.
    pub(super) fn listen(&mut self, rooms: Vec<Room>) {
        let channel = |room: &Room| self.names.channel(&RoomKey::new("/", &library_room(room)));
        let channels: Vec<String> = rooms.iter().map(channel).chain([self.names.everybody()]).collect();
        self.rooms.extend(rooms);
        self.spy.sender.subscribe(channels).unwrap();
        self.redis.execute_next(self.spy.sender.id());
        self.redis.push_all(self.spy.sender.id());
    }

    /// The server carries out the next request of a connection.
    pub(super) fn execute(&mut self, id: ConnectionId) {
        let request = self.redis.next_request(id);
        self.redis.execute_next(id);
        if let Some(request) = request.filter(|request| request[0] == b"EVALSHA") {
            self.observe(&request);
        }
    }

    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        from_redis_value(self.redis.execute(command).unwrap()).unwrap()
    }

    fn observe(&mut self, request: &[Vec<u8>]) {
        let Some(head) = self.head() else { return };
        if self.ledger.lock().unwrap().on_epoch(head.epoch) {
            let pids: Vec<PrivateId> = self.ledger.lock().unwrap().accounts.keys().copied().collect();
            self.stale = pids.into_iter().map(|pid| (pid, rooms_of(&self.session(pid)))).collect();
        }
        self.redis.push_all(self.spy.sender.id());
        for record in self.spy.take() {
            let mut ledger = self.ledger.lock().unwrap();
            let rooms = |rooms: &[adapter_redis::Room]| rooms.iter().map(own_room).collect::<Vec<_>>();
            let tag = |event: &Event| String::from_utf8_lossy(&event.elements).into_owned();
            match Record::read(record.into()).unwrap() {
                Record::Logged(place, event) => {
                    ledger.on_logged(own_offset(place), rooms(&event.rooms), rooms(&event.except));
                    ledger.on_executed(tag(&event));
                }
                Record::Unlogged(event) => ledger.on_executed(tag(&event)),
                _ => {}
            }
        }
        for word in request {
            if let Some(pid) = std::str::from_utf8(word).ok().and_then(Token::parse) {
                self.look_at(PrivateId(pid), head);
            }
        }
    }

    /// The position of the last message.
    fn head(&self) -> Option<Offset> {
        let found: (Option<String>, Option<u64>, Option<u32>) =
            self.ask(&["HMGET", &self.names.meta(), "epoch", "ms", "seq"]);
        let (Some(epoch), Some(ms), Some(sequence)) = found else { return None };
        let epoch: adapter_redis::Epoch = epoch.parse().unwrap();
        Some(Offset { epoch: Epoch::from(epoch.0), position: Position::new(ms, sequence) })
    }

    /// What is stored of a session now.
    fn session(&self, pid: PrivateId) -> HashMap<String, String> {
        self.ask(&["HGETALL", &format!("{}s:{}", self.names.prefix(), pid.0)])
    }

    /// Operations that a session's owner has yet to carry out.
    pub(super) fn waiting(&self, pid: PrivateId) -> bool {
        self.session(pid).keys().any(|field| field.starts_with("p:"))
    }

    fn look_at(&mut self, pid: PrivateId, head: Offset) {
        let fields = self.session(pid);
        if fields.contains_key("ended") {
            self.ledger.lock().unwrap().on_end(pid);
        }
        if !fields.contains_key("gen") {
            return;
        }
        let expires: Option<u64> = self.ask(&["ZSCORE", &format!("{}due", self.names.prefix()), pid.0.as_str()]);
        let mut ledger = self.ledger.lock().unwrap();
        let rooms = rooms_of(&fields);
        if let Some(start) = place(&fields["start"]) {
            let begins = ledger.accounts.get(&pid).is_none_or(|account| account.received.is_empty());
            let known = ledger.accounts.get(&pid).map(|account| account.start);
            if known.is_none_or(|known| known != ledger.mark(start)) {
                let socket = SocketId(Token::parse(&fields["sid"]).unwrap());
                let rooms = rooms.iter().map(|(room, _)| room.clone()).collect();
                let session = NewSession {
                    pid,
                    socket,
                    namespace: NamespaceId(0),
                    subject: None,
                    identity: None,
                    watched: Watch::NONE,
                    rooms,
                };
                if begins {
                    ledger.on_open(&session, start, expires.unwrap_or_default());
                } else {
                    ledger.problems.push(format!("the session of socket {socket} was begun again"));
                }
            }
        }
        if let Some(expires) = expires {
            ledger.on_renewed(pid, expires);
        }
        let generation: u64 = fields["gen"].parse().unwrap();
        let is_stale = fields.get("epoch").is_some_and(|epoch| *epoch != head.epoch.to_string());
        let before = is_stale.then(|| self.stale.insert(pid, rooms.clone()).unwrap_or_else(|| rooms.clone()));
        let latest = self.generations.entry(pid).or_default();
        *latest = generation.max(*latest);
        // nobody will come back to one whose last owners a failover has undone
        if generation == *latest {
            ledger.on_stored(SessionKey { pid, generation }, before, &rooms, head);
            let mut leave: Vec<Room> = if is_stale { left_at(&fields, head) } else { Vec::new() };
            leave.retain(|room| rooms.iter().all(|(present, _)| present != room));
            ledger.on_change(pid, &RoomChange { leave, ..RoomChange::default() }, head);
        }
        let confirmed = fields.get("confirmed").cloned().unwrap_or_default();
        if self.confirmed.get(&pid) != Some(&confirmed) {
            if let Some(offset) = place(&confirmed) {
                let received = ledger.received(pid);
                ledger.on_claim(pid, offset, received);
            }
            self.confirmed.insert(pid, confirmed);
        }
    }
}

impl Spy {
    fn new(redis: &FakeRedis) -> Self {
        let (sender, receiver) = redis.subscriber();
        Spy { sender, receiver }
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        let mut context = Context::from_waker(Waker::noop());
        let mut records = Vec::new();
        while let Poll::Ready(Some(push)) = pin!(self.receiver.recv()).poll(&mut context) {
            if let Push::Message { payload, .. } = push {
                records.push(payload.to_vec());
            }
        }
        records
    }
}
