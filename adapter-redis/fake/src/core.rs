//! The server without its scripts: data, replica, connections and settings, and the running of one command.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

use crate::{
    commands::{self, Access, Callers, Command, Run},
    db::Db,
    links::Links,
    replica::Replica,
    reply::{Bytes, Failure, Outcome},
};

/// What a server is to the others of its deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Primary,
    /// Refuses writes with `READONLY`, as a primary does once another was promoted.
    Replica,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Primary => "master",
            Self::Replica => "slave",
        }
    }
}

/// Whether there is memory for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    #[default]
    Free,
    /// Commands that may need more are refused with `OOM`.
    Full,
}

#[derive(Default)]
pub(crate) struct Core {
    pub(crate) db: Db,
    pub(crate) replica: Replica,
    pub(crate) links: Links,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) evicted_keys: u64,
    pub(crate) role: Role,
    pub(crate) memory: Memory,
    /// What `WAIT` answers.
    pub(crate) acknowledging_replicas: i64,
    /// The connection whose command runs.
    pub(crate) caller: i64,
    /// Keys at which pages of `SCAN` ended.
    pub(crate) cursors: BTreeMap<u64, Bytes>,
    run: u64,
    /// Whether the command, or the script, that runs has changed anything.
    wrote: bool,
}

impl Core {
    pub(crate) fn new() -> Self {
        let config = [
            ("appendonly", "no"),
            ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
            ("save", ""),
        ];
        let config = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { config, ..Self::default() }
    }

    /// As new, for clients that do not exist yet. Ids of connections are not given twice.
    pub(crate) fn reset(&mut self) {
        self.links.kill_all();
        self.links.output_limit = None;
        let links = std::mem::take(&mut self.links);
        *self = Self { links, ..Self::new() };
    }

    /// 40 hexadecimal digits, another with each start.
    pub(crate) fn run_id(&self) -> String {
        hex::encode(Sha1::digest(self.run.to_be_bytes()))
    }

    pub(crate) fn new_cursor(&mut self, last: Bytes) -> u64 {
        let cursor = self.cursors.last_key_value().map_or(1, |(cursor, _)| cursor + 1);
        self.cursors.insert(cursor, last);
        cursor
    }

    /// Runs a command of a client.
    pub(crate) fn execute(&mut self, args: &[Bytes]) -> Outcome {
        let outcome = client_command(args).and_then(|command| self.run_command(command, args));
        self.end_command();
        outcome
    }

    /// Runs a command of a script; the script ends with [`Self::end_command`].
    pub(crate) fn execute_in_script(&mut self, args: &[Bytes]) -> Outcome {
        let command = commands::find(&args[0]);
        let command = command.ok_or_else(|| Failure::new("ERR Unknown Redis command called from script"))?;
        if !command.takes(args.len()) {
            return Err(Failure::new("ERR Wrong number of args calling Redis command from script"));
        }
        if command.callers == Callers::Clients {
            return Err(Failure::new("ERR This Redis command is not allowed from script"));
        }
        self.run_command(command, args)
    }

    fn run_command(&mut self, command: &Command, args: &[Bytes]) -> Outcome {
        self.check(command)?;
        let run = match command.run {
            Run::Server(run) => return run(self, args),
            Run::Data(run) => run,
            Run::Script | Run::Subscriber => return Err(Failure::new("ERR not on this connection")),
        };
        let before = self.db.changes();
        let outcome = run(&mut self.db, args);
        self.record_expired();
        if command.access != Access::Read && self.db.changes() != before {
            self.record(args);
        }
        outcome
    }

    fn check(&self, command: &Command) -> Result<(), Failure> {
        if command.access != Access::Read && self.role == Role::Replica {
            return Err(Failure::new("READONLY You can't write against a read only replica."));
        }
        // a script that has begun to write may go on
        if command.access == Access::Grow && self.memory == Memory::Full && !self.wrote {
            return Err(Failure::new("OOM command not allowed when used memory > 'maxmemory'."));
        }
        Ok(())
    }

    /// A change, as the command that makes it.
    pub(crate) fn record(&mut self, args: &[Bytes]) {
        self.wrote = true;
        self.replica.record(self.db.now_ms, args);
    }

    pub(crate) fn record_expired(&mut self) {
        for key in self.db.take_expired() {
            self.replica.record_expired(self.db.now_ms, key);
        }
    }

    pub(crate) fn end_command(&mut self) {
        self.replica.end_group(std::mem::take(&mut self.wrote));
    }

    /// Another process with this data, and with none of the connections.
    pub(crate) fn start_with(&mut self, db: Db) {
        let now_ms = self.db.now_ms;
        self.db = db;
        self.db.now_ms = now_ms;
        self.run += 1;
        self.evicted_keys = 0;
        self.role = Role::Primary;
        self.cursors.clear();
        self.links.kill_all();
    }

    pub(crate) fn start_empty(&mut self) {
        self.replica = Replica::default();
        self.start_with(Db::default());
    }
}

/// The command that a client may have meant by this.
pub(crate) fn client_command(args: &[Bytes]) -> Result<&'static Command, Failure> {
    let Some(command) = commands::find(&args[0]) else {
        let quoted: Vec<_> = args.iter().map(|arg| format!("'{}'", String::from_utf8_lossy(arg))).collect();
        let rest: String = quoted[1..].iter().map(|arg| format!("{arg} ")).collect();
        return Err(Failure(format!("ERR unknown command {}, with args beginning with: {rest}", quoted[0])));
    };
    if command.takes(args.len()) { Ok(command) } else { Err(Failure::arity(command.name)) }
}
