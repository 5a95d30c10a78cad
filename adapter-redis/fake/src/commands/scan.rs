//! Iteration. `SCAN` goes through the keys in their order, `COUNT` at a time; `HSCAN` and `SSCAN` answer all at once, as
//! Redis does for small values.
//!
//! A cursor of `SCAN` stands for the key that was answered last, so keys that are there all the time are never missed.

use super::{Access::*, Callers, Command, is};
use crate::{
    core::Core,
    db::{Db, Hash, Set},
    glob,
    number::integer,
    reply::{Bytes, Failure, Outcome, Reply},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::server("scan", -2, Callers::All, scan),
    Command::data("hscan", -3, Read, hscan),
    Command::data("sscan", -3, Read, sscan),
];

struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Filter<'a> {
    fn read(options: &'a [Bytes]) -> Result<Self, Failure> {
        let mut filter = Self { pattern: None, kind: None, count: 10 };
        for option in options.chunks(2) {
            let [name, value] = option else { return Err(Failure::syntax()) };
            if is(name, "match") {
                filter.pattern = Some(value);
            } else if is(name, "count") {
                filter.count = usize::try_from(integer(value)?).unwrap_or(0);
                if filter.count == 0 {
                    return Err(Failure::syntax());
                }
            } else if is(name, "type") {
                filter.kind = Some(value);
            } else {
                return Err(Failure::syntax());
            }
        }
        Ok(filter)
    }

    fn takes(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn cursor(text: &[u8]) -> Result<u64, Failure> {
    let cursor = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    cursor.ok_or_else(|| Failure::new("ERR invalid cursor"))
}

fn page(cursor: u64, items: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::text(cursor.to_string()), Reply::Array(items)])
}

fn scan(core: &mut Core, args: &[Bytes]) -> Outcome {
    let cursor = cursor(&args[1])?;
    let filter = Filter::read(&args[2..])?;
    let after = match cursor {
        0 => None,
        // Redis takes any number; one that it never gave begins anew
        _ => core.cursors.get(&cursor),
    };
    let mut keys = core.db.keys_after(after);
    let (mut items, mut last) = (Vec::new(), None);
    for (key, kind) in keys.by_ref().take(filter.count) {
        last = Some(key.clone());
        if filter.takes(key) && filter.kind.is_none_or(|wanted| is(wanted, kind)) {
            items.push(Reply::Bulk(key.clone()));
        }
    }
    let more = keys.next().is_some();
    drop(keys);
    let next = match last {
        Some(last) if more => core.new_cursor(last),
        _ => 0,
    };
    Ok(page(next, items))
}

fn hscan(db: &mut Db, args: &[Bytes]) -> Outcome {
    cursor(&args[2])?;
    let filter = Filter::read(&args[3..])?;
    let fields = db.get::<Hash>(&args[1])?.into_iter().flatten().filter(|(field, _)| filter.takes(field));
    Ok(page(0, fields.flat_map(|(field, value)| [field.clone().into(), value.clone().into()]).collect()))
}

fn sscan(db: &mut Db, args: &[Bytes]) -> Outcome {
    cursor(&args[2])?;
    let filter = Filter::read(&args[3..])?;
    let members = db.get::<Set>(&args[1])?.into_iter().flatten().filter(|member| filter.takes(member));
    Ok(page(0, members.cloned().map(Reply::Bulk).collect()))
}
