//! The shard against a plain list of who is where.

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::message::{Draft, Epoch, Namespaces, Offset};
use crate::protocol::Body;

const NAMESPACE: NamespaceId = NamespaceId(0);

struct Fake {
    feed: RefCell<Feed>,
    received: RefCell<Vec<Position>>,
    volatile: Cell<usize>,
}

impl Recipient for Rc<Fake> {
    fn feed(&self) -> &RefCell<Feed> {
        &self.feed
    }

    fn send(&self, message: &Arc<Message>, position: Position) {
        match message.position() {
            Some(id) => self.received.borrow_mut().push(id),
            None => {
                assert!(self.received.borrow().last().is_none_or(|last| *last <= position));
                self.volatile.set(self.volatile.get() + 1);
            }
        }
    }

    fn key(&self) -> usize {
        Rc::as_ptr(self).addr()
    }
}

fn room(n: u8) -> Room {
    Room::named(&format!("r{n}")).unwrap()
}

fn fake() -> Rc<Fake> {
    let mut feed = Feed::opening(Position::ZERO);
    feed.release();
    Rc::new(Fake { feed: RefCell::new(feed), received: RefCell::default(), volatile: Cell::new(0) })
}

#[derive(Debug, Clone)]
enum Step {
    Enter { who: usize, rooms: Vec<u8> },
    Leave { who: usize, rooms: Vec<u8> },
    Deliver { runs: Vec<(Vec<u8>, Option<u8>, bool)> },
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let rooms = || proptest::collection::vec(0u8..4, 1..4);
    let message = (proptest::collection::vec(0u8..4, 1..3), proptest::option::weighted(0.3, 0u8..4), any::<bool>());
    prop_oneof![
        (0usize..6, rooms()).prop_map(|(who, rooms)| Step::Enter { who, rooms }),
        (0usize..6, rooms()).prop_map(|(who, rooms)| Step::Leave { who, rooms }),
        proptest::collection::vec(message, 1..5).prop_map(|runs| Step::Deliver { runs }),
        Just(Step::Tick),
    ]
}

fn message(id: Position, rooms: &[u8], except: Option<u8>, volatile: bool) -> Arc<Message> {
    let namespaces = Namespaces::new([("/", true)]);
    let draft = Draft {
        namespace: namespaces.by_name("/").unwrap().clone(),
        rooms: rooms.iter().map(|n| room(*n)).collect(),
        except: except.map(room).into_iter().collect(),
        body: Body::from_values("e", &[]).unwrap(),
        volatile,
        idempotency: None,
        trace: None,
    };
    Arc::new(if volatile {
        Message::unlogged(draft)
    } else {
        Message::logged(draft, Offset { epoch: Epoch::random(), position: id })
    })
}

/// What a plain list says: rooms of each, and what each must have received.
#[derive(Default, Clone)]
struct Plain {
    rooms: Vec<u8>,
    received: Vec<Position>,
    volatile: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn members_get_what_is_theirs(steps in proptest::collection::vec(step(), 0..60)) {
        let mut shard = Shard::new(1, usize::MAX);
        let recipients: Vec<_> = (0..6).map(|_| fake()).collect();
        let mut plain = vec![Plain::default(); 6];
        let mut at = Position::new(1, 0);
        for step in steps {
            match step {
                Step::Enter { who, rooms } => {
                    let named: Vec<_> = rooms.iter().map(|n| room(*n)).collect();
                    let first = shard.enter(NAMESPACE, &recipients[who], &named, at);
                    for n in rooms {
                        let expected = plain.iter().all(|other| !other.rooms.contains(&n));
                        prop_assert!(!expected || first.contains(&room(n)));
                        if !plain[who].rooms.contains(&n) {
                            plain[who].rooms.push(n);
                        }
                    }
                }
                Step::Leave { who, rooms } => {
                    let named: Vec<_> = rooms.iter().map(|n| room(*n)).collect();
                    let last = shard.leave(NAMESPACE, &recipients[who], &named);
                    for n in rooms {
                        let was_in = plain[who].rooms.contains(&n);
                        plain[who].rooms.retain(|other| *other != n);
                        let empty = plain.iter().all(|other| !other.rooms.contains(&n));
                        prop_assert!(!(was_in && empty) || last.contains(&room(n)));
                    }
                    prop_assert!(last.iter().all(|room| shard.members(NAMESPACE, std::slice::from_ref(room)).is_empty()));
                }
                Step::Deliver { runs } => {
                    let mut messages = Vec::new();
                    for (rooms, except, volatile) in runs {
                        at = at.next(0);
                        messages.push(message(at, &rooms, except, volatile));
                        for one in &mut plain {
                            let meant = rooms.iter().any(|n| one.rooms.contains(n));
                            if meant && !except.is_some_and(|n| one.rooms.contains(&n)) {
                                match volatile {
                                    true => one.volatile += 1,
                                    false => one.received.push(at),
                                }
                            }
                        }
                    }
                    shard.deliver(&messages);
                }
                Step::Tick => {
                    at = at.next(0);
                    shard.tick(at);
                    prop_assert_eq!(shard.position(), at);
                }
            }
            for (recipient, plain) in recipients.iter().zip(&plain) {
                prop_assert_eq!(&*recipient.received.borrow(), &plain.received);
                prop_assert_eq!(recipient.volatile.get(), plain.volatile);
                prop_assert_eq!(recipient.feed.borrow().stays().len(), plain.rooms.len());
            }
        }
        let occupied = (0u8..4).filter(|n| plain.iter().any(|one| one.rooms.contains(n))).count();
        prop_assert_eq!(shard.rooms(), occupied);
    }
}

#[test]
fn an_overflowing_hold_asks_for_the_log() {
    use crate::recovery::Released;
    let (id, later) = (Position::new(5, 0), Position::new(6, 0));
    let one = message(id, &[1], None, false);
    let mut shard = Shard::new(1, one.len());
    let recipient = fake();
    shard.tick(Position::new(4, 0));
    shard.enter(NAMESPACE, &recipient, &[room(1)], Position::NEVER);
    shard.deliver(&[one]);
    assert_eq!(recipient.feed.borrow().position(shard.position()), Position::new(4, 0), "behind what is held");
    shard.deliver(&[message(later, &[1], None, false)]);
    let released = recipient.feed.borrow_mut().release();
    assert!(matches!(released, Released::Overflowed { from } if from == Position::new(4, 0)));
    shard.settle(NAMESPACE, &recipient, &[room(1)], later);
    recipient.feed.borrow_mut().replayed_all(later);
    let released = recipient.feed.borrow_mut().release();
    assert!(matches!(released, Released::Live(messages) if messages.is_empty()));
    assert!(recipient.feed.borrow().is_live() && recipient.received.borrow().is_empty());
    let several =
        Message { rooms: smallvec![room(1), room(2)], ..Arc::into_inner(message(at(7), &[1], None, false)).unwrap() };
    shard.enter(NAMESPACE, &recipient, &[room(2)], later);
    shard.deliver(&[Arc::new(several)]);
    assert_eq!(*recipient.received.borrow(), [at(7)], "once, though in both rooms");
}

fn at(ms: u64) -> Position {
    Position::new(ms, 0)
}

/// A shard with so many rooms of one member each, and one with all of them.
fn crowd(rooms: usize) -> Shard<Rc<Fake>> {
    let mut shard = Shard::new(1, 0);
    for n in 0..rooms {
        let names = [Room::named(&format!("room {n}")).unwrap(), room(0)];
        shard.enter(NAMESPACE, &fake(), &names, Position::ZERO);
    }
    shard
}

#[test]
fn rooms_and_members_are_looked_at_piece_by_piece() {
    let shard = crowd(25);
    for most in [1, 7, 26, 100] {
        let (mut from, mut seen) = (0, Vec::new());
        while shard.look(NAMESPACE, from, most, |room, members| seen.push((room.clone(), members))) {
            from += most;
        }
        assert_eq!(seen.iter().filter(|(room, members)| *members == 1 && *room != self::room(0)).count(), 25);
        assert!(seen.contains(&(room(0), 25)) && seen.len() == 26, "in pieces of {most}");
        let (mut from, mut members) = (0, std::collections::HashSet::new());
        while shard.look_at(NAMESPACE, &room(0), from, most, |it| assert!(members.insert(it.key()))) > from + most {
            from += most;
        }
        assert_eq!(members.len(), 25, "in pieces of {most}");
    }
    assert!(!shard.look(NamespaceId(9), 0, 1, |_, _| panic!("no such namespace")));
    assert_eq!(shard.look_at(NAMESPACE, &room(9), 0, 1, |_| panic!("no such room")), 0);
}

/// Not a limit but a measurement: `cargo test --release cost_of_a_look -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_look() {
    for rooms in [100_000, 1_000_000] {
        let shard = crowd(rooms);
        let (mut from, mut all, mut longest) = (0, std::time::Duration::ZERO, std::time::Duration::ZERO);
        let mut matches = 0;
        loop {
            let start = std::time::Instant::now();
            let more = shard.look(NAMESPACE, from, 8192, |room, _| {
                matches += usize::from(matches!(room, Room::Named(name) if name.starts_with("room 1")));
            });
            (all, longest) = (all + start.elapsed(), longest.max(start.elapsed()));
            from += 8192;
            if !more {
                break;
            }
        }
        println!("{rooms} rooms, {matches} match: {all:?} in all, at most {longest:?} at a time");
    }
}
