//! A new connection is not believed: which run of Redis is it, is it a master,
//! has it evicted anything, and which epoch is it in?

use redis::{RedisError, RedisResult, Value, from_redis_value};

use crate::Settings;
use crate::place::{Epoch, Id};
use crate::reply::ms;
use crate::script::{Digests, Script};
use crate::server::Commands;

/// What a connection leads to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) digests: Digests,
    pub(super) epoch: Epoch,
    /// The first id of the epoch.
    pub(super) start: Id,
    pub(super) info: Info,
}

/// What `INFO` tells of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) run: String,
    pub(super) is_master: bool,
    pub(super) evicted: u64,
    pub(super) may_evict: bool,
}

impl Info {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
        };
        let is_bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
        Some(Info {
            run: field("run_id")?,
            is_master: field("role")? == "master",
            evicted: field("evicted_keys")?.parse().ok()?,
            may_evict: is_bounded && field("maxmemory_policy").is_some_and(|policy| policy != "noeviction"),
        })
    }
}

/// Asks the server about itself.
pub(super) async fn inquire(commands: &dyn Commands) -> RedisResult<Info> {
    let text: String = from_redis_value(commands.send(redis::cmd("INFO")).await?)?;
    Info::parse(&text).ok_or_else(|| refused("INFO lacks a field"))
}

/// Loads the scripts, and finds or begins the epoch. `floor`: a new epoch
/// begins after this; asked late, as it rises meanwhile.
pub(super) async fn open(
    commands: &dyn Commands,
    meta: &str,
    floor: impl Fn() -> Id,
    settings: &Settings,
) -> RedisResult<Opened> {
    let info = inquire(commands).await?;
    if !info.is_master {
        return Err(refused("this Redis is a replica"));
    }
    for script in Script::ALL {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(script.source(&info.run));
        commands.send(load).await?;
    }
    let digests = Digests::of(&info.run);
    let mut call = redis::cmd("EVALSHA");
    call.arg(digests.get(Script::OpenEpoch)).arg(1).arg(meta);
    call.arg(&info.run).arg(Epoch::random().to_string());
    let floor = floor();
    call.arg(floor.ms()).arg(floor.sequence()).arg(info.evicted);
    call.arg(ms(settings.slice)).arg(ms(settings.retention)).arg(settings.max_slice_entries);
    let found: Vec<Value> = from_redis_value(commands.send(call).await?)?;
    let number = |index: usize| -> RedisResult<u64> {
        from_redis_value(found.get(index).cloned().unwrap_or(Value::Nil)).map_err(RedisError::from)
    };
    let epoch: String = from_redis_value(found.first().cloned().unwrap_or(Value::Nil))?;
    let epoch = epoch.parse().map_err(|_| refused("the shard's epoch cannot be read"))?;
    let sequence = u32::try_from(number(2)?).map_err(|_| refused("the shard's first id cannot be read"))?;
    Ok(Opened { digests, epoch, start: Id::new(number(1)?, sequence), info })
}

fn refused(what: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::Client, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read() {
        let text = "# Server\r\nrun_id:abc\r\n# Memory\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n\
            # Stats\r\nevicted_keys:3\r\n# Replication\r\nrole:master\r\n";
        let info = Info { run: "abc".into(), is_master: true, evicted: 3, may_evict: true };
        assert_eq!(Info::parse(text), Some(info.clone()));
        let unbounded = text.replace("maxmemory:100", "maxmemory:0");
        assert_eq!(Info::parse(&unbounded), Some(Info { may_evict: false, ..info }));
        assert_eq!(Info::parse("run_id:abc\r\n"), None);
    }
}
