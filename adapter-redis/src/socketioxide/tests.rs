//! The adapter of a namespace, with sockets that only remember what they were
//! sent. The rest is tested with a real server beside gateways.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use redis::{ErrorKind, RedisResult};
use socketioxide_core::adapter::errors::SocketError;
use socketioxide_core::adapter::{
    AckStreamItem, BroadcastFlags, BroadcastIter, BroadcastOptions, CoreAdapter, CoreLocalAdapter, RemoteSocketData,
    SocketEmitter,
};
use socketioxide_core::packet::Packet;
use socketioxide_core::parser::Parse;
use socketioxide_core::{Sid, Str, Uid, Value};
use socketioxide_parser_common::CommonParser;
use socketioxide_parser_msgpack::MsgPackParser;

use super::adapter::Target;
use super::node::Namespace;
use super::wire::{Answer, Asked, Doing};
use super::{CarillonAdapter, Error, Node, names};
use crate::server::{Commands, Inbox, Server, Subscriber};
use crate::{Event, Room, Settings, Unavailable};

/// Sockets of a namespace, and what was sent to whom.
#[derive(Clone)]
struct Sockets<P> {
    path: Str,
    sids: Vec<Sid>,
    sent: Arc<Mutex<Vec<(Sid, Value)>>>,
    parser: PhantomData<P>,
}

type NoAnswers = stream::Empty<AckStreamItem<SocketError>>;

impl<P: Parse + Send + Sync + 'static> SocketEmitter for Sockets<P> {
    type AckError = SocketError;
    type AckStream = NoAnswers;

    fn get_all_sids(&self, filter: impl Fn(&Sid) -> bool) -> Vec<Sid> {
        self.sids.iter().copied().filter(filter).collect()
    }

    fn get_remote_sockets(&self, sids: BroadcastIter<'_>) -> Vec<RemoteSocketData> {
        let socket = |id| RemoteSocketData { id, server_id: self.server_id(), ns: self.path.clone() };
        sids.filter(|sid| self.sids.contains(sid)).map(socket).collect()
    }

    fn send_many(&self, sids: BroadcastIter<'_>, data: Value) -> Result<(), Vec<SocketError>> {
        let sids = sids.filter(|sid| self.sids.contains(sid));
        self.sent.lock().unwrap().extend(sids.map(|sid| (sid, data.clone())));
        Ok(())
    }

    fn send_many_volatile(&self, sids: BroadcastIter<'_>, data: Value) {
        self.send_many(sids, data).unwrap();
    }

    fn send_many_with_ack(&self, _: BroadcastIter<'_>, _: Packet, _: Option<Duration>) -> (NoAnswers, u32) {
        (stream::empty(), 0)
    }

    fn disconnect_many(&self, _: Vec<Sid>) -> Result<(), Vec<SocketError>> {
        Ok(())
    }

    fn path(&self) -> &Str {
        &self.path
    }

    fn parser(&self) -> impl Parse {
        P::default()
    }

    fn server_id(&self) -> Uid {
        Uid::ZERO
    }

    fn ack_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// Redis that cannot be reached.
struct Away;

#[async_trait]
impl Server for Away {
    async fn commands(&self) -> RedisResult<Arc<dyn Commands>> {
        Err((ErrorKind::Io, "away").into())
    }

    async fn subscriber(&self, _: Arc<Inbox>) -> RedisResult<Box<dyn Subscriber>> {
        Err((ErrorKind::Io, "away").into())
    }
}

fn sockets<P>(path: &'static str, count: usize) -> Sockets<P> {
    let sids = (0..count).map(|_| Sid::new()).collect();
    Sockets { path: path.into(), sids, sent: Arc::default(), parser: PhantomData }
}

fn adapter<P: Parse + Send + Sync + 'static>(sockets: &Sockets<P>) -> Arc<CarillonAdapter<Sockets<P>>> {
    let node = Node::new(Arc::new(Away), Settings::default());
    Arc::new(CarillonAdapter::new(&node, CoreLocalAdapter::new(sockets.clone())))
}

fn named(name: &str) -> Room {
    Room::Named(name.into())
}

#[test]
fn options_become_targets() {
    let (mine, remote) = (Sid::new(), names::remote("abcdefghijklmnopqrst").unwrap());
    let own = Room::Socket(names::id(mine, None));
    let options = |sid: Option<Sid>, flags: &[BroadcastFlags], rooms: &[&'static str], except: &[&'static str]| {
        let mut options = BroadcastOptions::default();
        options.sid = sid;
        flags.iter().for_each(|flag| options.add_flag(*flag));
        options.rooms.extend(rooms.iter().map(|room| (*room).into()));
        options.except.extend(except.iter().map(|room| (*room).into()));
        options
    };
    let broadcast = &[BroadcastFlags::Broadcast][..];
    let one = BroadcastOptions::new_remote(&RemoteSocketData { id: remote.0, server_id: remote.1, ns: "/".into() });
    for (options, rooms, except) in [
        (options(None, broadcast, &[], &[]), vec![Room::All], vec![]),
        (options(None, &[], &["a", "user:7"], &[]), vec![named("a"), Room::User("7".into())], vec![]),
        (options(Some(mine), broadcast, &[], &[]), vec![Room::All], vec![own.clone()]),
        (options(Some(mine), broadcast, &["a"], &["b"]), vec![named("a")], vec![named("b"), own.clone()]),
        (options(Some(mine), &[], &["a"], &[]), vec![named("a")], vec![]),
        (options(Some(mine), &[], &[], &[]), vec![own], vec![]),
        (one, vec![Room::Socket("abcdefghijklmnopqrst".into())], vec![]),
        (options(None, &[], &[], &[]), vec![], vec![]),
    ] {
        assert_eq!(Target::of(&options), Ok(Target { rooms, except }), "{options:?}");
    }
}

#[test]
fn events_reach_exactly_the_sockets_meant_once() {
    let sockets = sockets::<CommonParser>("/", 4);
    let adapter = adapter(&sockets);
    let local = adapter.get_local();
    // socket 0 is in a and b, 1 in b, 2 is a user's, 3 is in none
    local.add_all(sockets.sids[0], ["a", "b"]);
    local.add_all(sockets.sids[1], ["b"]);
    local.add_all(sockets.sids[2], ["user:7", "socket:x"]);
    let socket = |index: usize| Room::Socket(names::id(sockets.sids[index], None));
    let elsewhere = || Room::Socket("abcdefghijklmnopqrst".into());
    for (rooms, except, expected) in [
        (vec![Room::All], vec![], &[0, 1, 2, 3][..]),
        (vec![named("a"), named("b")], vec![], &[0, 1]),
        (vec![Room::All, named("a")], vec![named("a")], &[1, 2, 3]),
        (vec![Room::User("7".into())], vec![], &[2]),
        (vec![named("user:7"), named("socket:x")], vec![], &[]),
        (vec![socket(1), socket(3)], vec![], &[1, 3]),
        (vec![socket(1), named("b")], vec![], &[0, 1]),
        (vec![socket(1), socket(3)], vec![named("b")], &[3]),
        (vec![socket(1), named("a")], vec![socket(0)], &[1]),
        (vec![Room::All], vec![socket(0)], &[1, 2, 3]),
        (vec![Room::All], vec![socket(0), socket(3)], &[1, 2]),
        (vec![named("b")], vec![socket(0), elsewhere()], &[1]),
        (vec![elsewhere()], vec![], &[]),
        (vec![Room::Socket(names::id(Sid::new(), None))], vec![], &[]),
        (vec![Room::All], vec![Room::All], &[]),
        (vec![], vec![], &[]),
    ] {
        let event = Event { namespace: "/".into(), rooms, except, elements: "\"e\",1".into(), ..Event::default() };
        adapter.deliver(&event);
        let sent = std::mem::take(&mut *sockets.sent.lock().unwrap());
        assert!(sent.iter().all(|(_, data)| *data == Value::Str("2[\"e\",1]".into(), None)), "{sent:?}");
        let place = |sid: &Sid| sockets.sids.iter().position(|other| other == sid).unwrap();
        let mut reached: Vec<usize> = sent.iter().map(|(sid, _)| place(sid)).collect();
        reached.sort_unstable();
        assert_eq!(reached, expected, "{event:?}");
    }
}

#[test]
fn operations_are_carried_out_on_own_sockets() {
    let sockets = sockets::<CommonParser>("/", 2);
    let adapter = adapter(&sockets);
    adapter.get_local().add_all(sockets.sids[0], ["a", "bad\nname"]);
    let ask = |room: &Room, action: Doing| -> Answer {
        adapter.operate(&Asked { namespace: "/".into(), rooms: vec![room.to_string()], action, id: None })
    };
    assert_eq!(ask(&named("a"), Doing::Join(vec!["nb".into(), "u7".into()])).count, 1);
    assert_eq!(ask(&named("b"), Doing::Count).count, 1);
    assert_eq!(ask(&Room::All, Doing::Leave(vec!["na".into()])).count, 2);
    let listed = ask(&Room::User("7".into()), Doing::List).sockets;
    let mut rooms = listed[0].rooms.clone();
    rooms.sort_unstable();
    assert_eq!(
        (listed.len(), &*listed[0].id, rooms),
        (1, &*names::id(sockets.sids[0], None), vec!["nb".into(), "u7".into()])
    );
    // one that has gone leaves nothing behind
    let gone = Sid::new();
    assert_eq!(ask(&Room::Socket(names::id(gone, None)), Doing::Join(vec!["nb".into()])).count, 0);
    assert!(adapter.get_local().socket_rooms(gone).is_empty());
    let unknown = ask(&Room::All, Doing::Count).partial;
    let asked = Asked { namespace: "/".into(), rooms: vec!["?".into()], action: Doing::Count, id: None };
    assert_eq!((unknown, adapter.operate(&asked).partial), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_be_part_of_the_cluster_says_why() {
    let begun = || panic!("it is no part of the cluster");
    assert_eq!(adapter(&sockets::<MsgPackParser>("/", 0)).init(begun).await, Err(Error::Parser));
    assert_eq!(adapter(&sockets::<CommonParser>("/a,b", 0)).init(begun).await, Err(Error::Namespace));
    let unreachable = adapter(&sockets::<CommonParser>("/", 0)).init(begun).await;
    assert_eq!(unreachable, Err(Error::Unavailable(Unavailable)));
}
