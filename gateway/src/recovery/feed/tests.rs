//! What is foreseen of a message is what then becomes of it.

use proptest::prelude::*;

use super::*;
use crate::message::{Draft, Epoch, Namespaces, Offset};
use crate::protocol::Body;

const SINCE: Position = Position::new(5, 0);
const UNTIL: Position = Position::new(7, 0);
/// Where rooms are joined that are pending now.
const SETTLED: Position = Position::new(9, 0);
const MESSAGE: Position = Position::new(10, 0);

#[derive(Debug, Clone, Copy)]
enum Membership {
    Pending,
    In,
    Leaving,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Opening,
    Holding,
    Live,
}

fn room(n: u8) -> Room {
    Room::named(&format!("r{n}")).unwrap()
}

fn rooms(numbers: &std::collections::BTreeSet<u8>) -> Vec<Room> {
    numbers.iter().map(|n| room(*n)).collect()
}

fn feed(stays: &[(u8, Membership)], stage: Stage) -> Feed {
    let mut feed = Feed::opening(Position::ZERO);
    for (n, membership) in stays {
        let (since, until) = match membership {
            Membership::Pending => (Position::NEVER, Position::NEVER),
            Membership::In => (SINCE, Position::NEVER),
            Membership::Leaving => (SINCE, UNTIL),
        };
        feed.enter(Stay { room: room(*n), since, until, slot: 0 });
    }
    match stage {
        Stage::Opening => {}
        Stage::Holding => feed.connected(),
        Stage::Live => drop(feed.release()),
    }
    feed
}

fn message(rooms: &[Room], except: &[Room], keeping: Keeping) -> Arc<Message> {
    let namespaces = Namespaces::new([("/", true), ("/plain", false)]);
    let logged = keeping == Keeping::Logged;
    let draft = Draft {
        namespace: namespaces.by_name(if logged { "/" } else { "/plain" }).unwrap().clone(),
        rooms: rooms.iter().cloned().collect(),
        except: except.to_vec(),
        body: Body::from_values("event", &[]).unwrap(),
        volatile: keeping == Keeping::Volatile,
        idempotency: None,
        trace: None,
    };
    let offset = Offset { epoch: Epoch::random(), position: MESSAGE };
    Arc::new(if logged { Message::logged(draft, offset) } else { Message::unlogged(draft) })
}

/// Whether it is sent at once, and whether it is sent after the cut.
fn outcome(feed: &mut Feed, message: &Arc<Message>) -> (bool, bool) {
    let mut sent = false;
    for room in &message.rooms {
        let Some((since, until)) = feed.stay(room).map(|stay| (stay.since, stay.until)) else { continue };
        let verdict = feed.on_message(message, since, until, 1, SETTLED, usize::MAX);
        sent |= matches!(verdict, Verdict::Send(_));
    }
    for stay in &mut feed.stays {
        if stay.since == Position::NEVER {
            stay.since = SETTLED;
        }
    }
    let Released::Live(later) = feed.release() else { panic!("nothing overflows") };
    (sent, !later.is_empty())
}

proptest! {
    #[test]
    fn what_is_foreseen_comes_true(
        stays in proptest::collection::btree_map(
            0u8..4, prop_oneof![Just(Membership::Pending), Just(Membership::In), Just(Membership::Leaving)], 0..4),
        targets in proptest::collection::btree_set(0u8..4, 1..4),
        except in proptest::collection::btree_set(0u8..4, 0..3),
        stage in prop_oneof![Just(Stage::Opening), Just(Stage::Holding), Just(Stage::Live)],
        keeping in prop_oneof![Just(Keeping::Logged), Just(Keeping::Unlogged), Just(Keeping::Volatile)],
    ) {
        let stays: Vec<_> = stays.into_iter().collect();
        let (targets, except) = (rooms(&targets), rooms(&except));
        let mut feed = feed(&stays, stage);
        let foreseen = feed.foresee(&targets, &except, keeping);
        let (fate, by) = (foreseen.map(|it| it.fate), foreseen.and_then(|it| it.except));
        let in_target = targets.iter().any(|room| feed.stay(room).is_some());
        // whether it is left out is decided when the room is joined
        let uncertain = except.iter().any(|room| feed.stay(room).is_some_and(|stay| stay.since == Position::NEVER));
        let (sent, later) = outcome(&mut feed, &message(&targets, &except, keeping));
        prop_assert_eq!(foreseen.is_some(), in_target);
        prop_assert_eq!(by.is_some(), fate == Some(Fate::Excepted));
        match fate {
            Some(Fate::Sent) => prop_assert_eq!((sent, later), (true, false)),
            Some(Fate::Held) => prop_assert!(!sent && (later || uncertain)),
            Some(Fate::Excepted | Fate::Joining | Fate::Leaving) | None => prop_assert_eq!((sent, later), (false, false)),
            Some(Fate::Congested | Fate::Closing) => prop_assert!(false, "that is for the connection to say"),
        }
    }
}
