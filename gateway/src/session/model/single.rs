//! One run of one node: the dice that decide who is next.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::adapter::{Adapter, Watch};
use crate::rooms::Shard;

use super::node::{Node, Seat};
use super::scheduled::Scheduled;
use super::server::Place;
use super::setting::Setting;
use super::world::World;

pub(super) const WORKERS: usize = 3;
const STEPS: usize = 700;

/// Rounds in which nothing happens, until it counts as rest.
const QUIET: usize = 30;

/// Some workers of a node, and who has to do with them.
pub(super) struct Single {
    pub(super) world: World,
    adapter: Arc<Scheduled>,
}

impl Single {
    /// All of it, as a seed decides.
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let setting = Setting::draw(&mut dice);
        let (node, seats) = Node::new(&setting, seed);
        let mut single = Single::part(&node, setting, dice, seats);
        single.world.populate();
        single
    }

    /// Some of its workers.
    pub(super) fn part(node: &Node, setting: Setting, dice: SmallRng, seats: Vec<Seat>) -> Self {
        let place = |seat: Seat| {
            Rc::new(Place {
                node: 0,
                index: seat.index,
                shard: Shard::new(1, setting.max_held).into(),
                router: Arc::clone(&node.router),
                mailbox: seat.mailbox,
                commands: seat.commands.into(),
                batch: VecDeque::new().into(),
                adapter: Arc::clone(&node.adapter) as Arc<dyn Adapter>,
                namespace: node.namespace.clone(),
                limit: setting.replay,
                watched: Watch::NONE,
                paused: false.into(),
            })
        };
        let places = seats.into_iter().map(place).collect();
        let adapter = Arc::clone(&node.adapter);
        Single { world: World::new(setting, dice, places, Arc::clone(&node.ledger)), adapter }
    }

    /// Steps, then quiet, then the reckoning.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step();
        }
        self.settle()?;
        self.world.reckon()?;
        let heads = self.adapter.heads.load(Ordering::Relaxed) as usize;
        self.world.tally.overflowed += heads.saturating_sub(self.world.tally.attempts());
        Ok(())
    }

    pub(super) fn step(&mut self) {
        let world = &mut self.world;
        match world.dice.random_range(0..100) {
            0..20 => world.hand_out_some(),
            20..40 => world.run_link(),
            40..53 => world.run_task(),
            53..61 => world.publish(),
            61..63 => self.adapter.inner.tick(),
            63..68 => self.step_clock(),
            68..93 => world.act_someone(),
            93..96 => world.ping(),
            96..97 => world.refresh(),
            97..99 => world.notice(),
            _ => {
                let place = world.dice.random_range(0..world.places.len());
                world.take_commands(place);
            }
        }
    }

    fn step_clock(&mut self) {
        let now = self.adapter.clock.load(Ordering::Relaxed);
        let world = &mut self.world;
        let now = match world.dice.random_range(0..16) {
            0 if world.setting.clock_steps => now - world.dice.random_range(1..60),
            1 if world.setting.clock_steps => now + world.dice.random_range(1..60),
            _ => now + world.dice.random_range(0..4),
        };
        self.adapter.clock.store(now, Ordering::Relaxed);
        world.ledger.lock().unwrap().on_clock(now);
    }

    /// Nothing new happens; what is under way comes to its end.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.adapter.calm.store(true, Ordering::Relaxed);
        let mut quiet = 0;
        for round in 0..2000 {
            quiet = if self.round(round) { quiet + 1 } else { 0 };
            if quiet == QUIET {
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    /// Everybody does what there is to do. True if that was nothing.
    pub(super) fn round(&mut self, round: usize) -> bool {
        let quiet = self.world.round();
        if round.is_multiple_of(20) {
            self.adapter.inner.tick();
        }
        quiet
    }
}
