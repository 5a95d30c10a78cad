//! The commands: what each is called, how many arguments it takes, whether it writes, and the function that runs it.

use std::{collections::HashMap, sync::LazyLock};

use crate::{
    core::Core,
    db::Db,
    reply::{Bytes, Outcome},
};

mod admin;
mod hashes;
mod keys;
mod lists;
mod scan;
mod sets;
mod sorted_sets;
mod strings;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    /// Writes, and is refused when memory is used up.
    Grow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callers {
    All,
    /// Not from scripts.
    Clients,
}

pub(crate) enum Run {
    Data(fn(&mut Db, &[Bytes]) -> Outcome),
    Server(fn(&mut Core, &[Bytes]) -> Outcome),
    /// Served where the scripts are.
    Script,
    /// Served by subscriber connections only.
    Subscriber,
}

pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// The number of words with the name; the least number if negative.
    arity: i32,
    pub(crate) access: Access,
    pub(crate) callers: Callers,
    pub(crate) run: Run,
}

impl Command {
    const fn data(name: &'static str, arity: i32, access: Access, run: fn(&mut Db, &[Bytes]) -> Outcome) -> Self {
        Self { name, arity, access, callers: Callers::All, run: Run::Data(run) }
    }

    const fn server(name: &'static str, arity: i32, callers: Callers, run: fn(&mut Core, &[Bytes]) -> Outcome) -> Self {
        Self { name, arity, access: Access::Read, callers, run: Run::Server(run) }
    }

    const fn special(name: &'static str, arity: i32, run: Run) -> Self {
        Self { name, arity, access: Access::Read, callers: Callers::Clients, run }
    }

    pub(crate) fn takes(&self, words: usize) -> bool {
        let words = words as i32;
        if self.arity < 0 { words >= -self.arity } else { words == self.arity }
    }
}

const SPECIAL: &[Command] = &[
    Command::special("eval", -3, Run::Script),
    Command::special("evalsha", -3, Run::Script),
    Command::special("script", -2, Run::Script),
    Command::special("subscribe", -2, Run::Subscriber),
    Command::special("unsubscribe", -1, Run::Subscriber),
];

static COMMANDS: LazyLock<HashMap<&'static [u8], &'static Command, foldhash::fast::FixedState>> = LazyLock::new(|| {
    let families = [
        SPECIAL,
        admin::COMMANDS,
        hashes::COMMANDS,
        keys::COMMANDS,
        lists::COMMANDS,
        scan::COMMANDS,
        sets::COMMANDS,
        sorted_sets::COMMANDS,
        strings::COMMANDS,
    ];
    families.into_iter().flatten().map(|command| (command.name.as_bytes(), command)).collect()
});

/// The command of this name, in whatever case it is written.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; 24];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    COMMANDS.get(&*lower).copied()
}

fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

/// The part of a list of this length between two indexes that may count from the end, both included.
fn span(start: i64, stop: i64, length: usize) -> std::ops::Range<usize> {
    let length = length as i64;
    let from = if start < 0 { (start.saturating_add(length)).max(0) } else { start };
    let to = if stop < 0 { stop.saturating_add(length) } else { stop.min(length - 1) };
    if from > to || from >= length { 0..0 } else { from as usize..to as usize + 1 }
}
