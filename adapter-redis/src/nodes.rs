//! The nodes of the cluster: each has a short tag, and is listed while it
//! shows signs of life.
//!
//! The sign of life is also the tick: once a second one of the nodes tells all
//! of them a position, so that those that hear nothing else know where they
//! are, and that they hear. It brings how many connections the node has, too,
//! so that each knows what the others carry.

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
    /// Characters of a tag.
    pub const LEN: usize = 3;

    /// One of 262,144: [`RedisAdapter::register`](crate::RedisAdapter::register) tells whether another has it.
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

/// What a node carries, as it tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    pub connections: u64,
    /// It is being stopped, and takes no more.
    pub leaving: bool,
}

/// A node that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub tag: Tag,
    /// Where it is reached.
    pub address: String,
    /// As of its last sign of life; `None` of a node that does not tell.
    pub load: Option<Load>,
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
    /// The others and this one, as of its last sign of life.
    known: Mutex<Known>,
    /// This node's, to be told with its next one; `None`: it tells nothing.
    load: Mutex<Option<Load>>,
    /// When the last sign of life was taken.
    alive: Mutex<Instant>,
}

#[derive(Default)]
struct Known {
    addresses: HashMap<Tag, String>,
    loads: HashMap<Tag, Load>,
}

impl Nodes {
    pub(crate) fn new(shard: Arc<Shard>, tag: Tag, instance: &str) -> Self {
        Nodes {
            shard,
            tag,
            instance: instance.to_owned(),
            known: Mutex::default(),
            load: Mutex::default(),
            alive: Mutex::new(Instant::now()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long Redis has taken no sign of life.
    pub(crate) fn silent_for(&self) -> Duration {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Where a node is reached; `None` when it is not alive.
    pub(crate) async fn find(&self, tag: &Tag) -> Result<Option<String>, Unavailable> {
        let known = self.known().addresses.get(tag).cloned();
        if known.is_some() {
            return Ok(known);
        }
        // it may have come just now
        let listed = self.list().await?;
        let address = listed.get(tag).cloned();
        self.known().addresses = listed;
        Ok(address)
    }

    /// All that are alive.
    pub(crate) fn all(&self) -> Vec<Listed> {
        let known = self.known();
        let listed = |(tag, address): (&Tag, &String)| Listed {
            tag: tag.clone(),
            address: address.clone(),
            load: known.loads.get(tag).copied(),
        };
        known.addresses.iter().map(listed).collect()
    }

    /// What this node carries, for its next sign of life.
    pub(crate) fn report(&self, load: Load) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = Some(load);
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
        let (nodes, loads) = (names.nodes(), names.loads());
        let keys = [nodes.as_str(), loads.as_str()];
        let load = *self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = Writer(settings.format);
        let reply = self.shard.call(Script::Tick, &keys, |up, command| {
            command.arg(self.tag.as_str()).arg(&self.instance).arg(&settings.advertise);
            command.arg(reply::ms(settings.node_ttl)).arg(SLOTS);
            command.arg(names.everybody()).arg(writer.position_head(up.epoch)).arg(reply::ms(TICK));
            command.arg(load.map(Load::written).unwrap_or_default());
        });
        let mut reply = reply::array(reply.await?)?.into_iter();
        if reply.next() == Some(Value::Int(0)) {
            return Ok(Err(TagTaken));
        }
        let addresses = reply.next().and_then(read).ok_or(Unavailable)?;
        let loads = reply.next().and_then(read_loads).ok_or(Unavailable)?;
        *self.known() = Known { addresses, loads };
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

/// Those that can be read: another version may tell more.
fn read_loads(listed: Value) -> Option<HashMap<Tag, Load>> {
    let flat: Vec<(String, String)> = from_redis_value(listed).ok()?;
    Some(flat.into_iter().filter_map(|(tag, load)| Some((Tag::parse(&tag)?, Load::read(&load)?))).collect())
}

impl Load {
    /// `<connections> <1 when leaving>`; what may follow is of later versions.
    fn written(self) -> String {
        format!("{} {}", self.connections, u8::from(self.leaving))
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Load { connections: words.next()?.parse().ok()?, leaving: words.next()? == "1" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_read_back() {
        for load in [Load::default(), Load { connections: 70_000, leaving: true }] {
            assert_eq!(Load::read(&load.written()), Some(load));
        }
        assert_eq!(Load::read("7 0 and more"), Some(Load { connections: 7, leaving: false }));
        for bad in ["", "7", "x 0", "-1 0"] {
            assert_eq!(Load::read(bad), None, "{bad}");
        }
    }
}
