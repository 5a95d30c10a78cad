//! Lists.

use super::{Access::*, Command, span};
use crate::{
    db::{Db, List},
    number::integer,
    reply::{Bytes, Failure, Outcome, Reply},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::data("lpush", -3, Grow, lpush),
    Command::data("rpush", -3, Grow, rpush),
    Command::data("lpop", -2, Write, lpop),
    Command::data("rpop", -2, Write, rpop),
    Command::data("llen", 2, Read, llen),
    Command::data("lrange", 4, Read, lrange),
    Command::data("ltrim", 4, Write, ltrim),
    Command::data("lindex", 3, Read, lindex),
    Command::data("lrem", 4, Write, lrem),
    Command::data("lset", 4, Grow, lset),
];

fn lpush(db: &mut Db, args: &[Bytes]) -> Outcome {
    push(db, args, |list, item| list.push_front(item))
}

fn rpush(db: &mut Db, args: &[Bytes]) -> Outcome {
    push(db, args, |list, item| list.push_back(item))
}

fn push(db: &mut Db, args: &[Bytes], push: fn(&mut List, Bytes)) -> Outcome {
    let length = db.edit_or_new(&args[1], |list: &mut List| {
        args[2..].iter().for_each(|item| push(list, item.clone()));
        list.len()
    })?;
    Ok(Reply::count(length))
}

fn lpop(db: &mut Db, args: &[Bytes]) -> Outcome {
    pop(db, args, "lpop", List::pop_front)
}

fn rpop(db: &mut Db, args: &[Bytes]) -> Outcome {
    pop(db, args, "rpop", List::pop_back)
}

fn pop(db: &mut Db, args: &[Bytes], name: &str, pop: fn(&mut List) -> Option<Bytes>) -> Outcome {
    let count = match args {
        [_, _] => return Ok(db.edit(&args[1], pop)?.flatten().into()),
        [_, _, count] => {
            let count = integer(count).ok().and_then(|count| usize::try_from(count).ok());
            count.ok_or_else(|| Failure::new("ERR value is out of range, must be positive"))?
        }
        _ => return Err(Failure::arity(name)),
    };
    if count == 0 {
        return Ok(db.get::<List>(&args[1])?.map_or(Reply::Nil, |_| Reply::Array(Vec::new())));
    }
    let popped = db.edit(&args[1], |list: &mut List| {
        let items = std::iter::from_fn(|| pop(list)).take(count);
        items.collect::<Vec<_>>()
    })?;
    Ok(popped.map_or(Reply::Nil, Reply::list))
}

fn llen(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(db.get::<List>(&args[1])?.map_or(0, List::len)))
}

fn lrange(db: &mut Db, args: &[Bytes]) -> Outcome {
    let (start, stop) = (integer(&args[2])?, integer(&args[3])?);
    let Some(list) = db.get::<List>(&args[1])? else { return Ok(Reply::Array(Vec::new())) };
    Ok(Reply::list(list.range(span(start, stop, list.len())).cloned()))
}

fn ltrim(db: &mut Db, args: &[Bytes]) -> Outcome {
    let (start, stop) = (integer(&args[2])?, integer(&args[3])?);
    db.edit(&args[1], |list: &mut List| {
        let kept = span(start, stop, list.len());
        list.truncate(kept.end);
        list.drain(..kept.start);
    })?;
    Ok(Reply::ok())
}

/// Where an index that may count from the end points to.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.saturating_add(length as i64) } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn lindex(db: &mut Db, args: &[Bytes]) -> Outcome {
    let list = db.get::<List>(&args[1])?;
    let Some(list) = list else { return Ok(Reply::Nil) };
    let index = integer(&args[2])?;
    Ok(place(index, list.len()).and_then(|index| list.get(index)).cloned().into())
}

fn lset(db: &mut Db, args: &[Bytes]) -> Outcome {
    let length = db.get::<List>(&args[1])?.ok_or_else(|| Failure::new("ERR no such key"))?.len();
    let index = integer(&args[2])?;
    let index = place(index, length).ok_or_else(|| Failure::new("ERR index out of range"))?;
    db.edit(&args[1], |list: &mut List| list[index] = args[3].clone())?;
    Ok(Reply::ok())
}

fn lrem(db: &mut Db, args: &[Bytes]) -> Outcome {
    let count = integer(&args[2])?;
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let removed = db.edit(&args[1], |list: &mut List| {
        let mut places: Vec<_> = (0..list.len()).filter(|index| list[*index] == args[3]).collect();
        if count < 0 {
            places.reverse();
        }
        places.truncate(most);
        places.sort_unstable();
        places.iter().rev().for_each(|index| drop(list.remove(*index)));
        places.len()
    })?;
    Ok(Reply::count(removed.unwrap_or(0)))
}
