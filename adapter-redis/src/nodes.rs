//! The nodes of the cluster: each has a short tag, and is listed while it
//! shows signs of life.
//!
//! The sign of life is also the tick: once a second one of the nodes tells all
//! of them a position, so that those that hear nothing else know where they
//! are, and that they hear.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use redis::{Value, from_redis_value};
use smol_str::SmolStr;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::publish::SLOTS;
use crate::record::Writer;
use crate::script::Script;
use crate::shard::Shard;
use crate::{Unavailable, reply};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);

/// Between two ticks, at least.
const TICK: Duration = Duration::from_millis(900);

/// The short name of a node: 3 characters of the URL-safe alphabet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tag(SmolStr);

impl Tag {
    pub const LEN: usize = 3;

    pub fn random() -> Self {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits: [u8; Self::LEN] = rand::random();
        Tag(bits.iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])).collect())
    }

    /// `None` unless it is 3 characters of the alphabet.
    pub fn parse(text: &str) -> Option<Self> {
        let is_one =
            text.len() == Self::LEN && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        is_one.then(|| Tag(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Another node's tag is the same: a new one must be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another node has this tag")]
pub struct TagTaken;

pub(crate) struct Nodes {
    shard: Arc<Shard>,
    tag: Tag,
    /// Of this process, never used before.
    instance: String,
    /// Where each is reached, as of the last sign of life.
    known: Mutex<HashMap<Tag, String>>,
    /// When the last sign of life was taken.
    alive: Mutex<Instant>,
}

impl Nodes {
    pub(crate) fn new(shard: Arc<Shard>, tag: Tag, instance: &str) -> Self {
        Nodes { shard, tag, instance: instance.to_owned(), known: Mutex::default(), alive: Mutex::new(Instant::now()) }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Tag, String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long Redis has taken no sign of life.
    pub(crate) fn silent_for(&self) -> Duration {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Where a node is reached; `None` when it is not alive.
    pub(crate) async fn find(&self, tag: &Tag) -> Result<Option<String>, Unavailable> {
        let known = self.known().get(tag).cloned();
        if known.is_some() {
            return Ok(known);
        }
        // it may have come just now
        let listed = self.list().await?;
        let address = listed.get(tag).cloned();
        *self.known() = listed;
        Ok(address)
    }

    /// All that are alive.
    pub(crate) fn all(&self) -> Vec<(Tag, String)> {
        self.known().iter().map(|(tag, address)| (tag.clone(), address.clone())).collect()
    }

    async fn list(&self) -> Result<HashMap<Tag, String>, Unavailable> {
        let up = self.shard.up(Instant::now() + self.shard.settings.patience).await?;
        let mut command = redis::cmd("HGETALL");
        command.arg(self.shard.names.nodes());
        let listed = up.send(command).await.map_err(|_| Unavailable)?;
        read(listed).ok_or(Unavailable)
    }

    /// One sign of life.
    pub(crate) async fn beat(&self) -> Result<Result<(), TagTaken>, Unavailable> {
        let (names, settings) = (&self.shard.names, &self.shard.settings);
        let nodes = names.nodes();
        let keys = [nodes.as_str()];
        let writer = Writer(settings.format);
        let reply = self.shard.call(Script::Tick, &keys, |up, command| {
            command.arg(self.tag.as_str()).arg(&self.instance).arg(&settings.advertise);
            command.arg(reply::ms(settings.node_ttl)).arg(SLOTS);
            command.arg(names.everybody()).arg(writer.position_head(up.epoch)).arg(reply::ms(TICK));
        });
        let mut reply = reply::array(reply.await?)?.into_iter();
        if reply.next() == Some(Value::Int(0)) {
            return Ok(Err(TagTaken));
        }
        *self.known() = reply.next().and_then(read).ok_or(Unavailable)?;
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(Ok(()))
    }

    /// Shows signs of life, until `stop`; then the node is not listed any more.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        loop {
            match self.beat().await {
                Ok(Ok(())) | Err(Unavailable) => {}
                // its own entry has expired while it was stopped, and was taken
                Ok(Err(TagTaken)) => tracing::error!(tag = self.tag.as_str(), "another node has this node's tag"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        if let Ok(up) = self.shard.up(Instant::now() + BEAT).await {
            let mut command = redis::cmd("HDEL");
            command.arg(self.shard.names.nodes()).arg(self.tag.as_str());
            // it expires otherwise
            let _ = up.send(command).await;
        }
    }
}

/// Tag and address of each: `<expiry> <instance> <address>`.
fn read(listed: Value) -> Option<HashMap<Tag, String>> {
    let flat: Vec<(String, String)> = from_redis_value(listed).ok()?;
    let node = |(tag, entry): (String, String)| {
        let address = entry.splitn(3, ' ').nth(2)?.to_owned();
        Some((Tag::parse(&tag)?, address))
    };
    flat.into_iter().map(node).collect()
}
