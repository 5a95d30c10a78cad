//! Publishing, the log and the order.

use std::sync::Arc;
use std::time::Duration;

use smallvec::smallvec;

use crate::adapter::{PublishError, Range, ReadError, ReadLimit};
use crate::message::{Draft, Position, Room};

use super::{Bounds, PLENTY, Rig, SHORT, Subject, draft, ids, keyed, namespace, plain, room};

pub(crate) async fn ids_log_and_delivery_are_one_order(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let before = rig.head().await;
    let batches = (0..20).map(|n| rig.adapter.publish(vec![draft(&[n % 3]), draft(&[1]), draft(&[n % 2, 2])]));
    let answers = futures_util::future::join_all(batches).await;
    for batch in &answers {
        let ids: Vec<_> = batch.iter().map(|answer| answer.as_ref().unwrap().offset.unwrap().position).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "a batch keeps its order");
    }
    let delivered = rig.node.delivered(60).await;
    assert!(ids(&delivered).is_sorted_by(|a, b| a < b), "delivered in the order of ids, each once");
    assert!(ids(&delivered)[0] > before);
    let head = rig.head().await;
    for n in 0..3 {
        let of_room: Vec<_> = delivered.iter().filter(|message| message.rooms.contains(&room(n))).cloned().collect();
        assert_eq!(rig.read(n, before, head).await.unwrap(), ids(&of_room));
    }
}

pub(crate) async fn accepted_means_logged(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    for _ in 0..10 {
        let before = rig.head().await;
        let id = rig.log(&[1]).await;
        let head = rig.head().await;
        assert!(before < id && id <= head);
        assert_eq!(rig.read(1, before, head).await.unwrap(), [id]);
    }
}

pub(crate) async fn reads_are_after_and_through(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let start = rig.head().await;
    let (a, b, c) = (rig.log(&[1]).await, rig.log(&[1]).await, rig.log(&[1]).await);
    rig.log(&[2]).await;
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await.unwrap(), [a, b, c]);
    assert_eq!(rig.read(1, a, c).await.unwrap(), [b, c]);
    assert_eq!(rig.read(1, a, b).await.unwrap(), [b]);
    assert_eq!(rig.read(1, b, b).await.unwrap(), []);
    assert_eq!(rig.read(1, c, head).await.unwrap(), []);
    assert_eq!(rig.read(9, start, head).await.unwrap(), [], "an empty room");
    let range = |n, after, through| Range { room: room(n), after, through };
    let ranges = [range(1, b, head), range(2, start, head), range(1, start, a)];
    let logs = rig.adapter.read(namespace().id, rig.epoch().await, &ranges, PLENTY).await.unwrap();
    assert_eq!(logs.iter().map(Vec::len).sum::<usize>(), 3);
    let all = [Room::All, Room::user("7").unwrap()].map(|room| Range { room, after: start, through: head });
    let logs = rig.adapter.read(namespace().id, rig.epoch().await, &all, PLENTY).await.unwrap();
    assert_eq!(logs.concat().len(), 0, "kinds of rooms are kept apart");
}

pub(crate) async fn recent_is_what_is_there(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds { entries_per_room: 5, ..Bounds::default() }).await;
    let start = rig.head().await;
    let said = [rig.log(&[1]).await, rig.log(&[1, 2]).await, rig.log(&[1]).await];
    rig.log(&[3]).await;
    let recent = async |n, after, through, most| {
        let range = Range { room: room(n), after, through };
        ids(&rig.adapter.recent(namespace().id, &range, most).await.unwrap())
    };
    let head = rig.head().await;
    assert_eq!(recent(1, start, head, 10).await, said);
    assert_eq!(recent(1, start, head, 2).await, said[1..]);
    assert_eq!(recent(1, start, said[1], 1).await, [said[1]]);
    assert_eq!(recent(1, said[1], head, 10).await, [said[2]]);
    assert_eq!(recent(1, head, head, 10).await, []);
    assert_eq!(recent(9, start, head, 10).await, [], "an empty room");
    let mut more = Vec::new();
    for _ in 0..200 {
        more.push(rig.log(&[1]).await);
    }
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await, Err(ReadError::Trimmed));
    let there = recent(1, start, head, 1000).await;
    assert!(there.len() >= 5 && more.ends_with(&there), "{} of 203, of which 5 are kept at least", there.len());
    assert_eq!(recent(1, start, head, 3).await, more[197..]);
}

pub(crate) async fn too_much_is_refused(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let start = rig.head().await;
    for n in 0..10 {
        rig.log(&[n % 2]).await;
    }
    let head = rig.head().await;
    let limit = |messages, bytes| ReadLimit { messages, bytes };
    assert_eq!(rig.read_at_most(1, start, head, limit(5, 1 << 20)).await.unwrap().len(), 5);
    assert_eq!(rig.read_at_most(1, start, head, limit(4, 1 << 20)).await, Err(ReadError::TooMuch));
    assert_eq!(rig.read_at_most(1, start, head, limit(5, 100)).await, Err(ReadError::TooMuch));
    let both = [0, 1].map(|n| Range { room: room(n), after: start, through: head });
    let read = rig.adapter.read(namespace().id, rig.epoch().await, &both, limit(9, 1 << 20)).await;
    assert_eq!(read.unwrap_err(), ReadError::TooMuch, "over all ranges together");
}

pub(crate) async fn what_was_trimmed_is_told(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds { entries_per_room: 5, ..Bounds::default() }).await;
    let start = rig.head().await;
    let mut logged = Vec::new();
    for _ in 0..8 {
        logged.push(rig.log(&[1]).await);
    }
    let other = rig.log(&[2]).await;
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await, Err(ReadError::Trimmed));
    assert_eq!(rig.read(1, logged[1], head).await, Err(ReadError::Trimmed));
    assert_eq!(rig.read(1, logged[3], head).await.unwrap(), logged[4..], "what is left is complete");
    assert_eq!(rig.read(2, start, head).await.unwrap(), [other], "another room is not concerned");
}

pub(crate) async fn what_is_too_old_is_told(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::short()).await;
    let start = rig.head().await;
    rig.log(&[1]).await;
    subject.pass(SHORT * 4).await;
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await, Err(ReadError::Trimmed), "before the upkeep");
    subject.tick().await;
    assert_eq!(rig.read(1, start, head).await, Err(ReadError::Trimmed), "and after it");
    let before = rig.node.until("a tick", |notes| !notes.ticks.is_empty()).await.ticks.last().copied().unwrap();
    let id = rig.log(&[1]).await;
    assert_eq!(rig.read(1, before, id).await.unwrap(), [id], "what is young enough is there");
}

pub(crate) async fn unlogged_is_only_delivered(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let start = rig.head().await;
    let published = rig.publish(Draft { volatile: true, ..draft(&[1]) }).await;
    assert_eq!(published.offset, None);
    assert_eq!(rig.node.delivered(1).await[0].position(), None);
    let asked = rig.adapter.publish_with_ack(draft(&[1]), Duration::from_millis(50));
    let (acks, ()) = tokio::join!(asked, async {
        rig.node.delivered(2).await;
    });
    acks.unwrap();
    let id = rig.log(&[1]).await;
    assert_eq!(rig.read(1, start, id).await.unwrap(), [id]);
    let delivered = rig.node.delivered(3).await;
    assert_eq!((delivered[1].position(), delivered[2].position()), (None, Some(id)), "in the one order");
}

pub(crate) async fn several_rooms_are_one_message(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let start = rig.head().await;
    let both = rig.publish(Draft { except: vec![room(3)], ..draft(&[1, 2]) }).await.offset.unwrap().position;
    let next = rig.log(&[2]).await;
    assert_eq!(rig.read(1, start, next).await.unwrap(), [both]);
    assert_eq!(rig.read(2, start, next).await.unwrap(), [both, next]);
    let delivered = rig.node.delivered(2).await;
    assert_eq!(ids(&delivered), [both, next], "delivered once");
    assert_eq!((delivered[0].rooms.len(), &*delivered[0].except), (2, &[room(3)][..]));
    let range = Range { room: room(1), after: start, through: next };
    let read = rig.adapter.read(namespace().id, rig.epoch().await, &[range], PLENTY).await.unwrap().concat();
    assert_eq!((&read[0].rooms, &read[0].except), (&delivered[0].rooms, &delivered[0].except), "the log keeps both");
}

pub(crate) async fn a_trace_goes_with_its_message(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 vendor=1";
    let trace = Some(Arc::new(text.parse().unwrap()));
    for (n, namespace) in (0..).zip([namespace(), plain()]) {
        rig.publish(Draft { namespace: namespace.clone(), trace: trace.clone(), ..draft(&[1]) }).await;
        rig.publish(Draft { namespace, ..draft(&[1]) }).await;
        let delivered = rig.node.delivered(n * 2 + 2).await;
        assert_eq!([&delivered[n * 2].trace, &delivered[n * 2 + 1].trace], [&trace, &None]);
    }
    let asked = rig.adapter.publish_with_ack(Draft { trace: trace.clone(), ..draft(&[1]) }, Duration::from_millis(50));
    let (acks, delivered) = tokio::join!(asked, rig.node.delivered(5));
    acks.unwrap();
    assert_eq!(delivered[4].trace, trace);
}

pub(crate) async fn without_recovery_nothing_is_logged(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let start = rig.head().await;
    let published = rig.publish(Draft { namespace: plain(), ..draft(&[1]) }).await;
    assert_eq!(published.offset, None);
    let delivered = rig.node.delivered(1).await;
    assert_eq!((delivered[0].position(), delivered[0].namespace), (None, plain().id));
    let head = rig.head().await;
    let range = Range { room: room(1), after: start, through: head };
    let read = rig.adapter.read(plain().id, rig.epoch().await, &[range], PLENTY).await.unwrap();
    assert_eq!(read.concat().len(), 0);
    assert_eq!(rig.read(1, start, head).await.unwrap(), [], "nor in another namespace");
}

pub(crate) async fn idempotency_keys(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::short()).await;
    let start = rig.head().await;
    let first = rig.publish(keyed(&[1], "/ app a", 1)).await;
    let batch = vec![
        keyed(&[1], "/ app a", 1),
        keyed(&[1], "/ app a", 2),
        keyed(&[1], "/ other a", 2),
        keyed(&[1], "/ app b", 1),
        keyed(&[1], "/ app b", 1),
    ];
    let answers = rig.adapter.publish(batch).await;
    let again = answers[0].unwrap();
    assert!(again.duplicate && !first.duplicate);
    assert_eq!(again.offset, first.offset);
    assert_eq!(answers[1], Err(PublishError::IdempotencyConflict));
    assert!(!answers[2].unwrap().duplicate, "another scope is another key");
    assert!(!answers[3].unwrap().duplicate);
    assert_eq!(answers[4].unwrap().offset, answers[3].unwrap().offset, "within a batch too");
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await.unwrap().len(), 3);
    subject.pass(SHORT + SHORT / 2).await;
    let later = rig.publish(keyed(&[1], "/ app a", 2)).await;
    assert!(!later.duplicate, "a key is forgotten in time");
    assert_eq!(rig.node.delivered(4).await.len(), 4);
}

pub(crate) async fn head_and_ticks_grow(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let mut last = rig.head().await;
    for n in 0..5 {
        let id = rig.log(&[1]).await;
        let heard = rig.node.delivered(n + 1).await.len();
        subject.tick().await;
        let head = rig.head().await;
        assert!(last < id && id <= head);
        let ticked = |notes: &super::Notes| notes.ticks.last().is_some_and(|tick| *tick > id);
        let notes = rig.node.until("a tick after what was published", ticked).await;
        assert!(notes.ticks.is_sorted() && notes.delivered.len() == heard, "a tick is no message");
        last = head;
    }
}

pub(crate) async fn the_clock_may_step_back(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::default()).await;
    let start = rig.head().await;
    let mut logged = vec![rig.log(&[1]).await];
    for _ in 0..3 {
        if !subject.step_back(Duration::from_millis(700)) {
            return;
        }
        logged.push(rig.log(&[1]).await);
        subject.tick().await;
        logged.push(rig.log(&[1]).await);
    }
    assert!(logged.is_sorted_by(|a, b| a < b));
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await.unwrap(), logged);
    assert!(rig.node.until("ticks", |notes| notes.ticks.len() >= 3).await.ticks.is_sorted());
}

pub(crate) async fn what_expired_stays_told_when_the_clock_steps_back(subject: &impl Subject) {
    let rig = Rig::new(subject, Bounds::short()).await;
    let start = rig.head().await;
    rig.publish(Draft { rooms: smallvec![room(1), room(2)], ..draft(&[1]) }).await;
    subject.pass(SHORT * 4).await;
    subject.tick().await;
    if subject.step_back(SHORT * 4) {
        let head: Position = rig.head().await;
        assert_eq!(rig.read(1, start, head).await, Err(ReadError::Trimmed));
    }
}
