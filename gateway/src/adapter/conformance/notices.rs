//! What is told of watched sessions, and how often.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::{
    Action, Attention, Ending, GoneReason, NewSession, Notice, NoticeId, NoticeOf, Operation, PresenceChange, Refresh,
    RoomChange, SessionKey, TakeOverError, Watch, WriteError,
};
use crate::message::{Position, PrivateId, Room, SocketId, Token};

use super::sessions::{attach, claim, take_over};
use super::{Bounds, Rig, SHORT, Subject, namespace, room};

const GONE: Watch = Watch { gone: true, presence: false };
const PRESENCE: Watch = Watch { gone: false, presence: true };

/// A session of ada's.
pub(super) fn session(watched: Watch, rooms: &[u32]) -> NewSession {
    NewSession {
        pid: PrivateId(Token::random()),
        socket: SocketId(Token::random()),
        namespace: namespace().id,
        subject: Some("ada".into()),
        identity: Some(r#"{"user":"ada"}"#.into()),
        watched,
        rooms: rooms.iter().map(|n| room(*n)).collect(),
    }
}

pub(super) async fn open(rig: &Rig, session: &NewSession) -> (SessionKey, Position) {
    let start = rig.adapter.open_session(session.clone()).await.unwrap().position;
    (SessionKey { pid: session.pid, generation: NewSession::GENERATION }, start)
}

/// What is told next, not settled.
async fn claimed(rig: &Rig) -> Vec<Notice> {
    let notices = rig.adapter.notices();
    tokio::time::timeout(Duration::from_secs(20), notices).await.expect("nothing is told")
}

fn ids(notices: &[Notice]) -> Vec<NoticeId> {
    notices.iter().map(|notice| notice.id.clone()).collect()
}

/// All that is told, until a session that ends now is told of.
async fn told(rig: &Rig) -> Vec<Notice> {
    let last = NewSession { subject: None, ..session(GONE, &[]) };
    let (key, _) = open(rig, &last).await;
    rig.adapter.end_session(key, Ending::Client).await.unwrap();
    let mut all = Vec::new();
    loop {
        let notices = claimed(rig).await;
        rig.adapter.settle(&ids(&notices)).await;
        let rest = notices.iter().filter(|notice| notice.id.as_str() != last.socket.0.as_str());
        let before = all.len();
        all.extend(rest.cloned());
        if all.len() - before < notices.len() {
            return all;
        }
    }
}

fn gone(session: &NewSession, reason: GoneReason) -> NoticeOf {
    let NewSession { socket, subject, identity, .. } = session.clone();
    NoticeOf::Gone { socket, subject, identity, reason }
}

fn present(n: u32, user: &str, change: PresenceChange) -> NoticeOf {
    NoticeOf::Presence { room: room(n), user: user.into(), change }
}

fn whats(notices: &[Notice]) -> Vec<NoticeOf> {
    notices.iter().map(|notice| notice.what.clone()).collect()
}

fn change(join: &[u32], leave: &[u32]) -> RoomChange {
    let rooms = |list: &[u32]| list.iter().map(|n| room(*n)).collect();
    RoomChange { join: rooms(join), leave: rooms(leave), ..RoomChange::default() }
}

pub(crate) async fn an_end_is_told_once(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let mut expected = HashMap::new();
    for (ending, reason) in
        [(Ending::Client, GoneReason::Client), (Ending::Backend, GoneReason::Backend), (Ending::Lost, GoneReason::Lost)]
    {
        let session = NewSession { rooms: vec![room(1)], ..session(GONE, &[]) };
        let (key, start) = open(&rig, &session).await;
        rig.adapter.detach(Refresh { key, confirmed: start }).await.unwrap();
        let (key, taken) = take_over(&rig, key).await;
        attach(&rig, key, taken.stays.changes).await;
        // who had it before cannot end it
        rig.adapter.end_session(SessionKey { generation: 1, ..key }, Ending::Client).await.unwrap();
        rig.adapter.end_session(key, ending).await.unwrap();
        rig.adapter.end_session(key, Ending::Client).await.unwrap();
        rig.adapter.detach(Refresh { key, confirmed: start }).await.unwrap();
        expected.insert(session.socket, gone(&session, reason));
    }
    let told = told(&rig).await;
    assert_eq!(told.len(), expected.len());
    for notice in told {
        let NoticeOf::Gone { socket, .. } = &notice.what else { panic!("{notice:?}") };
        assert_eq!(notice.id.as_str(), socket.0.as_str());
        assert_eq!(notice.namespace, namespace().id);
        assert_eq!(Some(&notice.what), expected.get(socket));
    }
}

pub(crate) async fn who_is_not_watched_is_not_told_of(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    for watched in [Watch::NONE, PRESENCE] {
        let (key, _) = open(&rig, &session(watched, &[])).await;
        rig.adapter.end_session(key, Ending::Client).await.unwrap();
    }
    for watched in [Watch::NONE, GONE] {
        let (key, _) = open(&rig, &session(watched, &[1])).await;
        rig.adapter.change_rooms(key, change(&[2], &[1])).await.unwrap();
    }
    assert_eq!(told(&rig).await, []);
}

pub(crate) async fn the_expiry_is_told(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::short()).await;
    let session = session(Watch { gone: true, presence: true }, &[1]);
    let (key, start) = open(&rig, &session).await;
    subject.pass(SHORT * 2).await;
    subject.tick().await;
    let mut all = Vec::new();
    while all.len() < 3 {
        let notices = claimed(&rig).await;
        rig.adapter.settle(&ids(&notices)).await;
        all.extend(whats(&notices));
    }
    let (joined, left) = (present(1, "ada", PresenceChange::Joined), present(1, "ada", PresenceChange::Left));
    let order = |what: &NoticeOf| all.iter().position(|other| other == what).expect("told");
    assert!(order(&joined) < order(&left), "{all:?}");
    order(&gone(&session, GoneReason::Expired));
    // it does not come to life again
    let refresh = Refresh { key, confirmed: start };
    assert_eq!(rig.adapter.refresh(vec![refresh]).await, Ok(vec![(refresh, Attention::Fenced)]));
    assert_eq!(rig.adapter.restore_session(key, session).await, Err(WriteError::Fenced));
    assert_eq!(rig.adapter.take_over(claim(key.pid)).await.unwrap_err(), TakeOverError::Unknown);
}

pub(crate) async fn who_is_away_is_disconnected_by_the_backend(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let session = session(GONE, &[1]);
    let (key, start) = open(&rig, &session).await;
    rig.adapter.detach(Refresh { key, confirmed: start }).await.unwrap();
    let action = Action::Disconnect { close: false };
    let disconnect = Operation { namespace: namespace(), rooms: vec![room(1)], action, id: None };
    rig.adapter.operate(disconnect).await.unwrap();
    assert_eq!(whats(&told(&rig).await), [gone(&session, GoneReason::Backend)]);
}

/// A user is present with the first session, and gone with the last.
pub(crate) async fn who_comes_to_a_room_and_who_leaves(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let first = NewSession { rooms: vec![room(1), Room::user("ada").unwrap()], ..session(PRESENCE, &[]) };
    let (first, start) = open(&rig, &first).await;
    let (second, _) = open(&rig, &session(PRESENCE, &[1])).await;
    assert_eq!(whats(&told(&rig).await), [present(1, "ada", PresenceChange::Joined)]);

    // away is still there, also for another owner
    rig.adapter.detach(Refresh { key: first, confirmed: start }).await.unwrap();
    let (first, taken) = take_over(&rig, first).await;
    attach(&rig, first, taken.stays.changes).await;
    rig.adapter.change_rooms(first, change(&[2], &[1])).await.unwrap();
    rig.adapter.change_rooms(first, change(&[2], &[])).await.unwrap();
    assert_eq!(whats(&told(&rig).await), [present(2, "ada", PresenceChange::Joined)]);

    rig.adapter.end_session(second, Ending::Client).await.unwrap();
    assert_eq!(whats(&told(&rig).await), [present(1, "ada", PresenceChange::Left)]);

    let nobody = NewSession { subject: None, ..session(PRESENCE, &[2]) };
    let (key, _) = open(&rig, &nobody).await;
    let own = nobody.socket.to_string();
    assert_eq!(whats(&told(&rig).await), [present(2, &own, PresenceChange::Joined)]);
    rig.adapter.change_rooms(key, change(&[], &[2, 3])).await.unwrap();
    assert_eq!(whats(&told(&rig).await), [present(2, &own, PresenceChange::Left)]);
}

pub(crate) async fn who_is_away_is_moved(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, start) = open(&rig, &session(PRESENCE, &[1])).await;
    rig.adapter.detach(Refresh { key, confirmed: start }).await.unwrap();
    let operation = |action| Operation { namespace: namespace(), rooms: vec![room(1)], action, id: None };
    assert_eq!(whats(&told(&rig).await), [present(1, "ada", PresenceChange::Joined)]);
    rig.adapter.operate(operation(Action::Join(vec![room(2)]))).await.unwrap();
    assert_eq!(whats(&told(&rig).await), [present(2, "ada", PresenceChange::Joined)]);
    rig.adapter.operate(operation(Action::Leave(vec![room(1)]))).await.unwrap();
    assert_eq!(whats(&told(&rig).await), [present(1, "ada", PresenceChange::Left)]);
}

pub(crate) async fn changes_of_one_user_come_one_by_one(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, _) = open(&rig, &session(PRESENCE, &[1])).await;
    // more than are kept: each of the rest takes back the one before
    for _ in 0..20 {
        rig.adapter.change_rooms(key, change(&[], &[1])).await.unwrap();
        rig.adapter.change_rooms(key, change(&[1], &[])).await.unwrap();
    }
    let mut told = Vec::new();
    let mut seen = Vec::new();
    while told.len() < 15 {
        let notices = claimed(&rig).await;
        assert_eq!(notices.len(), 1, "one at a time: {notices:?}");
        seen.extend(ids(&notices));
        told.extend(whats(&notices));
        rig.adapter.settle(&ids(&notices)).await;
    }
    let expected: Vec<NoticeOf> = [PresenceChange::Joined, PresenceChange::Left]
        .into_iter()
        .cycle()
        .take(15)
        .map(|change| present(1, "ada", change))
        .collect();
    assert_eq!(told, expected);
    seen.dedup();
    assert_eq!(seen.len(), 15, "each has an id of its own");
    assert_eq!(self::told(&rig).await, [], "it ends with who is there now");
}

pub(crate) async fn what_is_not_settled_comes_again(subject: &impl Subject) {
    let bounds = Bounds { lease: SHORT, ..Bounds::default() };
    let rig = Rig::new(subject, bounds).await;
    let session = session(Watch { gone: true, presence: true }, &[1]);
    let (key, _) = open(&rig, &session).await;
    let first = claimed(&rig).await;
    assert_eq!(whats(&first), [present(1, "ada", PresenceChange::Joined)]);
    subject.pass(subject.lease(&bounds)).await;
    subject.tick().await;
    assert_eq!(claimed(&rig).await, first, "the same, under the same id");
    rig.adapter.settle(&ids(&first)).await;
    rig.adapter.settle(&ids(&first)).await;
    rig.adapter.end_session(key, Ending::Client).await.unwrap();
    let mut expected = vec![present(1, "ada", PresenceChange::Left), gone(&session, GoneReason::Client)];
    let mut all = Vec::new();
    while all.len() < 2 {
        let notices = claimed(&rig).await;
        rig.adapter.settle(&ids(&notices)).await;
        all.extend(whats(&notices));
    }
    for what in all {
        let at = expected.iter().position(|other| *other == what).unwrap_or_else(|| panic!("{what:?}"));
        expected.remove(at);
    }
}

/// Whoever waits is woken by what is written meanwhile.
pub(crate) async fn who_waits_is_woken(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let session = session(GONE, &[]);
    let (key, _) = open(&rig, &session).await;
    let adapter = Arc::clone(&rig.adapter);
    let waiting = async { whats(&claimed(&rig).await) };
    let ending = async { adapter.end_session(key, Ending::Lost).await.unwrap() };
    let (told, ()) = tokio::join!(waiting, ending);
    assert_eq!(told, [gone(&session, GoneReason::Lost)]);
}
