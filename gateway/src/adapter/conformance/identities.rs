//! Who sessions belong to, who is in a room, and whose tokens are revoked.

use std::sync::Arc;

use crate::adapter::{
    Action, Claim, Claimant, Ending, NewSession, PresentSocket, PresentState, Refresh, Revocation, Revoked, RoomChange,
    SessionKey, TakeOverError, TokenFacts, Watch,
};
use crate::auth::UnixSeconds;
use crate::message::{NamespaceRef, Room};

use super::notices::{open, session};
use super::sessions::{attach, claim, take_over};
use super::{Bounds, Rig, Subject, namespace, plain, room};

pub(crate) async fn identities_are_kept(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let watched = Watch { gone: true, presence: false };
    let session = session(watched, &[1]);
    let (key, _) = open(&rig, &session).await;
    let (key, taken) = take_over(&rig, key).await;
    assert_eq!((taken.subject, taken.identity, taken.watched), (session.subject.clone(), session.identity, watched));
    attach(&rig, key, taken.stays.changes).await;
    let fresh: Arc<str> = "another".into();
    let change = RoomChange { identity: Some(Arc::clone(&fresh)), ..RoomChange::default() };
    rig.adapter.change_rooms(key, change).await.unwrap();
    rig.adapter.change_rooms(key, RoomChange { join: vec![room(2)], ..RoomChange::default() }).await.unwrap();
    let (_, taken) = take_over(&rig, key).await;
    assert_eq!((taken.subject, taken.identity, taken.watched), (session.subject, Some(fresh), watched));

    let nobody = NewSession { subject: None, identity: None, ..self::session(Watch::NONE, &[]) };
    let (key, _) = open(&rig, &nobody).await;
    let taken = rig.adapter.take_over(Claim { subject: Claimant::Nobody, ..claim(key.pid) }).await.unwrap();
    assert_eq!((taken.subject, taken.identity, taken.watched), (None, None, Watch::NONE));
}

pub(crate) async fn who_may_take_a_session_over(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (adas, _) = open(&rig, &session(Watch::NONE, &[])).await;
    let nobodys = NewSession { subject: None, ..session(Watch::NONE, &[]) };
    let (nobodys, _) = open(&rig, &nobodys).await;
    // what would be read as a sign must not be one
    let odd = NewSession { subject: Some("*".into()), ..session(Watch::NONE, &[]) };
    let (odd, _) = open(&rig, &odd).await;
    let user = |name: &str| Claimant::User(name.into());
    for (claimant, may) in [
        (Claimant::Nobody, [false, true, false]),
        (user("ada"), [true, false, false]),
        (user("*"), [false, false, true]),
        (user("bob"), [false, false, false]),
        (Claimant::Holder, [true, true, true]),
    ] {
        for (key, may) in [adas, nobodys, odd].into_iter().zip(may) {
            let taken = rig.adapter.take_over(Claim { subject: claimant.clone(), ..claim(key.pid) }).await;
            match taken {
                Ok(_) => assert!(may, "{claimant:?} took {key:?}"),
                Err(error) => assert_eq!((may, error), (false, TakeOverError::Foreign), "{claimant:?}"),
            }
        }
    }
    let elsewhere = Claim { subject: Claimant::Holder, namespace: plain().id, ..claim(adas.pid) };
    assert_eq!(rig.adapter.take_over(elsewhere).await.unwrap_err(), TakeOverError::Foreign);
}

pub(crate) async fn who_is_present(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let look = async |room: Room, most| {
        let mut present = rig.adapter.presence(&namespace(), &room, most).await.unwrap();
        present.sockets.sort_by_key(|socket| socket.socket.to_string());
        present
    };
    assert_eq!((look(room(1), 9).await.total, look(Room::All, 9).await.total), (0, 0));
    let sessions = [session(Watch::NONE, &[1]), session(Watch::NONE, &[1, 2])];
    let user = NewSession { subject: None, rooms: vec![Room::user("ada").unwrap()], ..session(Watch::NONE, &[]) };
    let (first, start) = open(&rig, &sessions[0]).await;
    let (second, _) = open(&rig, &sessions[1]).await;
    open(&rig, &user).await;
    rig.adapter.detach(Refresh { key: first, confirmed: start }).await.unwrap();
    let entry =
        |session: &NewSession, state| PresentSocket { socket: session.socket, subject: session.subject.clone(), state };
    let mut expected = [entry(&sessions[0], PresentState::Away), entry(&sessions[1], PresentState::Connected)];
    expected.sort_by_key(|socket| socket.socket.to_string());
    let found = look(room(1), 9).await;
    assert_eq!((found.total, &found.sockets[..]), (2, &expected[..]));
    let found = look(Room::user("ada").unwrap(), 9).await;
    assert_eq!((found.total, found.sockets), (1, vec![entry(&user, PresentState::Connected)]));
    let found = look(Room::Socket(sessions[1].socket), 9).await;
    assert_eq!((found.total, found.sockets), (1, vec![entry(&sessions[1], PresentState::Connected)]));
    let found = look(Room::All, 2).await;
    assert_eq!((found.total, found.sockets.len()), (3, 2), "as many as were asked for");
    rig.adapter.end_session(second, Ending::Client).await.unwrap();
    assert_eq!(look(room(2), 9).await.total, 0);
    assert_eq!(rig.adapter.presence(&plain(), &room(1), 9).await.unwrap().total, 0, "another namespace");
}

async fn is_revoked(rig: &Rig, namespace: &NamespaceRef, facts: (Option<&str>, Option<&str>, Option<u64>)) -> bool {
    let (user, token_id, issued) = facts;
    let token = TokenFacts { user, token_id, issued: issued.map(UnixSeconds) };
    rig.adapter.is_revoked(namespace, &token).await.unwrap()
}

fn revocation(what: Revoked, issued_before: u64, until: u64) -> Revocation {
    let (issued_before, until) = (UnixSeconds(issued_before), UnixSeconds(until));
    Revocation { namespace: namespace(), what, issued_before, until }
}

pub(crate) async fn revoked_tokens_are_known(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let until = rig.head().await.ms() / 1000 + 100;
    let (ann, bob) = ((Some("ann"), Some("t1"), Some(50)), (Some("bob"), Some("t2"), Some(50)));
    for token in [ann, bob, (None, None, None)] {
        assert!(!is_revoked(&rig, &namespace(), token).await);
    }
    rig.adapter.revoke(revocation(Revoked::User("ann".into()), 51, until)).await.unwrap();
    assert!(is_revoked(&rig, &namespace(), ann).await);
    assert!(is_revoked(&rig, &namespace(), (Some("ann"), None, None)).await, "who knows when it was issued");
    assert!(!is_revoked(&rig, &namespace(), (Some("ann"), Some("t1"), Some(51))).await, "a fresh one");
    assert!(!is_revoked(&rig, &namespace(), bob).await);
    assert!(!is_revoked(&rig, &namespace(), (Some("t1"), Some("ann"), Some(50))).await, "an id is no user");
    assert!(!is_revoked(&rig, &plain(), ann).await, "another namespace");
    rig.adapter.revoke(revocation(Revoked::Token("t2".into()), 0, until)).await.unwrap();
    assert!(is_revoked(&rig, &namespace(), bob).await, "whenever it was issued");
    assert!(!is_revoked(&rig, &namespace(), (Some("bob"), None, Some(50))).await);
    rig.adapter.revoke(revocation(Revoked::All, 50, until)).await.unwrap();
    assert!(is_revoked(&rig, &namespace(), (None, None, Some(49))).await);
    assert!(is_revoked(&rig, &namespace(), (None, None, None)).await);
    assert!(!is_revoked(&rig, &namespace(), (Some("bob"), None, Some(50))).await);
}

pub(crate) async fn the_wider_revocation_stays(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let now = rig.head().await.ms() / 1000;
    let ann = || Revoked::User("ann".into());
    rig.adapter.revoke(revocation(ann(), 60, now + 2)).await.unwrap();
    rig.adapter.revoke(revocation(ann(), 50, now + 100)).await.unwrap();
    rig.adapter.revoke(revocation(ann(), 40, now + 1)).await.unwrap();
    rig.adapter.revoke(revocation(Revoked::Token("t".into()), 0, now + 2)).await.unwrap();
    assert!(is_revoked(&rig, &namespace(), (None, Some("t"), None)).await);
    subject.pass(std::time::Duration::from_secs(3)).await;
    assert!(is_revoked(&rig, &namespace(), (Some("ann"), None, Some(59))).await);
    assert!(!is_revoked(&rig, &namespace(), (Some("ann"), None, Some(60))).await);
    assert!(!is_revoked(&rig, &namespace(), (None, Some("t"), None)).await, "it would have expired");
}

pub(crate) async fn a_revocation_reaches_the_node(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let until = rig.head().await.ms() / 1000 + 100;
    let revocation = revocation(Revoked::Token("t".into()), 7, until);
    let report = rig.adapter.revoke(revocation.clone()).await;
    assert_eq!(report.map(|report| (report.count, report.partial)), Ok((1, false)));
    let asked = rig.node.until("the revocation", |notes| !notes.operations.is_empty()).await.operations.remove(0);
    assert_eq!((asked.rooms, asked.action), (vec![Room::All], Action::Revoke(revocation)));
    assert_eq!(asked.namespace, namespace());
}

pub(crate) async fn a_stranger_changes_no_identity(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let session = session(Watch::NONE, &[]);
    let (key, _) = open(&rig, &session).await;
    take_over(&rig, key).await;
    let change = RoomChange { identity: Some("mine".into()), ..RoomChange::default() };
    assert!(rig.adapter.change_rooms(SessionKey { generation: 1, ..key }, change).await.is_err());
    let (_, taken) = take_over(&rig, key).await;
    assert_eq!(taken.identity, session.identity);
}
