//! What goes wrong, and how much of it a run has.

use adapter_redis::Settings;
use fake_redis::{Memory, Role};
use rand::RngExt;
use rand::rngs::SmallRng;
use std::time::Duration;

use crate::adapter::ReadLimit;

use super::super::setting::{PLENTY, Setting};
use super::Cluster;

/// By the names under which they are counted.
pub(super) const FAULTS: [&str; 18] = [
    "clock set",
    "connection killed",
    "connection orphaned",
    "connection silent",
    "demoted",
    "evicted",
    "failover",
    "flushed",
    "memory full",
    "node killed",
    "output over its limit",
    "paused",
    "restarted empty",
    "scripts forgotten",
    "subscriber killed",
    "subscriber silent",
    "tail lost",
    "unreachable",
];

/// The bounds of one run, and its faults.
#[derive(Debug, Clone)]
pub(super) struct Chaos {
    pub(super) nodes: usize,
    pub(super) workers: usize,
    /// One of so many steps is a fault; 0: none.
    pub(super) faults: u32,
    /// Faults that may lose data.
    pub(super) loses: bool,
    /// Time passes while requests are under way.
    pub(super) slow: bool,
    /// Sessions are watched.
    pub(super) watched: bool,
    pub(super) setting: Setting,
    pub(super) settings: Settings,
}

impl Chaos {
    pub(super) fn draw(dice: &mut SmallRng) -> Self {
        let mut tight = |chance: u32, small: std::ops::Range<usize>| {
            let drawn = dice.random_range(small);
            if dice.random_ratio(chance, 100) { drawn } else { PLENTY }
        };
        let setting = Setting {
            clients: tight(100, 2..6),
            outbound: tight(25, 4..30),
            max_held: tight(40, 300..2500),
            mailbox: tight(20, 500..3000),
            replay: ReadLimit { messages: tight(8, 2..12), bytes: PLENTY },
            log_entries: tight(8, 2..12),
            log_bytes: PLENTY,
            trims: false,
            session_ttl: tight(10, 6_000..20_000).min(1_000_000) as u64,
            retention: tight(15, 4_000..20_000).min(10_000_000) as u64,
            clock_steps: tight(40, 0..1) == 0,
            faults: 0,
            twice: tight(25, 0..1) == 0,
            newest_only: true,
            hears_all: false,
            keyed: tight(50, 0..1) == 0,
        };
        let setting = Setting { trims: setting.log_entries < PLENTY, ..setting };
        let max_read = tight(10, 500..3000);
        let setting = Setting { replay: ReadLimit { bytes: max_read, ..setting.replay }, ..setting };
        let inbox = tight(25, 400..3000);
        let faults = [0, 200, 60, 25][tight(100, 0..4)] as u32;
        let loses = tight(50, 0..1) == 0 && faults > 0;
        let slow = tight(40, 0..1) == 0 && faults > 0;
        let (nodes, workers) = (tight(100, 2..4), tight(100, 1..3));
        let retention = Duration::from_millis(setting.retention);
        let ms = Duration::from_millis;
        let settings = Settings {
            prefix: "m".into(),
            advertise: "here".into(),
            retention,
            slice: retention / 4,
            max_slice_entries: setting.log_entries,
            max_read: max_read.min(32 << 20),
            session_ttl: ms(setting.session_ttl),
            inbox,
            patience: ms(3000),
            linger: ms(tight(80, 20..300).min(2000) as u64),
            readers: 1 + tight(50, 0..1).min(1),
            back_off: (ms(2), ms(2)),
            idempotency: ms(600_000),
            notice_lease: ms(2000),
            ..Settings::default()
        };
        let watched = dice.random_bool(0.5);
        Chaos { nodes, workers, faults, loses, slow, watched, setting, settings }
    }

    /// Nothing excuses a recovery that fails.
    pub(super) fn is_ordinary(&self) -> bool {
        let long = self.setting.session_ttl >= 1_000_000 && self.setting.retention >= 1_000_000;
        long && !self.setting.trims
            && self.faults == 0
            && self.setting.replay.messages.min(self.setting.replay.bytes) == PLENTY
    }
}

impl Cluster {
    /// Something goes wrong.
    pub(super) fn fault(&mut self) {
        let node = self.world.dice.random_range(0..self.nodes.len());
        let way = std::sync::Arc::clone(&self.nodes[node].way);
        let mut pick = |ids: Vec<_>| (!ids.is_empty()).then(|| ids[self.world.dice.random_range(0..ids.len())]);
        let (commands, subscriber) = (pick(way.commands()), pick(way.subscribers()));
        let name = match self.world.dice.random_range(0..100) {
            0..14 => {
                let Some(id) = subscriber else { return };
                self.redis.kill(id);
                "subscriber killed"
            }
            14..24 => {
                let Some(id) = commands else { return };
                self.redis.kill(id);
                "connection killed"
            }
            24..34 => {
                let Some(id) = commands else { return };
                self.redis.orphan(id);
                "connection orphaned"
            }
            34..38 => {
                let Some(id) = subscriber else { return };
                self.redis.silence(id);
                "subscriber silent"
            }
            38..42 => {
                let Some(id) = commands else { return };
                self.redis.silence(id);
                "connection silent"
            }
            42..50 => {
                self.output_limit = [usize::MAX, 1500, 4000][self.world.dice.random_range(0..3)];
                return;
            }
            50..54 => {
                let is_open = self.world.dice.random_bool(0.7);
                way.open(is_open);
                "unreachable"
            }
            54..57 => {
                let full = self.world.dice.random_bool(0.3);
                self.redis.set_memory(if full { Memory::Full } else { Memory::Free });
                "memory full"
            }
            57..67 => {
                self.pause(node, true);
                "paused"
            }
            67..77 => {
                (0..self.nodes.len()).for_each(|node| self.pause(node, false));
                return;
            }
            77..81 => {
                self.kill(node);
                "node killed"
            }
            81..84 => {
                self.redis.forget_scripts();
                "scripts forgotten"
            }
            84..87 => {
                let replica = self.world.dice.random_bool(0.4);
                self.redis.set_role(if replica { Role::Replica } else { Role::Primary });
                "demoted"
            }
            _ if !self.chaos.loses => return,
            87..92 => {
                let lost = [0, 1, 5, 40][self.world.dice.random_range(0..4)];
                if self.redis.failover(lost) > 0 {
                    self.note("tail lost");
                }
                self.truth.renew();
                self.tell_another_time();
                "failover"
            }
            92..95 => {
                self.redis.restart_empty();
                self.truth.renew();
                self.tell_another_time();
                "restarted empty"
            }
            95..97 => {
                self.redis.flush_all();
                self.tell_another_time();
                "flushed"
            }
            _ => {
                if !self.evict() {
                    return;
                }
                "evicted"
            }
        };
        self.note(name);
        self.nodes.iter().for_each(|node| node.way.pump());
    }

    /// What waits for a subscriber is over the bound: the server drops it. (Its
    /// own limit would drop the one that listens for the ledger as well.)
    pub(super) fn limit_output(&mut self) {
        let subscribers: Vec<_> = self.nodes.iter().flat_map(|node| node.way.subscribers()).collect();
        for id in subscribers {
            if self.redis.output_bytes(id) > self.output_limit {
                self.redis.kill(id);
                self.note("output over its limit");
            }
        }
    }

    pub(super) fn note(&mut self, name: &'static str) {
        *self.world.tally.faults.entry(name).or_default() += 1;
    }

    /// What comes now may tell an earlier time than what was before.
    fn tell_another_time(&mut self) {
        if self.chaos.setting.clock_steps && self.world.dice.random_bool(0.5) {
            self.step_clock();
        }
    }

    /// Some key goes, and all come to know of it before anything else happens.
    fn evict(&mut self) -> bool {
        // who reads a log just then, or repeats a publish, could not know of it
        self.come_to_know();
        let found = self.redis.execute(["SCAN", "0", "COUNT", "10000"]).unwrap();
        let (_, keys): (u64, Vec<String>) = ::redis::from_redis_value(found).unwrap();
        let keys: Vec<String> = keys.into_iter().filter(|key| !key.ends_with(":meta")).collect();
        // in an order without the epochs' random names
        let epochs = self.world.ledger.lock().unwrap().epochs.clone();
        let plain = |key: &String| epochs.iter().fold(key.clone(), |key, epoch| key.replace(&epoch.to_string(), ""));
        let mut keys = keys;
        keys.sort_by_cached_key(plain);
        if keys.is_empty() {
            return false;
        }
        let key = &keys[self.world.dice.random_range(0..keys.len())];
        self.redis.evict(key);
        self.come_to_know();
        true
    }

    /// Longer than the nodes need to see what Redis is.
    fn come_to_know(&mut self) {
        for _ in 0..12 {
            self.pass(600);
            self.drain(5000);
        }
    }

    /// All is well from here on.
    pub(super) fn heal(&mut self) {
        self.output_limit = usize::MAX;
        self.redis.set_memory(Memory::Free);
        self.redis.set_role(Role::Primary);
        for node in 0..self.nodes.len() {
            self.nodes[node].way.open(true);
            self.pause(node, false);
        }
    }
}
