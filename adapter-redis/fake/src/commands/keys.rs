//! Keys and their expiry.

use super::{Access::*, Command, is};
use crate::{
    db::Db,
    number::integer,
    reply::{Bytes, Failure, Outcome, Reply},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::data("del", -2, Write, del),
    Command::data("unlink", -2, Write, del),
    Command::data("exists", -2, Read, exists),
    Command::data("type", 2, Read, kind),
    Command::data("expire", -3, Write, expire),
    Command::data("pexpire", -3, Write, pexpire),
    Command::data("pttl", 2, Read, pttl),
    Command::data("ttl", 2, Read, ttl),
    Command::data("persist", 2, Write, persist),
    Command::data("dbsize", 1, Read, dbsize),
    Command::data("flushall", -1, Write, flushall),
];

fn del(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(args[1..].iter().filter(|key| db.remove(key)).count()))
}

fn exists(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(args[1..].iter().filter(|key| db.exists(key)).count()))
}

fn kind(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::Status(db.kind(&args[1]).into()))
}

fn expire(db: &mut Db, args: &[Bytes]) -> Outcome {
    expire_in(db, args, 1000)
}

fn pexpire(db: &mut Db, args: &[Bytes]) -> Outcome {
    expire_in(db, args, 1)
}

fn expire_in(db: &mut Db, args: &[Bytes], unit: i64) -> Outcome {
    let (mut absent, mut present, mut later, mut earlier) = (false, false, false, false);
    for option in &args[3..] {
        if is(option, "nx") {
            absent = true;
        } else if is(option, "xx") {
            present = true;
        } else if is(option, "gt") {
            later = true;
        } else if is(option, "lt") {
            earlier = true;
        } else {
            return Err(Failure(format!("ERR Unsupported option {}", String::from_utf8_lossy(option))));
        }
    }
    if absent && (present || later || earlier) {
        return Err(Failure::new("ERR NX and XX, GT or LT options at the same time are not compatible"));
    }
    if later && earlier {
        return Err(Failure::new("ERR GT and LT options at the same time are not compatible"));
    }
    let moment = integer(&args[2])?.checked_mul(unit).and_then(|time| time.checked_add(db.now_ms));
    let moment = moment.ok_or_else(|| {
        let name = if unit == 1 { "pexpire" } else { "expire" };
        Failure(format!("ERR invalid expire time in '{name}' command"))
    })?;
    let Some(old) = db.expires_ms(&args[1]) else { return Ok(Reply::Int(0)) };
    let refused = (absent && old.is_some())
        || (present && old.is_none())
        || (later && old.is_none_or(|old| moment <= old))
        || (earlier && old.is_some_and(|old| moment >= old));
    if refused {
        return Ok(Reply::Int(0));
    }
    if moment <= db.now_ms {
        db.remove(&args[1]);
    } else {
        db.set_expires_ms(&args[1], Some(moment));
    }
    Ok(Reply::Int(1))
}

fn pttl(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::Int(left_ms(db, &args[1]).unwrap_or_else(|code| code)))
}

fn ttl(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::Int(left_ms(db, &args[1]).map_or_else(|code| code, |left| left.saturating_add(500) / 1000)))
}

/// The time that a key has left, or the code that says why there is none.
fn left_ms(db: &mut Db, key: &[u8]) -> Result<i64, i64> {
    let expires_ms = db.expires_ms(key).ok_or(-2)?;
    expires_ms.map(|expires| expires - db.now_ms).ok_or(-1)
}

fn persist(db: &mut Db, args: &[Bytes]) -> Outcome {
    let ends = db.expires_ms(&args[1]).flatten().is_some();
    if ends {
        db.set_expires_ms(&args[1], None);
    }
    Ok(ends.into())
}

fn dbsize(db: &mut Db, _: &[Bytes]) -> Outcome {
    Ok(Reply::count(db.len()))
}

fn flushall(db: &mut Db, args: &[Bytes]) -> Outcome {
    match args {
        [_] => {}
        [_, mode] if is(mode, "sync") || is(mode, "async") => {}
        _ => return Err(Failure::syntax()),
    }
    db.clear();
    Ok(Reply::ok())
}
