//! Which bounds and mishaps a run has.

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::adapter::ReadLimit;

#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) clients: usize,
    /// Frames that may wait for one client.
    pub(super) outbound: usize,
    /// Bytes.
    pub(super) max_held: usize,
    pub(super) mailbox: usize,
    pub(super) replay: ReadLimit,
    pub(super) log_entries: usize,
    pub(super) log_bytes: usize,
    /// The log's bounds are reached.
    pub(super) trims: bool,
    /// Milliseconds.
    pub(super) session_ttl: u64,
    pub(super) retention: u64,
    pub(super) clock_steps: bool,
    /// Of a hundred calls of the adapter, how many fail.
    pub(super) faults: u32,
    /// Clients try twice at once.
    pub(super) twice: bool,
    /// Who tries again has given the earlier attempt up, as stock clients do.
    pub(super) newest_only: bool,
    /// The node needs no subscriptions.
    pub(super) hears_all: bool,
    /// Some publishes have an idempotency key.
    pub(super) keyed: bool,
}

pub(super) const PLENTY: usize = 1 << 30;

impl Setting {
    /// Each bound is tight in some runs; most of them in few.
    pub(super) fn draw(dice: &mut SmallRng) -> Self {
        let mut tight = |chance: u32, small: std::ops::Range<usize>| {
            let drawn = dice.random_range(small);
            if dice.random_ratio(chance, 100) { drawn } else { PLENTY }
        };
        let clients = tight(100, 2..6);
        let outbound = tight(30, 4..30);
        let max_held = tight(50, 300..2500);
        let mailbox = tight(20, 500..3000);
        let replay = ReadLimit { messages: tight(10, 2..12), bytes: PLENTY };
        let log_entries = tight(8, 2..12);
        let log_bytes = tight(8, 2_000..15_000);
        let session_ttl = tight(12, 30..200).min(1_000_000) as u64;
        let retention = tight(15, 15..150).min(10_000_000) as u64;
        let clock_steps = tight(50, 0..1) == 0;
        let faults = tight(30, 2..25);
        let twice = tight(25, 0..1) == 0;
        let faults = if faults == PLENTY { 0 } else { faults as u32 };
        let trims = log_entries < PLENTY || log_bytes < PLENTY;
        Setting {
            clients,
            outbound,
            max_held,
            mailbox,
            replay,
            log_entries,
            log_bytes,
            trims,
            session_ttl,
            retention,
            clock_steps,
            faults,
            twice,
            newest_only: false,
            hears_all: false,
            keyed: false,
        }
    }

    /// For workers that are threads: nothing is ever lost.
    pub(super) fn roomy() -> Self {
        Setting {
            clients: 12,
            outbound: PLENTY,
            max_held: 2000,
            mailbox: 20_000,
            replay: ReadLimit { messages: PLENTY, bytes: PLENTY },
            log_entries: PLENTY,
            log_bytes: PLENTY,
            trims: false,
            session_ttl: 1_000_000,
            retention: 10_000_000,
            clock_steps: true,
            faults: 0,
            twice: true,
            newest_only: false,
            hears_all: true,
            keyed: false,
        }
    }

    /// Nothing excuses a recovery that fails.
    pub(super) fn is_ordinary(&self) -> bool {
        let long = self.session_ttl >= 1_000_000 && self.retention >= 1_000_000;
        long && !self.trims && self.faults == 0 && self.replay.messages == PLENTY
    }
}
