//! The replica that a failover promotes, or the snapshot that a restart loads: the data as it was some writes ago.
//!
//! It follows as a real replica does. Each change is recorded as the command that made it, with its time, and a key
//! whose time was over as a deletion. The newest groups wait, so that a failover can lose them; the oldest are applied.

use std::collections::VecDeque;

use crate::{
    commands::{self, Run},
    db::Db,
    reply::Bytes,
};

/// So many of the newest writes can be lost.
const MOST_WAITING: usize = 1024;

struct Change {
    now_ms: i64,
    args: Vec<Bytes>,
}

#[derive(Default)]
pub(crate) struct Replica {
    db: Db,
    /// A group is what one command of a client changed.
    waiting: VecDeque<Vec<Change>>,
    open: Vec<Change>,
}

impl Replica {
    pub(crate) fn record(&mut self, now_ms: i64, args: &[Bytes]) {
        self.open.push(Change { now_ms, args: args.to_vec() });
    }

    pub(crate) fn record_expired(&mut self, now_ms: i64, key: Bytes) {
        let args = vec![Bytes::from(*b"del"), key];
        self.open.push(Change { now_ms, args });
    }

    /// The end of a client's command. What only deleted keys whose time was over is no write of its own.
    pub(crate) fn end_group(&mut self, wrote: bool) {
        if self.open.is_empty() {
            return;
        }
        let group = std::mem::take(&mut self.open);
        match self.waiting.back_mut() {
            Some(last) if !wrote => last.extend(group),
            _ => self.waiting.push_back(group),
        }
        if self.waiting.len() > MOST_WAITING {
            let oldest = self.waiting.pop_front();
            oldest.into_iter().flatten().for_each(|change| apply(&mut self.db, change));
        }
    }

    /// The data without the newest writes, and how many of those there were. From here on it follows that data.
    pub(crate) fn promote(&mut self, lost_writes: usize) -> (Db, usize) {
        let lost = lost_writes.min(self.waiting.len());
        self.waiting.truncate(self.waiting.len() - lost);
        for change in std::mem::take(&mut self.waiting).into_iter().flatten() {
            apply(&mut self.db, change);
        }
        (self.db.clone(), lost)
    }
}

fn apply(db: &mut Db, change: Change) {
    db.now_ms = change.now_ms;
    if let Some(Run::Data(run)) = commands::find(&change.args[0]).map(|command| &command.run) {
        // what failed on the primary after it had changed something fails here alike
        let _ = run(db, &change.args);
    }
    db.take_expired();
}
