//! What the program that the adapter serves may count of its Redis.

use std::fmt::Debug;
use std::time::Duration;

pub use crate::script::Script;
pub use crate::shard::Fault;

/// Is told what happens between this node and Redis. What is not written does
/// nothing; nothing may block.
pub trait Observer: Debug + Send + Sync + 'static {
    /// A command was answered, or came to nothing, after this time. Those that
    /// open or examine a connection are not told of.
    fn asked(&self, _command: Command, _took: Duration, _fault: Option<Fault>) {}

    /// A link was opened.
    fn linked(&self, _link: LinkKind) {}

    /// A link could not be opened; it is tried again.
    fn unreachable(&self, _link: LinkKind) {}

    /// A link that was open is given up.
    fn broke(&self, _link: LinkKind) {}

    /// What the subscriber missed was read from the log and delivered.
    fn caught_up(&self, _messages: usize, _took: Duration) {}

    /// Redis has lost its log: another has begun.
    fn new_epoch(&self) {}

    /// So many rooms are heard now.
    fn hears(&self, _rooms: usize) {}

    /// So many notices were dropped since the epoch began, by all nodes.
    fn notices_dropped(&self, _ever: u64) {}
}

/// Counts nothing.
#[derive(Debug)]
pub(crate) struct Unobserved;

impl Observer for Unobserved {}

/// What is asked of Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    Script(Script),
    /// One of Redis's own.
    Plain,
}

impl Command {
    pub const COUNT: usize = Script::ALL.len() + 1;

    pub fn all() -> [Command; Command::COUNT] {
        std::array::from_fn(|index| Script::ALL.get(index).map_or(Command::Plain, |script| Command::Script(*script)))
    }

    /// Its place in [`Self::all`].
    pub fn index(self) -> usize {
        match self {
            Command::Script(script) => script as usize,
            Command::Plain => Script::ALL.len(),
        }
    }

    /// For a metric.
    pub fn label(self) -> &'static str {
        match self {
            Command::Script(script) => script.label(),
            Command::Plain => "plain",
        }
    }
}

/// Each has a connection of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkKind {
    Commands,
    Subscriber,
}

impl LinkKind {
    pub const ALL: [LinkKind; 2] = [LinkKind::Commands, LinkKind::Subscriber];

    /// For a metric.
    pub fn label(self) -> &'static str {
        match self {
            LinkKind::Commands => "commands",
            LinkKind::Subscriber => "subscriber",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_command_has_a_place_and_a_name_of_its_own() {
        for (index, command) in Command::all().into_iter().enumerate() {
            assert_eq!(command.index(), index);
        }
        let labels: BTreeSet<_> = Command::all().map(Command::label).into();
        assert_eq!(labels.len(), Command::COUNT);
    }
}
