//! A budget that all nodes take from: so many of something in a second, for
//! all of them together.
//!
//! It lives in Redis and is full when nobody knows of it: after it was lost, a
//! second's worth more is given.

use std::sync::Arc;
use std::time::Duration;

use crate::Unavailable;
use crate::reply;
use crate::script::Script;
use crate::shard::Shard;

/// What a node was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// At most as many as were wanted.
    pub count: u32,
    /// Until there is one more; zero when there is now.
    pub next: Duration,
}

/// Takes from the budget, which fills by `per_second` and holds as many.
pub(crate) async fn take(shard: &Arc<Shard>, wanted: u32, per_second: u32) -> Result<Taken, Unavailable> {
    let key = shard.names.budget();
    let keys = [key.as_str()];
    let reply = shard.call(Script::Take, &keys, |_, command| {
        command.arg(wanted).arg(per_second.max(1));
    });
    let [count, next] = <[_; 2]>::try_from(reply::array(reply.await?)?).map_err(|_| Unavailable)?;
    let count = u32::try_from(reply::number(count)?).map_err(|_| Unavailable)?;
    Ok(Taken { count, next: Duration::from_millis(reply::number(next)?) })
}
