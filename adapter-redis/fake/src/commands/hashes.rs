//! Hashes. Fields are listed in the order in which they were first set, as Redis lists small ones.

use super::{Access::*, Command};
use crate::{
    db::{Db, Hash},
    number::integer,
    reply::{Bytes, Failure, Outcome, Reply},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::data("hget", 3, Read, hget),
    Command::data("hmget", -3, Read, hmget),
    Command::data("hgetall", 2, Read, hgetall),
    Command::data("hkeys", 2, Read, hkeys),
    Command::data("hvals", 2, Read, hvals),
    Command::data("hexists", 3, Read, hexists),
    Command::data("hlen", 2, Read, hlen),
    Command::data("hset", -4, Grow, hset),
    Command::data("hsetnx", 4, Grow, hsetnx),
    Command::data("hdel", -3, Write, hdel),
    Command::data("hincrby", 4, Grow, hincrby),
];

fn hget(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(db.get::<Hash>(&args[1])?.and_then(|hash| hash.get(&args[2])).cloned().into())
}

fn hmget(db: &mut Db, args: &[Bytes]) -> Outcome {
    let hash = db.get::<Hash>(&args[1])?;
    Ok(Reply::list(args[2..].iter().map(|field| hash?.get(field).cloned())))
}

fn hgetall(db: &mut Db, args: &[Bytes]) -> Outcome {
    let hash = db.get::<Hash>(&args[1])?.into_iter().flatten();
    Ok(Reply::list(hash.flat_map(|(field, value)| [field.clone(), value.clone()])))
}

fn hkeys(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::list(db.get::<Hash>(&args[1])?.into_iter().flat_map(|hash| hash.keys().cloned())))
}

fn hvals(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::list(db.get::<Hash>(&args[1])?.into_iter().flat_map(|hash| hash.values().cloned())))
}

fn hexists(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(db.get::<Hash>(&args[1])?.is_some_and(|hash| hash.contains_key(&args[2])).into())
}

fn hlen(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(db.get::<Hash>(&args[1])?.map_or(0, Hash::len)))
}

fn hset(db: &mut Db, args: &[Bytes]) -> Outcome {
    let pairs = &args[2..];
    if !pairs.len().is_multiple_of(2) {
        return Err(Failure::arity("hset"));
    }
    let new = |hash: &mut Hash| {
        let pairs = pairs.chunks_exact(2);
        pairs.filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none()).count()
    };
    Ok(Reply::count(db.edit_or_new(&args[1], new)?))
}

fn hsetnx(db: &mut Db, args: &[Bytes]) -> Outcome {
    if db.get::<Hash>(&args[1])?.is_some_and(|hash| hash.contains_key(&args[2])) {
        return Ok(Reply::Int(0));
    }
    db.edit_or_new(&args[1], |hash: &mut Hash| hash.insert(args[2].clone(), args[3].clone()))?;
    Ok(Reply::Int(1))
}

fn hdel(db: &mut Db, args: &[Bytes]) -> Outcome {
    let remove = |hash: &mut Hash| args[2..].iter().filter(|field| hash.shift_remove(*field).is_some()).count();
    Ok(Reply::count(db.edit(&args[1], remove)?.unwrap_or(0)))
}

fn hincrby(db: &mut Db, args: &[Bytes]) -> Outcome {
    let by = integer(&args[3])?;
    let old = db.get::<Hash>(&args[1])?.and_then(|hash| hash.get(&args[2]));
    let old = old.map_or(Ok(0), |text| integer(text)).map_err(|_| Failure::new("ERR hash value is not an integer"))?;
    let new = old.checked_add(by).ok_or_else(|| Failure::new("ERR increment or decrement would overflow"))?;
    let text: Bytes = new.to_string().into_bytes().into();
    db.edit_or_new(&args[1], |hash: &mut Hash| hash.insert(args[2].clone(), text))?;
    Ok(Reply::Int(new))
}
