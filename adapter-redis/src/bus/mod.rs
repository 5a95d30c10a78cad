//! The room bus: what is published to the rooms that this node wants to hear.
//!
//! One connection carries all subscriptions. One task reads it and hands out
//! what comes, in order; another subscribes and unsubscribes, in batches, one
//! after the other, so that what is confirmed is known.
//!
//! Where something may have been missed (the connection broke, more came than
//! could wait, a new epoch), the node catches up: what its rooms' logs hold
//! after its position comes first, then what the connection brings. Until then
//! nothing is confirmed, so joins and recoveries wait.
//!
//! A connection on which not even ticks come for [`SILENCE`] is broken.

mod interest;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::canary::Canary;
use crate::host::Asked;
use crate::log::{Logs, Part, ROOMS_PER_CALL, ReadError};
use crate::mutation::mutated;
use crate::nodes::Tag;
use crate::observer::LinkKind;
use crate::place::{Epoch, Id, Place};
use crate::questions::Questions;
use crate::record::Record;
use crate::server::{Inbox, Subscriber, Taken};
use crate::shard::{BackOff, Link, Shard};
use crate::{Host, RoomKey, Unavailable};

pub(crate) use interest::Interest;

/// Three ticks missed, and a little.
const SILENCE: Duration = Duration::from_millis(3500);

/// Channels of one SUBSCRIBE.
const CHANNELS: usize = 1000;

/// See the module.
pub(crate) struct Bus<H: Host> {
    shard: Arc<Shard>,
    host: Arc<H>,
    logs: Arc<Logs<H>>,
    questions: Arc<Questions>,
    canary: Arc<Canary>,
    tag: Tag,
    interest: Interest,
    /// The last epoch of which the host was told.
    known: Mutex<Option<Epoch>>,
    /// The last epoch at whose beginning all connections were ended.
    ended: Mutex<Option<Epoch>>,
}

/// Why a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Ended,
    Silent,
    /// A command over it failed.
    Failed,
    /// The log could not be read.
    NotCaughtUp,
}

impl From<Unavailable> for Broken {
    fn from(Unavailable: Unavailable) -> Self {
        Broken::NotCaughtUp
    }
}

impl<H: Host> Bus<H> {
    pub(crate) fn new(
        shard: Arc<Shard>,
        host: Arc<H>,
        logs: Arc<Logs<H>>,
        questions: Arc<Questions>,
        canary: Arc<Canary>,
        tag: Tag,
    ) -> Self {
        Bus {
            shard,
            host,
            logs,
            questions,
            canary,
            tag,
            interest: Interest::new(),
            known: Mutex::new(None),
            ended: Mutex::new(None),
        }
    }

    /// Resolves when this node hears these rooms, from now on.
    pub(crate) async fn subscribe(&self, rooms: &[RoomKey]) {
        self.interest.enter(rooms).await;
    }

    /// These have no members here any more, so far as the caller knows.
    pub(crate) fn unsubscribe(&self, rooms: Vec<RoomKey>) {
        self.interest.leave(rooms);
    }

    /// Keeps a connection, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let mut back_off = BackOff::new(self.shard.settings.back_off);
        let observer = &self.shard.settings.observer;
        loop {
            let inbox = Arc::new(Inbox::new(self.shard.settings.inbox));
            match self.shard.server().subscriber(Arc::clone(&inbox)).await {
                Ok(subscriber) => {
                    observer.linked(LinkKind::Subscriber);
                    let broken = self.serve(subscriber, &inbox, &mut back_off).await;
                    observer.broke(LinkKind::Subscriber);
                    tracing::warn!(reason = ?broken, "the subscription to redis has ended; catching up");
                }
                Err(error) => {
                    observer.unreachable(LinkKind::Subscriber);
                    back_off.failed(&error);
                }
            }
            back_off.wait().await;
        }
    }

    /// One connection, to its end.
    async fn serve(&self, mut subscriber: Box<dyn Subscriber>, inbox: &Inbox, back_off: &mut BackOff) -> Broken {
        let (rooms, ticket) = self.interest.take_all();
        let names = &self.shard.names;
        let own = [names.everybody(), names.node_channel(self.tag.as_str())];
        if subscriber.subscribe(&own).await.is_err() || self.hear(&mut *subscriber, &rooms).await.is_err() {
            return Broken::Failed;
        }
        let skip = mutated!(SkipCatchUp) && self.shard.position() > Id::ZERO;
        if !skip && let Err(broken) = self.catch_up(inbox).await {
            return broken;
        }
        back_off.reset();
        self.interest.confirm(&rooms, ticket);
        let broken = tokio::select! {
            biased;
            Err(broken) = self.read(inbox) => broken,
            broken = self.follow_interest(&mut *subscriber) => broken,
        };
        broken
    }

    async fn hear(&self, subscriber: &mut dyn Subscriber, rooms: &[RoomKey]) -> Result<(), Broken> {
        for chunk in rooms.chunks(CHANNELS) {
            let (channels, patterns) = self.channels(chunk);
            if !channels.is_empty() {
                subscriber.subscribe(&channels).await.map_err(|_| Broken::Failed)?;
            }
            if !patterns.is_empty() {
                subscriber.subscribe_patterns(&patterns).await.map_err(|_| Broken::Failed)?;
            }
        }
        Ok(())
    }

    async fn leave(&self, subscriber: &mut dyn Subscriber, rooms: &[RoomKey]) -> Result<(), Broken> {
        for chunk in rooms.chunks(CHANNELS) {
            let (channels, patterns) = self.channels(chunk);
            if !channels.is_empty() {
                subscriber.unsubscribe(&channels).await.map_err(|_| Broken::Failed)?;
            }
            if !patterns.is_empty() {
                subscriber.unsubscribe_patterns(&patterns).await.map_err(|_| Broken::Failed)?;
            }
        }
        Ok(())
    }

    /// The channels of rooms, and the patterns of all rooms of a namespace.
    fn channels(&self, rooms: &[RoomKey]) -> (Vec<String>, Vec<String>) {
        let names = &self.shard.names;
        let (all, rooms): (Vec<_>, Vec<_>) = rooms.iter().partition(|room| room.is_all_of_one());
        let channels = rooms.into_iter().map(|room| names.channel(room)).collect();
        (channels, all.into_iter().map(|all| names.pattern(all)).collect())
    }

    /// Subscribes to what is wanted and unsubscribes from what is not.
    async fn follow_interest(&self, subscriber: &mut dyn Subscriber) -> Broken {
        let (linger, observer) = (self.shard.settings.linger, &self.shard.settings.observer);
        let mut sweep = Instant::now() + linger;
        loop {
            observer.hears(self.interest.len());
            let wanted = tokio::select! {
                biased;
                () = self.interest.wanted() => true,
                () = tokio::time::sleep_until(sweep) => false,
            };
            if wanted {
                let (rooms, ticket) = self.interest.take();
                if let Err(broken) = self.hear(subscriber, &rooms).await {
                    return broken;
                }
                self.interest.confirm(&rooms, ticket);
            } else {
                sweep = Instant::now() + linger;
                let gone = self.interest.expire(linger, |room| self.host.is_wanted(room));
                if let Err(broken) = self.leave(subscriber, &gone).await {
                    return broken;
                }
            }
        }
    }

    /// Reads what comes, and catches up where that is not all.
    async fn read(&self, inbox: &Inbox) -> Result<(), Broken> {
        let mut link = self.shard.watch();
        let mut batch = Vec::new();
        loop {
            let epoch = self.shard.epochs().current();
            let taken = tokio::select! {
                biased;
                _ = link.wait_for(|link| matches!(link, Link::Up(up) if up.epoch != epoch)) => None,
                taken = inbox.take(&mut batch) => Some(taken),
                () = tokio::time::sleep(SILENCE) => return Err(Broken::Silent),
            };
            match taken {
                Some(Taken::Ended) => return Err(Broken::Ended),
                None => self.catch_up(inbox).await?,
                Some(Taken::Overflowed) if mutated!(ForgetOverflow) => inbox.reset(),
                Some(Taken::Overflowed) => {
                    tracing::warn!("more comes from redis than can wait: catching up from the log");
                    self.catch_up(inbox).await?;
                }
                Some(Taken::Records) => {
                    for record in batch.drain(..) {
                        self.take(record, inbox).await?;
                    }
                    self.host.announce();
                }
            }
        }
    }

    async fn take(&self, record: Bytes, inbox: &Inbox) -> Result<(), Broken> {
        let record = match Record::read(record) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%error, "a record on the bus cannot be read: is another node of a newer version?");
                return Ok(());
            }
        };
        match record {
            Record::Logged(place, event) => {
                if self.is_next(place, inbox).await? {
                    match self.host.message(Some(place), event) {
                        Some(message) => drop(self.hand_out(Some(place), message).await),
                        None => drop(self.shard.reach(place)),
                    }
                }
            }
            Record::Position(place) => {
                // also when it is not new: somebody may wait for it
                let is_current = place.epoch == self.shard.epochs().current() || self.is_next(place, inbox).await?;
                if is_current && self.shard.reach(place) {
                    self.host.position(place.id);
                }
            }
            Record::Unlogged(event) => {
                if let Some(message) = self.host.message(None, event) {
                    self.hand_out(None, message).await;
                }
            }
            Record::Fence { generation, socket, namespace } => self.host.fence(&namespace, &socket, generation),
            Record::Acknowledge(question, event) => self.host.asked(question, Asked::Acknowledge(event)),
            Record::Operate(question, operation) => self.host.asked(question, Asked::Operate(operation)),
            Record::Answer { number: Canary::NUMBER, answer } => {
                if let Some(sent) = self.canary.sent(&answer) {
                    self.host.canary(sent);
                }
            }
            Record::Answer { number, answer } => self.questions.answer(number, answer),
        }
        Ok(())
    }

    /// Whether a message of this place comes next. One of an epoch that is not
    /// known yet makes the node look, and catch up.
    async fn is_next(&self, place: Place, inbox: &Inbox) -> Result<bool, Broken> {
        if place.epoch != self.shard.epochs().current() {
            self.shard.look_again().await?;
            if place.epoch != self.shard.epochs().current() {
                return Ok(false);
            }
            self.catch_up(inbox).await?;
        }
        Ok(place.id > self.shard.position())
    }

    /// Delivers what stands at this place, if anywhere. False when its epoch is
    /// over: what follows is of the next.
    async fn hand_out(&self, place: Option<Place>, message: H::Message) -> bool {
        while !self.host.has_space() {
            self.host.announce();
            self.host.space().await;
        }
        // first reached, then delivered: an epoch that is found in between comes after it
        let is_due = place.is_none_or(|place| self.shard.reach(place));
        if is_due {
            self.host.deliver(message);
        }
        is_due
    }

    /// Delivers what the logs of this node's rooms hold after its position.
    async fn catch_up(&self, inbox: &Inbox) -> Result<(), Broken> {
        self.host.announce();
        let (began, mut replayed) = (Instant::now(), None);
        loop {
            if inbox.has_overflowed() {
                // what comes from now on is kept; what came before is in the log
                inbox.reset();
            }
            let deadline = Instant::now() + self.shard.settings.patience;
            self.shard.up(deadline).await?;
            let epochs = self.shard.epochs();
            let anew = epochs.is_entangled() || (self.shard.settings.anew_on_new_epoch && !epochs.is_first());
            if anew && *self.ended.lock().await != Some(epochs.current()) {
                tracing::warn!(epoch = %epochs.current(), "all connections end with their epoch");
                self.host.entangled().await;
                // not before: the connection may break meanwhile, and the next one begins here again
                *self.ended.lock().await = Some(epochs.current());
                self.shard.begin_anew(epochs.current());
                continue;
            }
            if !epochs.is_first() && self.known.lock().await.replace(epochs.current()) != Some(epochs.current()) {
                self.host.new_epoch();
                self.shard.settings.observer.new_epoch();
            }
            let mut rooms = self.interest.all();
            // who hears all rooms does not catch up
            rooms.retain(|room| !room.is_all_of_one());
            let through = self.shard.head().await?;
            let position = self.shard.position();
            let from = if epochs.place(position).epoch == epochs.current() { position } else { epochs.before_start() };
            if through.epoch != epochs.current() {
                continue;
            }
            let from = if mutated!(CatchUpFromNow) { through.id } else { from };
            let is_behind = position > Id::ZERO && from < through.id;
            if is_behind {
                let Some(messages) = self.replay(&rooms, epochs.current(), from, through.id).await? else { continue };
                *replayed.get_or_insert(0) += messages;
            }
            if !self.shard.reach(through) {
                continue;
            }
            self.host.position(through.id);
            if !inbox.has_overflowed() {
                if let Some(messages) = replayed {
                    self.shard.settings.observer.caught_up(messages, began.elapsed());
                }
                return Ok(());
            }
        }
    }

    /// Delivers (from, through] of all rooms, in one order. What is too much
    /// at once is read in shorter spans of time. Answers how many messages it
    /// were; `None` when another epoch has begun meanwhile.
    async fn replay(&self, rooms: &[RoomKey], epoch: Epoch, from: Id, through: Id) -> Result<Option<usize>, Broken> {
        let (mut spans, mut count) = (vec![(from, through)], 0);
        while let Some((after, through)) = spans.pop() {
            match self.collect(rooms, epoch, after, through).await {
                Ok(messages) => {
                    tracing::debug!(messages = messages.len(), rooms = rooms.len(), "caught up from the log");
                    count += messages.len();
                    for (id, message) in messages {
                        if !self.hand_out(Some(Place { epoch, id }), message).await {
                            return Ok(None);
                        }
                    }
                    self.host.announce();
                }
                Err(ReadError::TooMuch) if through.ms() > after.ms() + 1 => {
                    let middle = Id::new(after.ms().midpoint(through.ms()), 0);
                    spans.extend([(middle, through), (after, middle)]);
                }
                Err(ReadError::TooMuch | ReadError::Trimmed) => self.host.lost(rooms.to_vec()),
                Err(ReadError::OtherEpoch) => return Ok(None),
                Err(ReadError::Unavailable(_)) => return Err(Broken::NotCaughtUp),
            }
        }
        Ok(Some(count))
    }

    async fn collect(
        &self,
        rooms: &[RoomKey],
        epoch: Epoch,
        after: Id,
        through: Id,
    ) -> Result<Vec<(Id, H::Message)>, ReadError> {
        let mut messages = Vec::new();
        for chunk in rooms.chunks(ROOMS_PER_CALL) {
            let parts: Vec<Part> = chunk.iter().map(|room| Part { room: room.clone(), after, through }).collect();
            let mut lost = Vec::new();
            for (part, found) in parts.iter().zip(self.logs.fetch(epoch, &parts).await?) {
                match found {
                    Some(entries) => messages.extend(entries.into_iter().map(|(id, message, _)| (id, message))),
                    None => lost.push(part.room.clone()),
                }
            }
            if !lost.is_empty() {
                self.host.lost(lost);
            }
        }
        messages.sort_by_key(|(id, _)| *id);
        messages.dedup_by_key(|(id, _)| *id);
        Ok(messages)
    }
}
