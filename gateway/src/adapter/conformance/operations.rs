//! What the backend wants done with sockets, also with those that are away.

use crate::adapter::inspect::{Finding, Inquiry, Keeping, TopRooms};
use crate::adapter::{Action, Attached, Operation, Refresh, RoomChange, SessionKey, TakeOverError};
use crate::message::{Position, Room, SocketId, Token};

use super::sessions::{attach, claim, open, sorted, stay, take_over};
use super::{Bounds, Rig, Subject, namespace, plain, room};

fn operation(rooms: Vec<Room>, action: Action) -> Operation {
    Operation { namespace: namespace(), rooms, action, id: None }
}

async fn detach(rig: &Rig, key: SessionKey, confirmed: Position) {
    rig.adapter.detach(Refresh { key, confirmed }).await.unwrap();
}

pub(crate) async fn operations_reach_the_node(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    for action in [Action::List, Action::Count, Action::Join(vec![room(2)]), Action::Disconnect { close: true }] {
        let report = rig.adapter.operate(operation(vec![room(1)], action.clone())).await.unwrap();
        assert_eq!((report.count, report.partial), (1, false));
        let last = |notes: &super::Notes| notes.operations.last().is_some_and(|last| last.action == action);
        rig.node.until("an operation", last).await;
    }
}

pub(crate) async fn inquiries_reach_the_node(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let mut expected = Vec::new();
    for inquiry in [
        Inquiry::Status,
        Inquiry::Rooms { namespace: plain(), prefix: "<é".into(), most: 7 },
        Inquiry::Explain {
            namespace: namespace(),
            rooms: vec![room(1), Room::All],
            except: vec![Room::user("ann").unwrap(), Room::Socket(SocketId(Token::random()))],
            keeping: Keeping::Logged,
        },
    ] {
        let found = rig.adapter.inspect(inquiry.clone()).await.unwrap();
        let [one] = &found[..] else { panic!("one node answers") };
        assert_eq!((one.node.as_str(), &one.finding), ("abc", &Finding::Rooms(TopRooms::default())));
        expected.push(inquiry);
        assert_eq!(rig.node.until("an inquiry", |_| true).await.inquiries, expected);
    }
}

pub(crate) async fn absent_sessions_join_and_leave(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, socket, start) = open(&rig, &[1, 2]).await;
    let (other, _, other_start) = open(&rig, &[2]).await;
    detach(&rig, key, start).await;
    detach(&rig, other, start).await;
    let before = rig.log(&[2, 3]).await;
    let report = rig.adapter.operate(operation(vec![room(1)], Action::Join(vec![room(3)]))).await.unwrap();
    assert_eq!(report.count, 2, "one at the node, one away");
    let between = rig.log(&[2, 3]).await;
    let leave = operation(vec![Room::Socket(socket)], Action::Leave(vec![room(2)]));
    rig.adapter.operate(leave).await.unwrap();
    let after = rig.log(&[2, 3]).await;
    let (_, taken) = take_over(&rig, key).await;
    let [first, second, third] = &sorted(taken.stays.memberships)[..] else { panic!("three stays") };
    assert_eq!(*first, stay(1, start, None));
    assert_eq!((&second.room, second.since), (&room(2), start));
    assert!(second.until.is_some_and(|until| between <= until && until < after), "left where the operation stands");
    assert_eq!((&third.room, third.until), (&room(3), None));
    assert!(before <= third.since && third.since < between, "joined where the operation stands");
    let (_, taken) = take_over(&rig, other).await;
    assert_eq!(taken.stays.memberships, [stay(2, other_start, None)], "who is not concerned is left alone");
}

pub(crate) async fn absent_sessions_are_disconnected(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, _, start) = open(&rig, &[1]).await;
    let (other, ..) = open(&rig, &[2]).await;
    detach(&rig, key, start).await;
    detach(&rig, other, start).await;
    let disconnect = operation(vec![room(1)], Action::Disconnect { close: false });
    rig.adapter.operate(disconnect).await.unwrap();
    assert_eq!(rig.adapter.take_over(claim(key.pid)).await.unwrap_err(), TakeOverError::Unknown);
    let (other, taken) = take_over(&rig, other).await;
    attach(&rig, other, taken.stays.changes).await;
    let everyone = operation(vec![Room::All], Action::Disconnect { close: false });
    let report = rig.adapter.operate(everyone).await.unwrap();
    assert_eq!(report.count, 1, "only the node's: the other session is owned again");
}

pub(crate) async fn present_sessions_are_left_to_the_node(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, _, start) = open(&rig, &[1]).await;
    detach(&rig, key, start).await;
    let (key, taken) = take_over(&rig, key).await;
    attach(&rig, key, taken.stays.changes).await;
    rig.adapter.operate(operation(vec![room(1)], Action::Join(vec![room(2)]))).await.unwrap();
    let after = rig.log(&[2]).await;
    let asked = rig.node.until("the operation", |notes| !notes.operations.is_empty()).await.operations.pop().unwrap();
    let change = RoomChange { join: vec![room(2)], operation: asked.id, ..RoomChange::default() };
    let joined = rig.adapter.change_rooms(key, change).await.unwrap().position;
    let (_, taken) = take_over(&rig, key).await;
    assert!(joined >= after, "its owner says when");
    assert_eq!(sorted(taken.stays.memberships), [stay(1, start, None), stay(2, joined, None)]);
}

/// Between being taken over and attached to, a session is nobody's: what is
/// asked of it then must not fall in between.
pub(crate) async fn sessions_between_two_owners_are_changed(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, _, start) = open(&rig, &[1]).await;
    let (key, taken) = take_over(&rig, key).await;
    rig.adapter.operate(operation(vec![room(1)], Action::Join(vec![room(2)]))).await.unwrap();
    let Attached::Changed(stays) = rig.adapter.attach(key, taken.stays.changes).await.unwrap() else {
        panic!("a change is told");
    };
    let [first, second] = &sorted(stays.memberships)[..] else { panic!("two stays") };
    assert_eq!((first, &second.room), (&stay(1, start, None), &room(2)));
    let cut = attach(&rig, key, stays.changes).await;
    assert!(second.since <= cut);
    rig.adapter.operate(operation(vec![room(2)], Action::Disconnect { close: false })).await.unwrap();
    let (key, taken) = match rig.adapter.take_over(claim(key.pid)).await {
        // where operations on present sessions are kept for the next owner, it was the end
        Err(TakeOverError::Unknown) => return,
        taken => (key, taken.unwrap()),
    };
    let key = SessionKey { generation: taken.generation, ..key };
    rig.adapter.operate(operation(vec![room(2)], Action::Disconnect { close: false })).await.unwrap();
    assert!(rig.adapter.attach(key, taken.stays.changes).await.is_err(), "it has ended");
}
