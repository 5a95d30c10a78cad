//! The conformance kit, and what only this adapter promises.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::adapter::conformance::{Bounds, Rig, Subject, conformance_tests, draft, namespace, room};
use crate::adapter::{Revoked, Watch};
use crate::auth::UnixSeconds;

/// Adapters with a clock that tests set.
struct Memory {
    clock: Arc<AtomicU64>,
    made: Mutex<Vec<Arc<MemoryAdapter>>>,
    max_bytes: usize,
}

impl Memory {
    fn new() -> Self {
        Memory { clock: Arc::new(AtomicU64::new(1_000_000)), made: Mutex::default(), max_bytes: usize::MAX }
    }

    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.made.lock().unwrap()[0].lock())
    }
}

#[async_trait]
impl Subject for Memory {
    async fn adapter(&self, bounds: Bounds, node: Arc<dyn Node>) -> Arc<dyn Adapter> {
        let limits = MemoryLimits {
            log: LogLimits {
                retention: bounds.retention,
                max_entries_per_room: bounds.entries_per_room,
                max_bytes: self.max_bytes,
            },
            session_ttl: bounds.session_ttl,
            max_sessions: 5,
            idempotency: bounds.idempotency,
            max_idempotency_keys: 1000,
        };
        let clock = Arc::clone(&self.clock);
        let adapter = MemoryAdapter::new(limits, node, Arc::new(move || clock.load(Ordering::Relaxed)));
        let adapter = Arc::new(adapter);
        self.made.lock().unwrap().push(Arc::clone(&adapter));
        adapter
    }

    async fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    fn lease(&self, _: &Bounds) -> Duration {
        Duration::from_secs(30)
    }

    fn step_back(&self, time: Duration) -> bool {
        self.clock.fetch_sub(time.as_millis() as u64, Ordering::Relaxed);
        true
    }

    async fn tick(&self) {
        self.made.lock().unwrap().iter().for_each(|adapter| adapter.tick());
    }
}

conformance_tests!(Memory::new());

fn session(n: u32) -> NewSession {
    let token = crate::message::Token::random();
    NewSession {
        pid: crate::message::PrivateId(token),
        socket: crate::message::SocketId(token),
        namespace: NamespaceId(0),
        subject: None,
        identity: None,
        watched: Watch { gone: true, presence: true },
        rooms: vec![room(n)],
    }
}

#[tokio::test]
async fn over_the_bound_of_bytes_the_oldest_goes_and_is_told() {
    let one = Message::logged(draft(&[1]), Offset { epoch: Epoch::random(), position: Position::ZERO }).len();
    let memory = Memory { max_bytes: one * 4 + one / 2, ..Memory::new() };
    let rig = Rig::new(&memory, Bounds::default()).await;
    let start = rig.head().await;
    let mut logged = Vec::new();
    for n in [1, 2, 2, 2, 2, 2] {
        logged.push(rig.log(&[n]).await);
    }
    let head = rig.head().await;
    assert_eq!(rig.read(1, start, head).await, Err(ReadError::Trimmed), "a room that holds nothing now");
    assert_eq!(rig.read(1, logged[0], head).await, Ok(vec![]));
    assert_eq!(rig.read(2, start, head).await, Err(ReadError::Trimmed));
    assert_eq!(rig.read(2, logged[1], head).await.unwrap(), logged[2..]);
    assert_eq!(rig.read(3, start, head).await, Ok(vec![]));
}

#[tokio::test]
async fn a_message_to_several_rooms_counts_in_each() {
    let one = Message::logged(draft(&[1]), Offset { epoch: Epoch::random(), position: Position::ZERO }).len();
    let memory = Memory { max_bytes: one * 4 + one / 2, ..Memory::new() };
    let rig = Rig::new(&memory, Bounds::default()).await;
    let start = rig.head().await;
    rig.log(&[1]).await;
    let last = rig.log(&[2, 3, 4, 5]).await;
    assert_eq!(rig.read(1, start, last).await, Err(ReadError::Trimmed));
    for n in 2..6 {
        assert_eq!(rig.read(n, start, last).await.unwrap(), [last]);
    }
}

#[tokio::test]
async fn what_is_old_takes_no_memory() {
    let memory = Memory::new();
    let rig = Rig::new(&memory, Bounds { entries_per_room: 3, ..Bounds::short() }).await;
    for n in 0..50 {
        rig.log(&[n % 7, n % 5 + 10]).await;
        rig.publish(crate::adapter::conformance::keyed(&[1], &n.to_string(), 1)).await;
    }
    rig.adapter.open_session(session(1)).await.unwrap();
    let until = UnixSeconds(1030);
    let (what, issued_before) = (Revoked::All, until);
    let revocation = Revocation { namespace: namespace(), what, issued_before, until };
    rig.adapter.revoke(revocation).await.unwrap();
    let holds =
        |state: &mut State| !state.log.is_empty() && !state.sessions.is_empty() && !state.revocations.is_empty();
    assert!(memory.with_state(holds));
    memory.pass(Duration::from_secs(60)).await;
    memory.tick().await;
    assert!(memory.with_state(|state| state.log.is_empty()));
    let notices = rig.adapter.notices().await;
    let ids: Vec<_> = notices.iter().map(|notice| notice.id.clone()).collect();
    assert_eq!(ids.len(), 2, "that the user has come, and that the session is gone");
    rig.adapter.settle(&ids).await;
    rig.adapter.settle(&[rig.adapter.notices().await.remove(0).id]).await;
    assert!(memory.with_state(|state| state.sessions.is_empty() && state.revocations.is_empty()));
}

#[tokio::test]
async fn sessions_are_counted() {
    let memory = Memory::new();
    let rig = Rig::new(&memory, Bounds::short()).await;
    let mut first = None;
    for n in 0..5 {
        let session = session(n);
        first.get_or_insert(session.pid);
        rig.adapter.open_session(session).await.unwrap();
    }
    assert_eq!(rig.adapter.open_session(session(9)).await.unwrap_err(), WriteError::Full);
    let key = SessionKey { pid: first.unwrap(), generation: NewSession::GENERATION };
    rig.adapter.end_session(key, Ending::Client).await.unwrap();
    rig.adapter.open_session(session(9)).await.unwrap();
    memory.pass(Duration::from_secs(60)).await;
    memory.tick().await;
    rig.adapter.open_session(session(9)).await.unwrap();
}
