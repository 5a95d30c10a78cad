//! Nodes that meet at one Redis, under every order of events that dice find.
//!
//! Two or three nodes, each with the real adapter (all of its tasks), router,
//! shards and mailboxes; a Redis in memory that runs the real scripts; the same
//! clients and the same ledger as for one node. Time stands still unless the
//! dice say otherwise. What was to happen is seen from within the server
//! ([`truth`]), so that no answer of the code under test is believed.

mod chaos;
mod node;
mod redis;
mod tests;
mod told;
mod truth;

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_redis::Names;
use fake_redis::{FakeRedis, Step};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;

use crate::message::Room;
use crate::recovery::mutation::Mutation;

use self::redis::Way;
use super::client::shared_rooms;
use super::ledger::Ledger;
use super::tally::Tally;
use super::world::World;
use chaos::Chaos;
use node::Node;
use told::Told;
use truth::Truth;

/// Mistakes of the gateway that show only here.
pub(super) const MUTATIONS: [Mutation; 1] = [Mutation::IgnoreEpoch];

const STEPS: usize = 1200;

/// Milliseconds since 1970 at the beginning.
const START: i64 = 1_700_000_000_000;

/// Rounds in which nothing happens, until it counts as rest.
const QUIET: usize = 16;

struct Cluster {
    chaos: Chaos,
    world: World,
    nodes: Vec<Node>,
    /// Nodes there ever were.
    started: usize,
    redis: FakeRedis,
    truth: Truth,
    told: Arc<Mutex<Told>>,
    /// Bytes that may wait for a subscriber.
    output_limit: usize,
    runtime: Rc<Runtime>,
}

/// What can be done next besides what clients do.
enum Move {
    Redis(Step),
    /// A task of a node.
    Task(usize, usize),
}

thread_local! {
    /// Making one takes far longer than a run.
    static REDIS: FakeRedis = FakeRedis::new();
}

/// One run. Nothing of it depends on the clock.
fn run(seed: u64) -> Result<(Tally, bool), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let runtime = Rc::new(runtime);
    let _entered = runtime.enter();
    let mut cluster = Cluster::new(seed, Rc::clone(&runtime));
    let outcome = cluster.run();
    let is_ordinary = cluster.chaos.is_ordinary();
    outcome.map(|()| (cluster.world.tally.clone(), is_ordinary))
}

impl Cluster {
    fn new(seed: u64, runtime: Rc<Runtime>) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let chaos = Chaos::draw(&mut dice);
        let redis = REDIS.with(FakeRedis::clone);
        redis.reset();
        redis.set_time_ms(START);
        let (ttl, retention) = (chaos.setting.session_ttl, chaos.setting.retention);
        let ledger = Ledger { ttl, retention, latest: START as u64, ..Ledger::default() };
        let ledger = Arc::new(Mutex::new(ledger));
        let names = Names::new(&chaos.settings.prefix);
        let rooms = shared_rooms().chain([Room::All]).collect();
        let truth = Truth::new(&redis, names.clone(), Arc::clone(&ledger), rooms);
        let world = World::new(chaos.setting.clone(), dice, Vec::new(), ledger);
        let (nodes, output_limit) = (Vec::new(), usize::MAX);
        let (started, told) = (0, Arc::default());
        let mut cluster = Cluster { chaos, world, nodes, started, redis, truth, told, output_limit, runtime };
        for seat in 0..cluster.chaos.nodes {
            let node = cluster.start(seat);
            cluster.nodes.push(node);
        }
        cluster.world.populate();
        cluster
    }

    /// A new node takes a seat.
    fn start(&mut self, seat: usize) -> Node {
        self.started += 1;
        let way = Way::new(self.redis.clone());
        let Chaos { workers, setting, settings, .. } = &self.chaos;
        let watching = self.chaos.watched.then(|| Arc::clone(&self.told));
        let (node, places) = Node::new(seat, self.started, *workers, setting, settings.clone(), way, watching);
        self.world.places.retain(|place| place.node != seat);
        self.world.places.extend(places);
        node
    }

    /// A node ends, with all that it had; another takes its seat.
    fn kill(&mut self, seat: usize) {
        let is_its = |place: &super::server::Place| place.node == seat;
        for link in self.world.links.extract_if(.., |link| is_its(&link.place)) {
            link.closing.set(true);
            link.job.take();
        }
        self.world.tasks.retain(|(place, _)| !is_its(place));
        self.nodes[seat] = self.start(seat);
    }

    fn pause(&mut self, seat: usize, paused: bool) {
        self.nodes[seat].paused = paused;
        self.world.places.iter().filter(|place| place.node == seat).for_each(|place| place.paused.set(paused));
    }

    /// Steps, then quiet, then the reckoning.
    fn run(&mut self) -> Result<(), String> {
        self.drain(20_000);
        for _ in 0..STEPS {
            self.step();
            if let Some(problem) = self.world.ledger.lock().unwrap().problems.first() {
                return Err(problem.clone());
            }
        }
        self.heal();
        self.settle()?;
        self.world.reckon()?;
        for client in &self.world.clients {
            if client.pid.is_some_and(|pid| self.truth.waiting(pid)) {
                return Err("an operation still waits to be carried out".into());
            }
        }
        self.reckon_told()
    }

    /// Every session that has ended was told of, and who is present.
    fn reckon_told(&mut self) -> Result<(), String> {
        if !self.chaos.watched || self.chaos.loses {
            return Ok(());
        }
        let names = Names::new(&self.chaos.settings.prefix);
        for _ in 0..200 {
            if !Told::waits(&self.redis, &names) {
                let told = self.told.lock().unwrap();
                let ledger = self.world.ledger.lock().unwrap();
                let sessions = ledger.accounts.iter().map(|(pid, account)| (pid, account.socket));
                self.world.tally.told += told.check(&self.redis, &names, sessions)?;
                self.world.tally.told_again += told.repeated;
                return Ok(());
            }
            self.pass(500);
            self.round();
        }
        Err("something is never told".into())
    }

    fn step(&mut self) {
        let places = self.world.places.len();
        if self.chaos.faults > 0 && self.world.dice.random_ratio(1, self.chaos.faults) {
            return self.fault();
        }
        match self.world.dice.random_range(0..100) {
            0..34 => {
                let moves = [1, 1, 2, 6, 25][self.world.dice.random_range(0..5)];
                self.drain(moves);
            }
            34..44 => self.world.hand_out_some(),
            44..58 => self.world.run_link(),
            58..66 => self.world.run_task(),
            66..71 => self.world.publish(),
            71..88 => {
                self.world.act_someone();
                self.listen();
            }
            88..90 => self.world.ping(),
            90..91 => self.world.refresh(),
            91..92 => self.world.notice(),
            92..94 => {
                let place = self.world.dice.random_range(0..places);
                self.world.take_commands(place);
            }
            94..95 => self.world.operate(),
            95..96 if self.chaos.setting.clock_steps => self.step_clock(),
            96..97 => drop(self.redis.expire_due()),
            _ => {
                let ms = match self.world.dice.random_range(0..20) {
                    0 if self.chaos.slow => 2000,
                    1 | 2 if self.moves().is_empty() => 600,
                    3 | 4 => 80,
                    _ => self.world.dice.random_range(1..15),
                };
                self.pass(ms);
            }
        }
    }

    /// All that can be done next besides what clients do.
    fn moves(&self) -> Vec<Move> {
        let spy = self.truth.spy();
        let is_spy = |step: &Step| matches!(step, Step::Execute(id) | Step::Reply(id) | Step::Push(id) if *id == spy);
        let steps = self.redis.pending().into_iter().filter(|step| !is_spy(step)).map(Move::Redis);
        let tasks = self.nodes.iter().enumerate();
        let tasks = tasks.flat_map(|(seat, node)| node.ready().map(move |task| Move::Task(seat, task)));
        steps.chain(tasks).collect()
    }

    /// Some of it, in random order. True if nothing is left.
    fn drain(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let mut moves = self.moves();
            if moves.is_empty() {
                return true;
            }
            match moves.swap_remove(self.world.dice.random_range(0..moves.len())) {
                Move::Redis(Step::Execute(id)) => {
                    self.truth.execute(id);
                    if self.output_limit < usize::MAX {
                        self.limit_output();
                    }
                }
                Move::Redis(step) => drop(self.redis.step(step)),
                Move::Task(seat, task) => self.nodes[seat].run(task),
            }
            self.nodes.iter().for_each(|node| node.way.pump());
        }
        false
    }

    /// Time passes, for the nodes and for Redis.
    fn pass(&mut self, ms: u64) {
        self.runtime.block_on(tokio::time::advance(Duration::from_millis(ms)));
        self.set_clock(self.redis.time_ms() + ms as i64);
    }

    fn set_clock(&mut self, now: i64) {
        self.redis.set_time_ms(now);
        self.world.ledger.lock().unwrap().on_clock(now as u64);
    }

    /// The clock of Redis is set.
    fn step_clock(&mut self) {
        let step = [-3000, -200, -20, -1, 5, 50, 1500][self.world.dice.random_range(0..7)];
        self.note("clock set");
        self.set_clock(self.redis.time_ms() + step);
    }

    /// Nothing new happens; what is under way comes to its end.
    fn settle(&mut self) -> Result<(), String> {
        let mut quiet = 0;
        for round in 0..600 {
            if round % 8 == 7 {
                (0..self.world.places.len()).for_each(|place| self.world.refresh_at(place));
                for _ in 0..4 {
                    self.round();
                }
            }
            let rests = self.round();
            self.pass(if round % 4 == 3 { 900 } else { 5 });
            quiet = if rests { quiet + 1 } else { 0 };
            if quiet == QUIET {
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    /// Everybody does what there is to do. True if that was nothing.
    fn round(&mut self) -> bool {
        let rests = self.drain(3000);
        let rests = self.world.round() && rests;
        self.listen();
        rests
    }

    /// Hears what is published to sockets that are new.
    fn listen(&mut self) {
        let born = std::mem::take(&mut self.world.born);
        if !born.is_empty() {
            self.truth.listen(born.into_iter().map(Room::Socket).collect());
        }
    }
}
