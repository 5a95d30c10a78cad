//! Sessions: who owns them, what they say, how they end.

use crate::adapter::{
    Attached, Attention, Claim, Claimant, Ending, Membership, NewSession, Refresh, RoomChange, SessionKey,
    TakeOverError, TakenOver, Watch, WriteError,
};
use crate::message::{Position, PrivateId, SocketId, Token};

use super::{Bounds, Rig, SHORT, Subject, namespace, plain, room};

/// A session with these rooms, opened; answers its key and its start.
pub(crate) async fn open(rig: &Rig, rooms: &[u32]) -> (SessionKey, SocketId, Position) {
    let (pid, socket) = (PrivateId(Token::random()), SocketId(Token::random()));
    let rooms = rooms.iter().map(|n| room(*n)).collect();
    let session = NewSession {
        pid,
        socket,
        namespace: namespace().id,
        subject: Some("ada".into()),
        identity: None,
        watched: Watch::NONE,
        rooms,
    };
    let start = rig.adapter.open_session(session).await.unwrap().position;
    (SessionKey { pid, generation: NewSession::GENERATION }, socket, start)
}

pub(crate) fn claim(pid: PrivateId) -> Claim {
    Claim { pid, namespace: namespace().id, subject: Claimant::User("ada".into()) }
}

pub(super) async fn take_over(rig: &Rig, key: SessionKey) -> (SessionKey, TakenOver) {
    let taken = rig.adapter.take_over(claim(key.pid)).await.unwrap();
    (SessionKey { generation: taken.generation, ..key }, taken)
}

pub(super) fn stay(n: u32, since: Position, until: Option<Position>) -> Membership {
    Membership { room: room(n), since, until }
}

pub(super) fn sorted(mut memberships: Vec<Membership>) -> Vec<Membership> {
    memberships.sort_by(|a, b| (&a.room, a.since).cmp(&(&b.room, b.since)));
    memberships
}

fn change(join: &[u32], leave: &[u32]) -> RoomChange {
    let rooms = |list: &[u32]| list.iter().map(|n| room(*n)).collect();
    RoomChange { join: rooms(join), leave: rooms(leave), ..RoomChange::default() }
}

pub(crate) async fn the_start_is_the_head(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let before = rig.log(&[1]).await;
    let (_, _, start) = open(&rig, &[1]).await;
    let after = rig.log(&[1]).await;
    assert!(before <= start && start < after);
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await.unwrap(), [after]);
}

pub(crate) async fn a_session_is_taken_over(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, socket, start) = open(&rig, &[1, 2]).await;
    let (second, taken) = take_over(&rig, key).await;
    assert_eq!((taken.socket, taken.stays.start, taken.confirmed), (socket, start, Some(start)));
    assert_eq!(taken.epoch, rig.adapter.head().await.unwrap().epoch);
    assert_eq!(sorted(taken.stays.memberships), [stay(1, start, None), stay(2, start, None)]);
    assert!(second.generation > key.generation);
    let (third, _) = take_over(&rig, second).await;
    assert!(third.generation > second.generation);
    let told = |key: SessionKey| (namespace().id, socket, key.generation);
    let fences = rig.node.until("of later owners", |notes| notes.fences.len() >= 2).await.fences;
    assert_eq!(fences, [told(second), told(third)]);
}

pub(crate) async fn strangers_are_refused(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, ..) = open(&rig, &[1]).await;
    let unknown = rig.adapter.take_over(claim(PrivateId(Token::random()))).await;
    assert_eq!(unknown.unwrap_err(), TakeOverError::Unknown);
    for claim in [
        Claim { subject: Claimant::User("bob".into()), ..claim(key.pid) },
        Claim { subject: Claimant::Nobody, ..claim(key.pid) },
        Claim { namespace: plain().id, ..claim(key.pid) },
    ] {
        assert_eq!(rig.adapter.take_over(claim).await.unwrap_err(), TakeOverError::Foreign);
    }
    let fenced = rig.adapter.change_rooms(key, change(&[2], &[])).await;
    assert!(fenced.is_ok(), "who was refused takes nothing away");
}

pub(crate) async fn sessions_expire(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::short()).await;
    let (kept, _, start) = open(&rig, &[1]).await;
    let (detached, ..) = open(&rig, &[1]).await;
    let (lost, ..) = open(&rig, &[1]).await;
    subject.pass(SHORT * 2 / 3).await;
    let refresh = |key| Refresh { key, confirmed: start };
    assert_eq!(rig.adapter.refresh(vec![refresh(kept)]).await, Ok(vec![]));
    rig.adapter.detach(refresh(detached)).await.unwrap();
    subject.pass(SHORT * 2 / 3).await;
    assert_eq!(rig.adapter.take_over(claim(lost.pid)).await.unwrap_err(), TakeOverError::Unknown);
    subject.tick().await;
    assert_eq!(rig.adapter.take_over(claim(lost.pid)).await.unwrap_err(), TakeOverError::Unknown);
    take_over(&rig, kept).await;
    take_over(&rig, detached).await;
    subject.pass(SHORT * 2 / 3).await;
    take_over(&rig, kept).await;
}

pub(crate) async fn a_later_owner_fences(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (old, _, start) = open(&rig, &[1]).await;
    let (new, _) = take_over(&rig, old).await;
    let written = rig.adapter.change_rooms(old, change(&[2], &[1])).await;
    assert_eq!(written.unwrap_err(), WriteError::Fenced);
    let later = rig.log(&[1]).await;
    let refresh = |key| Refresh { key, confirmed: later };
    assert_eq!(
        rig.adapter.refresh(vec![refresh(old)]).await,
        Ok(vec![(refresh(old), Attention::Fenced)]),
        "told that it is not the owner"
    );
    rig.adapter.detach(refresh(old)).await.unwrap();
    rig.adapter.end_session(old, Ending::Client).await.unwrap();
    let (_, taken) = take_over(&rig, new).await;
    assert_eq!(taken.confirmed, Some(start), "nothing of the old owner's is written");
    assert_eq!(taken.stays.memberships, [stay(1, start, None)]);
}

pub(crate) async fn rooms_change_at_a_position(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, _, start) = open(&rig, &[1]).await;
    let before = rig.log(&[1, 2]).await;
    let joined = rig.adapter.change_rooms(key, change(&[2], &[])).await.unwrap().position;
    let between = rig.log(&[1, 2]).await;
    let left = rig.adapter.change_rooms(key, change(&[3], &[1, 2])).await.unwrap().position;
    let after = rig.log(&[1, 2]).await;
    assert!(before <= joined && joined < between && between <= left && left < after);
    let again = rig.adapter.change_rooms(key, change(&[1], &[])).await.unwrap().position;
    rig.adapter.change_rooms(key, change(&[1], &[9])).await.unwrap();
    let (_, taken) = take_over(&rig, key).await;
    let expected = [stay(1, start, Some(left)), stay(1, again, None), stay(2, joined, Some(left)), stay(3, left, None)];
    assert_eq!(sorted(taken.stays.memberships), expected, "twice joined or never entered changes nothing");
    rig.node.until("of all up to the end of a stay", |notes| notes.ticks.iter().any(|tick| *tick >= left)).await;
}

/// A stay that has ended is kept as long as the client may miss some of it.
pub(crate) async fn past_stays_are_kept_while_needed(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::short()).await;
    let (key, _, start) = open(&rig, &[1]).await;
    rig.log(&[1]).await;
    let left = rig.adapter.change_rooms(key, change(&[], &[1])).await.unwrap().position;
    // alive, but not shown to have received anything
    for _ in 0..2 {
        subject.pass(SHORT * 2 / 3).await;
        assert_eq!(rig.adapter.refresh(vec![Refresh { key, confirmed: start }]).await, Ok(vec![]));
    }
    let joined = rig.adapter.change_rooms(key, change(&[2], &[])).await.unwrap().position;
    let (_, taken) = take_over(&rig, key).await;
    assert_eq!(sorted(taken.stays.memberships), [stay(1, start, Some(left)), stay(2, joined, None)]);
}

pub(crate) async fn confirmed_only_grows(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (mut key, _, start) = open(&rig, &[1]).await;
    let (a, b) = (rig.log(&[1]).await, rig.log(&[1]).await);
    for (confirmed, expected) in [(a, a), (start, a), (b, b), (Position::ZERO, b)] {
        assert_eq!(rig.adapter.refresh(vec![Refresh { key, confirmed }]).await, Ok(vec![]));
        let (next, taken) = take_over(&rig, key).await;
        assert_eq!(taken.confirmed, Some(expected));
        key = next;
    }
}

pub(crate) async fn an_ended_session_is_unknown(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, _, start) = open(&rig, &[1]).await;
    let (other, ..) = open(&rig, &[1]).await;
    rig.adapter.end_session(key, Ending::Client).await.unwrap();
    assert_eq!(rig.adapter.take_over(claim(key.pid)).await.unwrap_err(), TakeOverError::Unknown);
    assert_eq!(rig.adapter.change_rooms(key, change(&[2], &[])).await.unwrap_err(), WriteError::Fenced);
    let (gone, there) = (Refresh { key, confirmed: start }, Refresh { key: other, confirmed: start });
    assert_eq!(rig.adapter.refresh(vec![gone, there]).await, Ok(vec![(gone, Attention::Fenced)]));
    rig.adapter.detach(gone).await.unwrap();
    assert_eq!(rig.adapter.take_over(claim(key.pid)).await.unwrap_err(), TakeOverError::Unknown, "it stays ended");
    take_over(&rig, other).await;
}

/// Attaches to a session as it was taken over; answers the cut.
pub(super) async fn attach(rig: &Rig, key: SessionKey, changes: u64) -> Position {
    match rig.adapter.attach(key, changes).await.unwrap() {
        Attached::At(cut) => cut.position,
        Attached::Changed(stays) => panic!("the session has changed: {stays:?}"),
    }
}

pub(crate) async fn attaching_fixes_the_cut(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let (key, _, start) = open(&rig, &[1]).await;
    let (key, taken) = take_over(&rig, key).await;
    let before = rig.log(&[1]).await;
    let cut = attach(&rig, key, taken.stays.changes).await;
    let after = rig.log(&[1]).await;
    assert!(before <= cut && cut < after);
    assert_eq!(rig.read(1, start, cut).await.unwrap(), [before]);
    let (later, taken) = take_over(&rig, key).await;
    assert_eq!(rig.adapter.attach(key, taken.stays.changes).await, Err(WriteError::Fenced));
    attach(&rig, later, taken.stays.changes).await;
}
