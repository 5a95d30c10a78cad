//! How the adapter of the model reaches Redis: the fake one, in which nothing
//! happens by itself.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::redis::{Arg, Cmd, RedisError, RedisResult, Value};
use adapter_redis::server::{Commands, Inbox, Server, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use fake_redis::{Connection, ConnectionId, FakeRedis, Push, SubscriberReceiver, SubscriberSender};
use tokio::sync::watch;
use tokio::time::timeout;

/// After which a request counts as failed.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The way of one node to the server.
pub(super) struct Way {
    redis: FakeRedis,
    is_open: AtomicBool,
    commands: Mutex<Vec<ConnectionId>>,
    subscriptions: Mutex<Vec<Weak<Subscription>>>,
}

impl Way {
    pub(super) fn new(redis: FakeRedis) -> Arc<Self> {
        let (commands, subscriptions) = Default::default();
        Arc::new(Way { redis, is_open: true.into(), commands, subscriptions })
    }

    /// Whether new connections are made.
    pub(super) fn open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    fn check(&self) -> RedisResult<()> {
        if self.is_open.load(Ordering::Relaxed) { Ok(()) } else { Err(error(io::ErrorKind::ConnectionRefused)) }
    }

    /// Connections for commands, the oldest first; some may have ended.
    pub(super) fn commands(&self) -> Vec<ConnectionId> {
        self.commands.lock().unwrap().clone()
    }

    pub(super) fn subscribers(&self) -> Vec<ConnectionId> {
        let subscriptions = self.subscriptions.lock().unwrap();
        subscriptions.iter().filter_map(|subscription| Some(subscription.upgrade()?.sender.id())).collect()
    }

    /// What has come over subscriptions reaches the inboxes.
    pub(super) fn pump(&self) {
        self.subscriptions.lock().unwrap().retain(|subscription| {
            let subscription = subscription.upgrade();
            subscription.is_some_and(|subscription| subscription.pump())
        });
    }
}

fn error(kind: io::ErrorKind) -> RedisError {
    io::Error::new(kind, "so the dice say").into()
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(RESPONSE_TIMEOUT, answer).await.unwrap_or_else(|_| Err(error(io::ErrorKind::TimedOut)))
}

#[async_trait]
impl Server for Way {
    async fn commands(&self) -> RedisResult<Arc<dyn Commands>> {
        self.check()?;
        let connection = self.redis.connect();
        let mut commands = self.commands.lock().unwrap();
        commands.push(connection.id());
        if commands.len() > 8 {
            commands.remove(0);
        }
        Ok(Arc::new(CommandWay(connection)))
    }

    async fn subscriber(&self, inbox: Arc<Inbox>) -> RedisResult<Box<dyn Subscriber>> {
        self.check()?;
        let (sender, receiver) = self.redis.subscriber();
        let (confirmed, _) = watch::channel(Some(0));
        let subscription = Arc::new(Subscription { sender, receiver: receiver.into(), inbox, confirmed });
        self.subscriptions.lock().unwrap().push(Arc::downgrade(&subscription));
        Ok(Box::new(SubscriberWay { subscription, asked: 0 }))
    }
}

struct CommandWay(Connection);

#[async_trait]
impl Commands for CommandWay {
    async fn send(&self, command: Cmd) -> RedisResult<Value> {
        let word = |arg| match arg {
            Arg::Simple(word) => word,
            // the cursor of a new scan
            _ => b"0".as_slice(),
        };
        let reply = self.0.send(command.args_iter().map(word));
        in_time(reply).await
    }
}

struct Subscription {
    sender: SubscriberSender,
    receiver: Mutex<SubscriberReceiver>,
    inbox: Arc<Inbox>,
    /// How many channels were confirmed as entered or left; `None` at the end.
    confirmed: watch::Sender<Option<usize>>,
}

impl Subscription {
    /// False once it has ended.
    fn pump(&self) -> bool {
        let mut receiver = self.receiver.lock().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(push) = pin!(receiver.recv()).poll(&mut context) {
            match push {
                Some(Push::Message { payload, .. }) => self.inbox.put(Bytes::copy_from_slice(&payload)),
                Some(Push::Subscribed { .. } | Push::Unsubscribed { .. }) => {
                    self.confirmed.send_modify(|count| *count = count.map(|count| count + 1));
                }
                Some(Push::Pong) => {}
                None => {
                    self.inbox.end();
                    self.confirmed.send_replace(None);
                    return false;
                }
            }
        }
        true
    }
}

struct SubscriberWay {
    subscription: Arc<Subscription>,
    /// Channels that were asked for or asked to be left.
    asked: usize,
}

impl SubscriberWay {
    async fn confirmed(&mut self, channels: usize) -> RedisResult<()> {
        self.asked += channels;
        let (asked, mut confirmed) = (self.asked, self.subscription.confirmed.subscribe());
        let heard = async {
            match confirmed.wait_for(|count| count.is_none_or(|count| count >= asked)).await.map(|count| *count) {
                Ok(Some(_)) => Ok(()),
                Ok(None) | Err(_) => Err(error(io::ErrorKind::ConnectionReset)),
            }
        };
        in_time(heard).await
    }
}

#[async_trait]
impl Subscriber for SubscriberWay {
    async fn subscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        self.subscription.sender.subscribe(channels)?;
        self.confirmed(channels.len()).await
    }

    async fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        self.subscription.sender.unsubscribe(channels)?;
        self.confirmed(channels.len()).await
    }
}
