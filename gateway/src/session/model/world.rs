//! Workers, clients and publishers, and each small thing that one of them can
//! do.

use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::message::{PrivateId, Room, SocketId, Token};
use crate::rooms::mailbox::Delivery;
use crate::rooms::{Command, Recipient};

use super::client::Client;
use super::ledger::Ledger;
use super::server::{Frame, Job, Link, Outcome, Place};
use super::setting::{PLENTY, Setting};
use super::tally::Tally;

/// A part of the gateway, and who has to do with it.
pub(super) struct World {
    pub(super) dice: SmallRng,
    pub(super) setting: Setting,
    pub(super) places: Vec<Rc<Place>>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) links: Vec<Rc<Link>>,
    pub(super) clients: Vec<Client>,
    /// Publishes, refreshes and the ends of connections, and where they run.
    pub(super) tasks: Vec<(Rc<Place>, Job)>,
    pub(super) tally: Tally,
    pub(super) names: u64,
    /// Ids that may become sockets.
    pub(super) born: Vec<SocketId>,
}

impl World {
    pub(super) fn new(setting: Setting, dice: SmallRng, places: Vec<Rc<Place>>, ledger: Arc<Mutex<Ledger>>) -> Self {
        let (links, clients, tasks, tally, born) = Default::default();
        World { dice, setting, places, ledger, links, clients, tasks, tally, names: 0, born }
    }

    /// Clients that are nowhere yet.
    pub(super) fn populate(&mut self) {
        self.clients = (0..self.setting.clients).map(|_| Client::new(&mut self.dice)).collect();
    }

    /// One of the clients does something.
    pub(super) fn act_someone(&mut self) {
        if !self.clients.is_empty() {
            let client = self.dice.random_range(0..self.clients.len());
            self.act(client);
        }
    }

    /// Some worker hands out some of what waits.
    pub(super) fn hand_out_some(&mut self) {
        let place = self.dice.random_range(0..self.places.len());
        let most = [1, 1, 2, 100][self.dice.random_range(0..4)];
        self.hand_out(place, most);
    }

    /// The worker takes from its mailbox and hands out a part of what it took.
    pub(super) fn hand_out(&mut self, place: usize, most: usize) {
        let place = &self.places[place];
        if place.paused.get() {
            return;
        }
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
                Delivery::Message(message) | Delivery::Traced(message, _) => messages.push(message),
                Delivery::Tick(position) => {
                    self.tally.delivered += shard.deliver(&std::mem::take(&mut messages));
                    shard.tick(position);
                }
                Delivery::Canary(_) => {}
                Delivery::Lost { rooms, .. } => {
                    self.tally.delivered += shard.deliver(&std::mem::take(&mut messages));
                    place.lose(&shard, &rooms);
                }
                Delivery::BeginAnew(_done) => {
                    self.tally.delivered += shard.deliver(&std::mem::take(&mut messages));
                    place.lose(&shard, &[Room::All]);
                    let links = self.links.iter().filter(|link| Rc::ptr_eq(&link.place, place));
                    links.for_each(|link| link.sockets.borrow().iter().for_each(|socket| socket.begin_anew()));
                    shard.begin_anew();
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
        if link.place.paused.get() {
            return;
        }
        let job = link.job.borrow_mut().take();
        if let Some(mut job) = job
            && poll(&mut job).is_pending()
        {
            *link.job.borrow_mut() = Some(job);
        }
        for (pid, outcome) in link.outcomes.take() {
            self.judge(pid, outcome, link.epoch);
        }
        if link.closing.get() {
            self.links.swap_remove(index);
            self.tasks.push((Rc::clone(&link.place), Box::pin(link.finish())));
            return;
        }
        if link.job.borrow().is_none()
            && let Some(input) = link.inbox.borrow_mut().pop_front()
        {
            *link.job.borrow_mut() = Some(Box::pin(Rc::clone(&link).handle(input)));
        }
    }

    pub(super) fn run_task(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let index = self.dice.random_range(0..self.tasks.len());
        let (place, task) = &mut self.tasks[index];
        if !place.paused.get() && poll(task).is_ready() {
            drop(self.tasks.swap_remove(index));
        }
    }

    /// Whether a recovery may have ended like this.
    fn judge(&mut self, pid: PrivateId, outcome: Outcome, epoch: usize) {
        let mut ledger = self.ledger.lock().unwrap();
        let allowed = match outcome {
            Outcome::Recovered(_) => {
                ledger.on_recovered(pid, epoch);
                true
            }
            Outcome::Unknown => ledger.may_be_unknown(pid),
            Outcome::Trimmed(from) => self.setting.trims || ledger.is_too_old(from) || ledger.has_moved(pid),
            Outcome::TooMuch(from) => {
                let replay = self.setting.replay;
                replay.bytes < PLENTY || ledger.backlog(pid, from) > replay.messages
            }
            Outcome::Ahead => false,
        };
        if !allowed {
            ledger.problems.push(format!("a recovery ended as {outcome:?} without reason"));
        }
        self.tally.note(outcome);
    }

    pub(super) fn ping(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let link = &self.links[self.dice.random_range(0..self.links.len())];
        if link.place.paused.get() || link.closing.get() || link.pinging.replace(true) {
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
            let confirmed = link.place.adapter.offset(socket.on_pong());
            self.ledger.lock().unwrap().on_shown(socket.key.pid, confirmed, received);
        }
    }

    /// A worker keeps its sessions alive.
    pub(super) fn refresh(&mut self) {
        let place = self.dice.random_range(0..self.places.len());
        self.refresh_at(place);
    }

    pub(super) fn refresh_at(&mut self, place: usize) {
        let place = Rc::clone(&self.places[place]);
        let links: Vec<_> = self.links.iter().filter(|link| Rc::ptr_eq(&link.place, &place)).cloned().collect();
        let adapter = Arc::clone(&place.adapter);
        let refreshing = async move {
            let sockets =
                links.iter().flat_map(|link| link.sockets.borrow().clone().into_iter().map(move |s| (link, s)));
            // the session of one that is still opening may not be there yet
            let sockets: Vec<_> = sockets.filter(|(_, socket)| socket.feed().borrow().is_connected()).collect();
            let batch = sockets.iter().map(|(_, socket)| socket.refresh()).collect();
            let Ok(attention) = adapter.refresh(batch).await else { return };
            for (refresh, attention) in attention {
                if let Some((link, _)) = sockets.iter().find(|(_, socket)| socket.key == refresh.key) {
                    link.attend(attention);
                }
            }
        };
        self.tasks.push((place, Box::pin(refreshing)));
    }

    /// The server finds out that a client has gone.
    pub(super) fn notice(&mut self) {
        let deserted: Vec<_> = self.links.iter().filter(|link| link.deserted.get()).collect();
        if !deserted.is_empty() {
            deserted[self.dice.random_range(0..deserted.len())].closing.set(true);
        }
    }

    pub(super) fn take_commands(&mut self, index: usize) {
        let place = Rc::clone(&self.places[index]);
        if place.paused.get() {
            return;
        }
        while let Ok(command) = place.commands.borrow_mut().try_recv() {
            match command {
                Command::Fence { socket, generation, .. } => place.fence(socket, generation),
                Command::Operate { operation, answer } => place.operate(operation, answer),
                Command::Refresh => self.refresh_at(index),
                // nobody looks on
                Command::Inspect { .. } => {}
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
