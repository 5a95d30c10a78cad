//! One run: workers, clients and publishers, and the dice that decide who is
//! next.

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::adapter::Adapter;
use crate::message::{PrivateId, Room, Token};
use crate::rooms::mailbox::Delivery;
use crate::rooms::{Command, Shard};

use super::client::Client;
use super::ledger::Ledger;
use super::node::{Node, Seat};
use super::scheduled::Scheduled;
use super::server::{Frame, Job, Link, Outcome, Place};
use super::setting::Setting;
use super::tally::Tally;

pub(super) const WORKERS: usize = 3;
const STEPS: usize = 700;

/// A part of the gateway, and who has to do with it.
pub(super) struct World {
    pub(super) dice: SmallRng,
    pub(super) setting: Setting,
    pub(super) places: Vec<Rc<Place>>,
    pub(super) adapter: Arc<Scheduled>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    clock: Arc<AtomicU64>,
    pub(super) links: Vec<Rc<Link>>,
    pub(super) clients: Vec<Client>,
    /// Publishes, refreshes and the ends of connections.
    pub(super) tasks: Vec<Job>,
    pub(super) tally: Tally,
    pub(super) names: u64,
}

impl World {
    /// All of it, as a seed decides.
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let setting = Setting::draw(&mut dice);
        let (node, seats) = Node::new(&setting, seed);
        let mut world = World::part(&node, setting, dice, seats);
        world.clients = (0..world.setting.clients).map(|_| Client::new(&mut world.dice)).collect();
        world
    }

    /// Some of its workers.
    pub(super) fn part(node: &Node, setting: Setting, dice: SmallRng, seats: Vec<Seat>) -> Self {
        let place = |seat: Seat| {
            Rc::new(Place {
                index: seat.index,
                shard: Shard::new(1, setting.max_held).into(),
                router: Arc::clone(&node.router),
                mailbox: seat.mailbox,
                commands: seat.commands.into(),
                batch: VecDeque::new().into(),
                adapter: Arc::clone(&node.adapter),
                namespace: node.namespace.clone(),
                limit: setting.replay,
            })
        };
        let places = seats.into_iter().map(place).collect();
        let (adapter, ledger, clock) =
            (Arc::clone(&node.adapter), Arc::clone(&node.ledger), Arc::clone(&node.adapter.clock));
        let (links, clients, tasks, tally) = Default::default();
        World { dice, setting, places, adapter, ledger, clock, links, clients, tasks, tally, names: 0 }
    }

    /// Steps, then quiet, then the reckoning.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step();
        }
        self.settle()?;
        self.reckon()
    }

    pub(super) fn step(&mut self) {
        match self.dice.random_range(0..100) {
            0..20 => {
                let place = self.dice.random_range(0..self.places.len());
                let most = [1, 1, 2, 100][self.dice.random_range(0..4)];
                self.hand_out(place, most);
            }
            20..40 => self.run_link(),
            40..53 => self.run_task(),
            53..61 => self.publish(),
            61..63 => self.adapter.inner.tick(),
            63..68 => self.step_clock(),
            68..93 => {
                if !self.clients.is_empty() {
                    let client = self.dice.random_range(0..self.clients.len());
                    self.act(client);
                }
            }
            93..96 => self.ping(),
            96..97 => self.refresh(),
            97..99 => self.notice(),
            _ => {
                let place = self.dice.random_range(0..self.places.len());
                self.take_commands(place);
            }
        }
    }

    /// The worker takes from its mailbox and hands out a part of what it took.
    pub(super) fn hand_out(&mut self, place: usize, most: usize) {
        let place = &self.places[place];
        let mut batch = place.batch.borrow_mut();
        if batch.is_empty() {
            let mut taken = Vec::new();
            let mut context = Context::from_waker(Waker::noop());
            let _ = pin!(place.mailbox.take(&mut taken)).poll(&mut context);
            batch.extend(taken);
        }
        let part = most.min(batch.len());
        let (mut shard, mut messages) = (place.shard.borrow_mut(), Vec::new());
        for delivery in batch.drain(..part) {
            match delivery {
                Delivery::Message(message) => messages.push(message),
                Delivery::Tick(position) => {
                    self.tally.delivered += shard.deliver(&std::mem::take(&mut messages));
                    shard.tick(position);
                }
                Delivery::Lost { rooms, .. } => {
                    self.tally.delivered += shard.deliver(&std::mem::take(&mut messages));
                    place.lose(&shard, &rooms);
                }
                Delivery::BeginAnew => {
                    self.tally.delivered += shard.deliver(&std::mem::take(&mut messages));
                    place.lose(&shard, &[Room::All]);
                }
            }
        }
        self.tally.delivered += shard.deliver(&messages);
    }

    pub(super) fn run_link(&mut self) {
        let busy = |index: &usize| self.links[*index].job.borrow().is_some();
        let busy: Vec<usize> = (0..self.links.len()).filter(busy).collect();
        if !busy.is_empty() && self.dice.random_bool(0.5) {
            let index = busy[self.dice.random_range(0..busy.len())];
            self.run_job(index);
        } else if !self.links.is_empty() {
            let index = self.dice.random_range(0..self.links.len());
            self.run_job(index);
        }
    }

    /// The task of a connection: its job, the next input, or its end.
    pub(super) fn run_job(&mut self, index: usize) {
        let link = Rc::clone(&self.links[index]);
        let job = link.job.borrow_mut().take();
        if let Some(mut job) = job
            && poll(&mut job).is_pending()
        {
            *link.job.borrow_mut() = Some(job);
        }
        for (pid, outcome) in link.outcomes.take() {
            self.judge(pid, outcome);
        }
        if link.closing.get() {
            self.links.swap_remove(index);
            self.tasks.push(Box::pin(link.finish()));
            return;
        }
        if link.job.borrow().is_none()
            && let Some(input) = link.inbox.borrow_mut().pop_front()
        {
            *link.job.borrow_mut() = Some(Box::pin(Rc::clone(&link).handle(input)));
        }
    }

    fn run_task(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let index = self.dice.random_range(0..self.tasks.len());
        if poll(&mut self.tasks[index]).is_ready() {
            drop(self.tasks.swap_remove(index));
        }
    }

    /// Whether a recovery may have ended like this.
    fn judge(&mut self, pid: PrivateId, outcome: Outcome) {
        let mut ledger = self.ledger.lock().unwrap();
        let allowed = match outcome {
            Outcome::Recovered(_) => true,
            // judged by the ledger when it was looked for
            Outcome::Unknown => true,
            Outcome::Trimmed(from) => self.setting.trims || ledger.is_too_old(from),
            Outcome::TooMuch(from) => ledger.backlog(pid, from) > self.setting.replay.messages,
            Outcome::Ahead => false,
        };
        if !allowed {
            ledger.problems.push(format!("a recovery ended as {outcome:?} without reason"));
        }
        self.tally.note(outcome);
    }

    fn step_clock(&mut self) {
        let now = self.clock.load(Ordering::Relaxed);
        let now = match self.dice.random_range(0..16) {
            0 if self.setting.clock_steps => now - self.dice.random_range(1..60),
            1 if self.setting.clock_steps => now + self.dice.random_range(1..60),
            _ => now + self.dice.random_range(0..4),
        };
        self.clock.store(now, Ordering::Relaxed);
        self.ledger.lock().unwrap().on_clock(now);
    }

    fn ping(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let link = &self.links[self.dice.random_range(0..self.links.len())];
        if link.pinging.replace(true) {
            return;
        }
        let worker = link.place.shard.borrow().position();
        link.sockets.borrow().iter().for_each(|socket| socket.on_ping(worker));
        link.enqueue(Frame::Ping);
    }

    /// A pong arrives.
    pub(super) fn pong(&mut self, link: &Link) {
        let Some(received) = link.pong.take() else { return };
        link.pinging.set(false);
        for socket in &*link.sockets.borrow() {
            let confirmed = socket.on_pong();
            self.ledger.lock().unwrap().on_claim(socket.key.pid, confirmed, received);
        }
    }

    /// A worker keeps its sessions alive.
    fn refresh(&mut self) {
        let place = self.dice.random_range(0..self.places.len());
        let links: Vec<_> = self.links.iter().filter(|link| link.place.index == place).cloned().collect();
        let adapter = Arc::clone(&self.adapter);
        self.tasks.push(Box::pin(async move {
            let sockets =
                links.iter().flat_map(|link| link.sockets.borrow().clone().into_iter().map(move |s| (link, s)));
            let sockets: Vec<_> = sockets.collect();
            let batch = sockets.iter().map(|(_, socket)| socket.refresh()).collect();
            let Ok(fenced) = adapter.refresh(batch).await else { return };
            for (link, socket) in &sockets {
                if fenced.iter().any(|(refresh, _)| refresh.key == socket.key) {
                    link.closing.set(true);
                }
            }
        }));
    }

    /// The server finds out that a client has gone.
    fn notice(&mut self) {
        let deserted: Vec<_> = self.links.iter().filter(|link| link.deserted.get()).collect();
        if !deserted.is_empty() {
            deserted[self.dice.random_range(0..deserted.len())].closing.set(true);
        }
    }

    pub(super) fn take_commands(&mut self, place: usize) {
        let place = &self.places[place];
        while let Ok(command) = place.commands.borrow_mut().try_recv() {
            match command {
                Command::Fence { socket, generation, .. } => place.fence(socket, generation),
                Command::Operate { .. } | Command::Refresh => {}
            }
        }
    }

    pub(super) fn token(&mut self) -> Token {
        self.names += 1;
        Token::parse(&format!("{:020}", self.names)).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // jobs hold their connection
        self.links.iter().for_each(|link| drop(link.job.take()));
    }
}

pub(super) fn poll(job: &mut Job) -> Poll<()> {
    job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
