//! What the workers of a node share: adapter, router, mailboxes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::adapter::Adapter;
use crate::adapter::memory::{LogLimits, MemoryAdapter, MemoryLimits};
use crate::message::{NamespaceRef, Namespaces, Position};
use crate::rooms::mailbox::Mailbox;
use crate::rooms::{Command, RoomMetrics, Router, WorkerPort};

use super::ledger::Ledger;
use super::scheduled::{Bus, Scheduled};
use super::setting::Setting;
use super::single::WORKERS;

const START: u64 = 1_000_000;

pub(super) struct Node {
    pub(super) adapter: Arc<Scheduled>,
    pub(super) router: Arc<Router>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) namespace: NamespaceRef,
}

/// What a worker is made from.
pub(super) struct Seat {
    pub(super) index: usize,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) commands: mpsc::Receiver<Command>,
}

impl Node {
    pub(super) fn new(setting: &Setting, seed: u64) -> (Self, Vec<Seat>) {
        let clock = Arc::new(AtomicU64::new(START));
        let space = Arc::new(Notify::new());
        let (ports, seats): (Vec<_>, Vec<_>) = (0..WORKERS)
            .map(|index| {
                let mailbox = Arc::new(Mailbox::new(setting.mailbox, Arc::clone(&space)));
                let (sender, commands) = mpsc::channel(64);
                let port = WorkerPort { mailbox: Arc::clone(&mailbox), commands: sender };
                (port, Seat { index, mailbox, commands })
            })
            .unzip();
        let metrics = RoomMetrics::register(&prometheus::Registry::new()).unwrap();
        let router = Arc::new(Router::new(ports, 1, space, metrics));
        let (ttl, retention) = (setting.session_ttl, setting.retention);
        let ledger = Ledger { ttl, retention, latest: START, ..Ledger::default() };
        let ledger = Arc::new(Mutex::new(ledger));
        let bus = Bus::new(Arc::clone(&router), Arc::clone(&ledger), setting.hears_all);
        let bus = Arc::new(bus);
        let limits = MemoryLimits {
            log: LogLimits {
                retention: Duration::from_millis(retention),
                max_entries_per_room: setting.log_entries,
                max_bytes: setting.log_bytes,
            },
            session_ttl: Duration::from_millis(ttl),
            max_sessions: 0,
            idempotency: Duration::from_secs(1),
            max_idempotency_keys: 10,
        };
        let told = Arc::clone(&clock);
        let node = Arc::clone(&bus) as Arc<dyn crate::adapter::Node>;
        let noted = Arc::clone(&ledger);
        let memory = MemoryAdapter::new(limits, node, Arc::new(move || told.load(Ordering::Relaxed)));
        noted.lock().unwrap().on_epoch(memory.offset(Position::ZERO).epoch);
        let adapter = Arc::new(Scheduled::new(memory, bus, clock, seed ^ 0x5eed, setting.faults));
        let namespace = Namespaces::new([("/", true)]).by_name("/").unwrap().clone();
        (Node { adapter, router, ledger, namespace }, seats)
    }
}
