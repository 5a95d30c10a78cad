//! What goes wrong in a real deployment, and the clock.

use redis::RedisResult;

use crate::{
    core::{Memory, Role},
    links::ConnectionId,
    reply::Bytes,
    server::FakeRedis,
};

impl FakeRedis {
    /// Sets the clock, in milliseconds since 1970. It may go back.
    pub fn set_time_ms(&self, now_ms: i64) {
        self.core(|core| core.db.now_ms = now_ms);
    }

    pub fn time_ms(&self) -> i64 {
        self.core(|core| core.db.now_ms)
    }

    /// Deletes the keys whose time is over, as the server does now and then in the background. To commands they are gone
    /// anyway; but where the clock goes back, what was not deleted lives again. Answers how many there were.
    pub fn expire_due(&self) -> usize {
        self.core(|core| {
            let expired = core.db.expire_due();
            core.record_expired();
            core.end_command();
            expired
        })
    }

    /// Evicts a key as for want of memory; false if it is not there.
    pub fn evict(&self, key: impl AsRef<[u8]>) -> bool {
        self.core(|core| {
            let evicted = core.db.remove(key.as_ref());
            core.record_expired();
            if evicted {
                core.evicted_keys += 1;
                core.record(&[Bytes::from(*b"del"), key.as_ref().into()]);
            }
            core.end_command();
            evicted
        })
    }

    /// All data is gone. Scripts, run id and connections stay. It is a write, which a failover can lose.
    pub fn flush_all(&self) {
        self.core(|core| {
            core.db.clear();
            core.record(&[Bytes::from(*b"flushall")]);
            core.end_command();
        });
    }

    /// All scripts are gone.
    pub fn forget_scripts(&self) {
        self.script_flush();
    }

    /// The server is started anew without its data: other run id, no scripts, all connections broken.
    pub fn restart_empty(&self) {
        self.script_flush();
        self.core(|core| core.start_empty());
    }

    /// The server is started anew from a snapshot, or its replica takes its place: the newest writes are lost, of which a
    /// script is one. Other run id, no scripts, all connections broken. Answers how many writes were lost: at most 1,024, and
    /// none from before the last failover.
    pub fn failover(&self, lost_writes: usize) -> usize {
        self.script_flush();
        self.core(|core| {
            let (db, lost) = core.replica.promote(lost_writes);
            core.start_with(db);
            lost
        })
    }

    /// Breaks a connection for both sides at once: requests not yet executed, replies and pushes not yet delivered are lost.
    pub fn kill(&self, id: ConnectionId) -> bool {
        self.core(|core| core.links.kill(id))
    }

    /// The client sees the connection break; the server still executes what it was sent, and goes on publishing to it.
    pub fn orphan(&self, id: ConnectionId) {
        self.core(|core| core.links.orphan(id));
    }

    /// The server forgets the connection, and the client is told nothing: it waits for replies until it gives up.
    pub fn silence(&self, id: ConnectionId) {
        self.core(|core| core.links.silence(id));
    }

    /// `client-output-buffer-limit` of subscribers, in bytes on the wire. Over it, the connection is killed.
    pub fn set_output_limit(&self, bytes: Option<usize>) {
        self.core(|core| core.links.output_limit = bytes);
    }

    /// How many bytes wait for a subscriber.
    pub fn output_bytes(&self, id: ConnectionId) -> usize {
        self.core(|core| core.links.subscribers.get(&id).map_or(0, |link| link.output_bytes))
    }

    /// Sets what `CONFIG GET` answers, as `maxmemory-policy`.
    ///
    /// # Errors
    /// `ERR` for a setting that the fake does not have.
    pub fn set_config(&self, name: &str, value: &str) -> RedisResult<()> {
        self.execute(["CONFIG", "SET", name, value]).map(drop)
    }

    pub fn set_role(&self, role: Role) {
        self.core(|core| core.role = role);
    }

    pub fn set_memory(&self, memory: Memory) {
        self.core(|core| core.memory = memory);
    }

    /// What `WAIT` answers: replicas that have the writes.
    pub fn set_acknowledging_replicas(&self, replicas: i64) {
        self.core(|core| core.acknowledging_replicas = replicas);
    }
}
