//! What every adapter must do: one test for each promise in the module above,
//! run against each adapter by [`conformance_tests`].
//!
//! A [`Subject`] makes adapters and has their time in hand. An adapter may hand
//! messages out later than it answers; the cases wait for them. The order of
//! calls is that of one connection after the other: what overtakes what is for
//! the model of the cut to try.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::message::{
    Draft, Epoch, Idempotency, Message, NamespaceId, NamespaceRef, Namespaces, NodeTag, Position, Room, SocketId,
};
use crate::protocol::Body;

use super::inspect::{Finding, Inquiry, Inspected, TopRooms};
use super::{Adapter, Node, Operation, Published, Range, ReadError, ReadLimit, Report};

pub(crate) mod identities;
pub(crate) mod log;
pub(crate) mod notices;
pub(crate) mod operations;
pub(crate) mod sessions;

/// What an adapter is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) session_ttl: Duration,
    pub(crate) retention: Duration,
    pub(crate) idempotency: Duration,
    pub(crate) entries_per_room: usize,
    /// How long a notice is one node's.
    pub(crate) lease: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            session_ttl: Duration::from_secs(100),
            retention: Duration::from_secs(200),
            idempotency: Duration::from_secs(100),
            entries_per_room: 1000,
            lease: Duration::from_secs(30),
        }
    }
}

impl Bounds {
    /// Short enough to wait for.
    pub(crate) fn short() -> Self {
        Bounds { session_ttl: SHORT, retention: SHORT * 3, idempotency: SHORT, ..Bounds::default() }
    }
}

/// The time to live of [`Bounds::short`].
pub(crate) const SHORT: Duration = Duration::from_millis(400);

/// How an adapter is tested.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// A fresh adapter, whose log and sessions are empty.
    async fn adapter(&self, bounds: Bounds, node: Arc<dyn Node>) -> Arc<dyn Adapter>;

    /// This much time passes for the adapters.
    async fn pass(&self, time: Duration);

    /// How long its adapters lease notices, where they are made with other than
    /// `bounds` says.
    fn lease(&self, bounds: &Bounds) -> Duration {
        bounds.lease
    }

    /// The clock of the adapters steps back; false where it cannot.
    fn step_back(&self, time: Duration) -> bool;

    /// The upkeep of all adapters has been done once more.
    async fn tick(&self);
}

/// A node that notes what it is told.
#[derive(Default)]
pub(crate) struct Recorder {
    notes: Mutex<Notes>,
    changed: Notify,
}

#[derive(Default, Clone)]
pub(crate) struct Notes {
    pub(crate) delivered: Vec<Arc<Message>>,
    pub(crate) ticks: Vec<Position>,
    pub(crate) fences: Vec<(NamespaceId, SocketId, u64)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) inquiries: Vec<Inquiry>,
}

impl Recorder {
    fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.notes.lock().unwrap());
        self.changed.notify_waiters();
    }

    /// The notes, once they hold what is waited for.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Notes) -> bool) -> Notes {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                let notes = self.notes.lock().unwrap().clone();
                if holds(&notes) {
                    return notes;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(5), wait).await {
            Ok(notes) => notes,
            Err(_) => panic!("the node is never told: {what}"),
        }
    }

    pub(crate) async fn delivered(&self, count: usize) -> Vec<Arc<Message>> {
        self.until("messages", |notes| notes.delivered.len() >= count).await.delivered
    }
}

#[async_trait]
impl Node for Recorder {
    fn deliver(&self, message: Arc<Message>) {
        self.note(|notes| notes.delivered.push(message));
    }

    fn announce(&self) {}

    fn tick(&self, position: Position) {
        self.note(|notes| notes.ticks.push(position));
    }

    fn has_space(&self) -> bool {
        true
    }

    async fn space(&self) {}

    fn fence(&self, namespace: NamespaceId, socket: SocketId, generation: u64) {
        self.note(|notes| notes.fences.push((namespace, socket, generation)));
    }

    fn is_wanted(&self, _: NamespaceId, _: &Room) -> bool {
        true
    }

    fn lost(&self, _: NamespaceId, rooms: Vec<Room>) {
        panic!("nothing is lost here: {rooms:?}");
    }

    fn refresh(&self) {}

    async fn begin_anew(&self) {
        panic!("nothing begins anew here");
    }

    async fn operate(&self, operation: Operation) -> Report {
        self.note(|notes| notes.operations.push(operation));
        Report { count: 1, ..Report::default() }
    }

    async fn inspect(&self, inquiry: Inquiry) -> Option<Inspected> {
        self.note(|notes| notes.inquiries.push(inquiry));
        Some(Inspected { node: NodeTag::parse("abc")?, finding: Finding::Rooms(TopRooms::default()) })
    }
}

/// An adapter, and the node that hears all rooms used here.
pub(crate) struct Rig {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) node: Arc<Recorder>,
}

pub(crate) const PLENTY: ReadLimit = ReadLimit { messages: 1000, bytes: 1 << 20 };

/// `/`, with recovery.
pub(crate) fn namespace() -> NamespaceRef {
    Namespaces::new([("/", true), ("/plain", false)]).by_name("/").unwrap().clone()
}

/// `/plain`, without.
pub(crate) fn plain() -> NamespaceRef {
    Namespaces::new([("/", true), ("/plain", false)]).by_name("/plain").unwrap().clone()
}

pub(crate) fn room(n: u32) -> Room {
    Room::named(&format!("room {n}")).unwrap()
}

pub(crate) fn draft(rooms: &[u32]) -> Draft {
    Draft {
        namespace: namespace(),
        rooms: rooms.iter().map(|n| room(*n)).collect(),
        except: Vec::new(),
        body: Body::from_values("event", &["text".into()]).unwrap(),
        volatile: false,
        idempotency: None,
        trace: None,
    }
}

pub(crate) fn keyed(rooms: &[u32], key: &str, digest: u64) -> Draft {
    Draft { idempotency: Some(Idempotency { key: key.into(), digest }), ..draft(rooms) }
}

impl Rig {
    pub(crate) async fn new(subject: &impl Subject, bounds: Bounds) -> Self {
        let node = Arc::new(Recorder::default());
        let adapter = subject.adapter(bounds, Arc::clone(&node) as Arc<dyn Node>).await;
        let rooms: Vec<Room> = (0..10).map(room).chain([Room::All]).collect();
        adapter.subscribe(&namespace(), &rooms).await.unwrap();
        adapter.subscribe(&plain(), &rooms).await.unwrap();
        Rig { adapter, node }
    }

    /// Publishes one, which must be accepted.
    pub(crate) async fn publish(&self, draft: Draft) -> Published {
        self.adapter.publish(vec![draft]).await.pop().unwrap().unwrap()
    }

    /// Publishes one that is logged; answers its id.
    pub(crate) async fn log(&self, rooms: &[u32]) -> Position {
        self.publish(draft(rooms)).await.offset.unwrap().position
    }

    pub(crate) async fn head(&self) -> Position {
        self.adapter.head().await.unwrap().position
    }

    pub(crate) async fn epoch(&self) -> Epoch {
        self.adapter.head().await.unwrap().epoch
    }

    /// Ids in a room's log.
    pub(crate) async fn read(&self, n: u32, after: Position, through: Position) -> Result<Vec<Position>, ReadError> {
        self.read_at_most(n, after, through, PLENTY).await
    }

    pub(crate) async fn read_at_most(
        &self,
        n: u32,
        after: Position,
        through: Position,
        limit: ReadLimit,
    ) -> Result<Vec<Position>, ReadError> {
        let ranges = [Range { room: room(n), after, through }];
        let logs = self.adapter.read(namespace().id, self.epoch().await, &ranges, limit).await?;
        Ok(ids(&logs.concat()))
    }
}

pub(crate) fn ids(messages: &[Arc<Message>]) -> Vec<Position> {
    messages.iter().filter_map(|message| message.position()).collect()
}

/// The cases, as tests of the adapters that `$subject` makes.
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::adapter::conformance::conformance_tests! { @cases $subject;
            log: ids_log_and_delivery_are_one_order, accepted_means_logged, reads_are_after_and_through, recent_is_what_is_there,
                too_much_is_refused, what_was_trimmed_is_told, what_is_too_old_is_told, unlogged_is_only_delivered,
                several_rooms_are_one_message, a_trace_goes_with_its_message, without_recovery_nothing_is_logged, idempotency_keys,
                head_and_ticks_grow, the_clock_may_step_back, what_expired_stays_told_when_the_clock_steps_back;
            sessions: a_session_is_taken_over, strangers_are_refused, sessions_expire, a_later_owner_fences,
                rooms_change_at_a_position, past_stays_are_kept_while_needed, confirmed_only_grows,
                an_ended_session_is_unknown, the_start_is_the_head,
                attaching_fixes_the_cut;
            operations: operations_reach_the_node, absent_sessions_join_and_leave, absent_sessions_are_disconnected,
                present_sessions_are_left_to_the_node, sessions_between_two_owners_are_changed,
                inquiries_reach_the_node;
            notices: an_end_is_told_once, who_is_not_watched_is_not_told_of, the_expiry_is_told,
                who_is_away_is_disconnected_by_the_backend, who_comes_to_a_room_and_who_leaves, who_is_away_is_moved,
                changes_of_one_user_come_one_by_one, what_is_not_settled_comes_again, who_waits_is_woken;
            identities: identities_are_kept, who_may_take_a_session_over, a_stranger_changes_no_identity,
                who_is_present, revoked_tokens_are_known, the_wider_revocation_stays,
                a_revocation_reaches_the_node;
        }
    };
    (@cases $subject:expr; $($part:ident: $($case:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $case() {
                $crate::adapter::conformance::$part::$case(&$subject).await;
            }
        )+)+
    };
}
pub(crate) use conformance_tests;
