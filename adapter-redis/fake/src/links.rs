//! The server's side of its connections: what came in and is not executed, what goes out and is not delivered.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use futures_channel::oneshot;
use redis::{RedisResult, Value};

use crate::{
    reply::Bytes,
    subscriber::{Inbox, Push},
};

pub(crate) type Responder = oneshot::Sender<RedisResult<Value>>;

/// A connection of one server, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The server executes the connection's next request.
    Execute(ConnectionId),
    /// The connection's next reply reaches the client.
    Reply(ConnectionId),
    /// The subscriber's next push reaches it.
    Push(ConnectionId),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Open,
    /// The client is gone, the server goes on with what it was sent.
    Orphaned,
    /// The server is gone, the client waits.
    Silent,
}

pub(crate) struct Request {
    pub(crate) args: Vec<Bytes>,
    /// None: nobody waits any more.
    pub(crate) responder: Option<Responder>,
}

#[derive(Default)]
pub(crate) struct CommandLink {
    pub(crate) state: State,
    pub(crate) requests: VecDeque<Request>,
    pub(crate) replies: VecDeque<(Responder, RedisResult<Value>)>,
}

pub(crate) enum SubscriberRequest {
    Subscribe(Vec<Bytes>),
    /// From all if none is named.
    Unsubscribe(Vec<Bytes>),
    Ping,
}

pub(crate) struct SubscriberLink {
    pub(crate) state: State,
    pub(crate) requests: VecDeque<SubscriberRequest>,
    pub(crate) channels: BTreeSet<Bytes>,
    pub(crate) output: VecDeque<Push>,
    pub(crate) output_bytes: usize,
    pub(crate) inbox: Arc<Inbox>,
}

#[derive(Default)]
pub(crate) struct Links {
    pub(crate) commands: BTreeMap<ConnectionId, CommandLink>,
    pub(crate) subscribers: BTreeMap<ConnectionId, SubscriberLink>,
    channels: BTreeMap<Bytes, BTreeSet<ConnectionId>>,
    /// Most bytes that wait for a subscriber.
    pub(crate) output_limit: Option<usize>,
    last: u64,
    dead: Vec<Dead>,
}

/// What of an ended connection tells its client when dropped. That wakes the client, so it waits until the server is
/// unlocked.
#[expect(dead_code, reason = "what is inside is dropped, not read")]
pub(crate) enum Dead {
    Commands(CommandLink),
    Responder(Responder),
    Inbox(Closing),
}

/// Closes the inbox when dropped.
pub(crate) struct Closing(Arc<Inbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Links {
    fn next_id(&mut self) -> ConnectionId {
        self.last += 1;
        ConnectionId(self.last)
    }

    pub(crate) fn add_commands(&mut self) -> ConnectionId {
        let id = self.next_id();
        self.commands.insert(id, CommandLink::default());
        id
    }

    pub(crate) fn add_subscriber(&mut self, inbox: Arc<Inbox>) -> ConnectionId {
        let id = self.next_id();
        let link = SubscriberLink {
            state: State::Open,
            requests: VecDeque::new(),
            channels: BTreeSet::new(),
            output: VecDeque::new(),
            output_bytes: 0,
            inbox,
        };
        self.subscribers.insert(id, link);
        id
    }

    pub(crate) fn take_dead(&mut self) -> Vec<Dead> {
        std::mem::take(&mut self.dead)
    }

    pub(crate) fn pending(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (id, link) in &self.commands {
            if link.state != State::Silent && !link.requests.is_empty() {
                steps.push(Step::Execute(*id));
            }
            if link.state == State::Open && !link.replies.is_empty() {
                steps.push(Step::Reply(*id));
            }
        }
        for (id, link) in &self.subscribers {
            if link.state != State::Silent && !link.requests.is_empty() {
                steps.push(Step::Execute(*id));
            }
            if link.state == State::Open && !link.output.is_empty() {
                steps.push(Step::Push(*id));
            }
        }
        steps
    }

    /// The next request of a command connection, if the server is there to execute it.
    pub(crate) fn take_request(&mut self, id: ConnectionId) -> Option<Request> {
        let link = self.commands.get_mut(&id).filter(|link| link.state != State::Silent)?;
        let request = link.requests.pop_front();
        if link.state == State::Orphaned && link.requests.is_empty() {
            self.kill(id);
        }
        request
    }

    /// Keeps the reply until the test delivers it, if the connection is still there then.
    pub(crate) fn answer(&mut self, id: ConnectionId, responder: Option<Responder>, reply: RedisResult<Value>) {
        let Some(responder) = responder else { return };
        match self.commands.get_mut(&id) {
            Some(link) if link.state == State::Open => link.replies.push_back((responder, reply)),
            _ => self.dead.push(Dead::Responder(responder)),
        }
    }

    pub(crate) fn take_reply(&mut self, id: ConnectionId) -> Option<(Responder, RedisResult<Value>)> {
        self.commands.get_mut(&id).filter(|link| link.state == State::Open)?.replies.pop_front()
    }

    pub(crate) fn take_push(&mut self, id: ConnectionId) -> Option<(Arc<Inbox>, Push)> {
        let link = self.subscribers.get_mut(&id).filter(|link| link.state == State::Open)?;
        let push = link.output.pop_front()?;
        link.output_bytes -= push.wire_bytes();
        Some((link.inbox.clone(), push))
    }

    /// Executes the next request of a subscriber; false if there is none.
    pub(crate) fn execute_subscriber(&mut self, id: ConnectionId) -> bool {
        let link = self.subscribers.get_mut(&id).filter(|link| link.state != State::Silent);
        let Some(request) = link.and_then(|link| link.requests.pop_front()) else { return false };
        match request {
            SubscriberRequest::Subscribe(channels) => {
                channels.into_iter().for_each(|channel| self.subscribe(id, channel))
            }
            SubscriberRequest::Unsubscribe(channels) => self.unsubscribe(id, channels),
            SubscriberRequest::Ping => self.push(id, Push::Pong),
        }
        true
    }

    fn subscribe(&mut self, id: ConnectionId, channel: Bytes) {
        // over the limit of its output the connection may have ended on the way
        let Some(link) = self.subscribers.get_mut(&id) else { return };
        link.channels.insert(channel.clone());
        let count = link.channels.len();
        self.channels.entry(channel.clone()).or_default().insert(id);
        self.push(id, Push::Subscribed { channel, count });
    }

    fn unsubscribe(&mut self, id: ConnectionId, mut channels: Vec<Bytes>) {
        if channels.is_empty() {
            channels = self.subscribers.get(&id).map_or(Vec::new(), |link| link.channels.iter().cloned().collect());
        }
        if channels.is_empty() {
            return self.push(id, Push::Unsubscribed { channel: None, count: 0 });
        }
        for channel in channels {
            let Some(link) = self.subscribers.get_mut(&id) else { return };
            link.channels.remove(&channel);
            let count = link.channels.len();
            self.leave(id, &channel);
            self.push(id, Push::Unsubscribed { channel: Some(channel), count });
        }
    }

    fn leave(&mut self, id: ConnectionId, channel: &Bytes) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.remove(&id);
            if members.is_empty() {
                self.channels.remove(channel);
            }
        }
    }

    /// To how many subscribers the message went. One whose output is then too long is dropped, and counted all the same.
    pub(crate) fn publish(&mut self, channel: &Bytes, payload: &Bytes) -> usize {
        let members: Vec<_> = self.channels.get(channel).into_iter().flatten().copied().collect();
        for id in &members {
            self.push(*id, Push::Message { channel: channel.clone(), payload: payload.clone() });
        }
        members.len()
    }

    fn push(&mut self, id: ConnectionId, push: Push) {
        let Some(link) = self.subscribers.get_mut(&id) else { return };
        link.output_bytes += push.wire_bytes();
        link.output.push_back(push);
        if self.output_limit.is_some_and(|limit| link.output_bytes > limit) {
            self.kill(id);
        }
    }

    fn leave_all(&mut self, id: ConnectionId) {
        let channels = self.subscribers.get_mut(&id).map(|link| std::mem::take(&mut link.channels));
        for channel in channels.into_iter().flatten() {
            self.leave(id, &channel);
        }
    }

    /// Both sides see the end at once. What was not executed and what was not delivered is lost.
    pub(crate) fn kill(&mut self, id: ConnectionId) -> bool {
        self.leave_all(id);
        let commands = self.commands.remove(&id).map(Dead::Commands);
        let dead = commands.or_else(|| Some(Dead::Inbox(Closing(self.subscribers.remove(&id)?.inbox))));
        let killed = dead.is_some();
        self.dead.extend(dead);
        killed
    }

    pub(crate) fn kill_all(&mut self) {
        let ids: Vec<_> = self.commands.keys().chain(self.subscribers.keys()).copied().collect();
        for id in ids {
            self.kill(id);
        }
    }

    pub(crate) fn kill_subscribers(&mut self) -> usize {
        // a connection without a channel is not of the type `pubsub`
        let subscribed = self.subscribers.iter().filter(|(_, link)| !link.channels.is_empty());
        let ids: Vec<_> = subscribed.map(|(id, _)| *id).collect();
        ids.into_iter().filter(|id| self.kill(*id)).count()
    }

    /// The client sees the end at once, the server goes on.
    pub(crate) fn orphan(&mut self, id: ConnectionId) {
        if let Some(link) = self.commands.get_mut(&id) {
            let silent = link.state == State::Silent;
            link.state = State::Orphaned;
            let waiting = link.requests.iter_mut().filter_map(|request| request.responder.take());
            let replies = std::mem::take(&mut link.replies).into_iter().map(|(responder, _)| responder);
            self.dead.extend(waiting.chain(replies).map(Dead::Responder));
            if silent || link.requests.is_empty() {
                self.kill(id);
            }
        } else if let Some(link) = self.subscribers.get_mut(&id) {
            if link.state == State::Silent {
                self.kill(id);
                return;
            }
            link.state = State::Orphaned;
            // an inbox that nobody reads takes its place
            let orphaned = std::mem::take(&mut link.inbox);
            self.dead.push(Dead::Inbox(Closing(orphaned)));
        }
    }

    /// The server forgets the connection, and the client is told nothing.
    pub(crate) fn silence(&mut self, id: ConnectionId) {
        self.leave_all(id);
        if let Some(link) = self.commands.get_mut(&id) {
            link.state = State::Silent;
        } else if let Some(link) = self.subscribers.get_mut(&id) {
            link.state = State::Silent;
            link.requests.clear();
            link.output.clear();
        }
    }
}
