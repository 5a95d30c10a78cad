//! The client's side of a connection that subscribes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use redis::{PushKind, RedisResult, Value};

use crate::{
    connection::{Handle, broken},
    links::{ConnectionId, State, SubscriberRequest},
    reply::Bytes,
};

/// What the server sends to a subscriber, in the order in which it happened there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// `count`: the number of channels of this connection from then on.
    Subscribed {
        channel: Arc<[u8]>,
        count: usize,
    },
    /// No channel: there was none to leave.
    Unsubscribed {
        channel: Option<Arc<[u8]>>,
        count: usize,
    },
    Message {
        channel: Arc<[u8]>,
        payload: Arc<[u8]>,
    },
    /// The answer to a ping.
    Pong,
}

impl Push {
    /// Its length on the wire.
    pub(crate) fn wire_bytes(&self) -> usize {
        let digits = |number: usize| number.checked_ilog10().unwrap_or(0) as usize + 1;
        let bulk = |length: usize| digits(length) + length + 5;
        match self {
            Self::Subscribed { channel, count } => 4 + bulk(9) + bulk(channel.len()) + digits(*count) + 3,
            Self::Unsubscribed { channel, count } => {
                4 + bulk(11) + channel.as_ref().map_or(5, |channel| bulk(channel.len())) + digits(*count) + 3
            }
            Self::Message { channel, payload } => 4 + bulk(7) + bulk(channel.len()) + bulk(payload.len()),
            Self::Pong => 4 + bulk(4) + bulk(0),
        }
    }

    /// As the crate `redis` gives it; a pong as the array that it is on the wire.
    pub fn into_value(self) -> Value {
        let bulk = |text: Bytes| Value::BulkString(text.to_vec());
        let (kind, data) = match self {
            Self::Subscribed { channel, count } => (PushKind::Subscribe, vec![bulk(channel), Value::Int(count as i64)]),
            Self::Unsubscribed { channel, count } => {
                (PushKind::Unsubscribe, vec![channel.map_or(Value::Nil, bulk), Value::Int(count as i64)])
            }
            Self::Message { channel, payload } => (PushKind::Message, vec![bulk(channel), bulk(payload)]),
            Self::Pong => {
                return Value::Array(vec![Value::BulkString(b"pong".to_vec()), Value::BulkString(Vec::new())]);
            }
        };
        Value::Push { kind, data }
    }
}

#[derive(Default)]
struct Arrived {
    pushes: VecDeque<Push>,
    waker: Option<Waker>,
    closed: bool,
}

/// What has reached the client and was not read yet. The end of the connection does not take it away.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Arrived>);

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn deliver(&self, push: Push) {
        let mut arrived = self.lock();
        arrived.pushes.push_back(push);
        let waker = arrived.waker.take();
        drop(arrived);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn close(&self) {
        let mut arrived = self.lock();
        arrived.closed = true;
        let waker = arrived.waker.take();
        drop(arrived);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Push>> {
        let mut arrived = self.lock();
        match arrived.pushes.pop_front() {
            Some(push) => Poll::Ready(Some(push)),
            None if arrived.closed => Poll::Ready(None),
            None => {
                arrived.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Sends requests. None of them waits: what the server says to them comes to the receiver.
#[derive(Clone)]
pub struct SubscriberSender(pub(crate) Arc<Handle>);

impl SubscriberSender {
    pub fn id(&self) -> ConnectionId {
        self.0.id
    }

    /// # Errors
    /// An I/O error when the connection has ended.
    pub fn subscribe<C: AsRef<[u8]>>(&self, channels: impl IntoIterator<Item = C>) -> RedisResult<()> {
        self.send(SubscriberRequest::Subscribe(shared(channels)))
    }

    /// From all channels if none is given.
    ///
    /// # Errors
    /// An I/O error when the connection has ended.
    pub fn unsubscribe<C: AsRef<[u8]>>(&self, channels: impl IntoIterator<Item = C>) -> RedisResult<()> {
        self.send(SubscriberRequest::Unsubscribe(shared(channels)))
    }

    /// # Errors
    /// An I/O error when the connection has ended.
    pub fn ping(&self) -> RedisResult<()> {
        self.send(SubscriberRequest::Ping)
    }

    fn send(&self, request: SubscriberRequest) -> RedisResult<()> {
        self.0.server.core(|core| match core.links.subscribers.get_mut(&self.0.id) {
            None => Err(broken()),
            Some(link) => match link.state {
                State::Open => {
                    link.requests.push_back(request);
                    Ok(())
                }
                State::Orphaned => Err(broken()),
                State::Silent => Ok(()),
            },
        })
    }
}

fn shared<C: AsRef<[u8]>>(channels: impl IntoIterator<Item = C>) -> Vec<Bytes> {
    channels.into_iter().map(|channel| channel.as_ref().into()).collect()
}

/// Receives pushes; ends with the connection, after what had already arrived.
pub struct SubscriberReceiver {
    pub(crate) inbox: Arc<Inbox>,
    /// Keeps the connection open.
    pub(crate) handle: Arc<Handle>,
}

impl SubscriberReceiver {
    pub fn id(&self) -> ConnectionId {
        self.handle.id
    }

    /// The next push, or None at the end. Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Push> {
        poll_fn(|context| self.inbox.poll(context)).await
    }
}

impl Stream for SubscriberReceiver {
    type Item = Push;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Push>> {
        self.inbox.poll(context)
    }
}
