//! Texts and counters.

use super::{Access::*, Command, is};
use crate::{
    db::Db,
    number::integer,
    reply::{Bytes, Failure, Outcome, Reply},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::data("get", 2, Read, get),
    Command::data("mget", -2, Read, mget),
    Command::data("set", -3, Grow, set),
    Command::data("incr", 2, Grow, incr),
    Command::data("incrby", 3, Grow, incr_by),
    Command::data("append", 3, Grow, append),
    Command::data("strlen", 2, Read, strlen),
];

fn get(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(db.text(&args[1])?.into())
}

fn mget(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::list(args[1..].iter().map(|key| db.text(key).unwrap_or(None))))
}

#[derive(PartialEq)]
enum Only {
    Always,
    IfAbsent,
    IfPresent,
}

enum Expiry {
    None,
    Keep,
    At(i64),
}

fn set(db: &mut Db, args: &[Bytes]) -> Outcome {
    let (mut only, mut expiry, mut answers_old) = (Only::Always, Expiry::None, false);
    let mut options = args[3..].iter();
    while let Some(option) = options.next() {
        let free = matches!(expiry, Expiry::None);
        if is(option, "nx") && only != Only::IfPresent {
            only = Only::IfAbsent;
        } else if is(option, "xx") && only != Only::IfAbsent {
            only = Only::IfPresent;
        } else if is(option, "get") {
            answers_old = true;
        } else if is(option, "keepttl") && free {
            expiry = Expiry::Keep;
        } else if (is(option, "px") || is(option, "ex")) && free {
            let unit = if is(option, "ex") { 1000 } else { 1 };
            let time = options.next().ok_or_else(Failure::syntax)?;
            expiry = Expiry::At(moment(db.now_ms, time, unit)?);
        } else {
            return Err(Failure::syntax());
        }
    }
    let key = &args[1];
    let old = if answers_old { db.text(key)? } else { None };
    let present = db.exists(key);
    let done = match only {
        Only::Always => true,
        Only::IfAbsent => !present,
        Only::IfPresent => present,
    };
    if done {
        let expires_ms = match expiry {
            Expiry::None => None,
            Expiry::Keep => db.expires_ms(key).flatten(),
            Expiry::At(moment) => Some(moment),
        };
        db.put_text(key, args[2].clone(), expires_ms);
    }
    Ok(match (answers_old, done) {
        (true, _) => old.into(),
        (false, true) => Reply::ok(),
        (false, false) => Reply::Nil,
    })
}

fn moment(now_ms: i64, time: &[u8], unit: i64) -> Result<i64, Failure> {
    let time = integer(time)?;
    let moment = time.checked_mul(unit).and_then(|time| time.checked_add(now_ms));
    let moment = moment.filter(|_| time > 0);
    moment.ok_or_else(|| Failure::new("ERR invalid expire time in 'set' command"))
}

fn incr(db: &mut Db, args: &[Bytes]) -> Outcome {
    add(db, &args[1], 1)
}

fn incr_by(db: &mut Db, args: &[Bytes]) -> Outcome {
    let by = integer(&args[2])?;
    add(db, &args[1], by)
}

fn add(db: &mut Db, key: &Bytes, by: i64) -> Outcome {
    let old = db.text(key)?.map_or(Ok(0), |text| integer(&text))?;
    let new = old.checked_add(by).ok_or_else(|| Failure::new("ERR increment or decrement would overflow"))?;
    let expires_ms = db.expires_ms(key).flatten();
    db.put_text(key, new.to_string().into_bytes().into(), expires_ms);
    Ok(Reply::Int(new))
}

fn append(db: &mut Db, args: &[Bytes]) -> Outcome {
    let old = db.text(&args[1])?.unwrap_or_else(|| Bytes::from([]));
    let new = [&*old, &*args[2]].concat();
    let length = new.len();
    let expires_ms = db.expires_ms(&args[1]).flatten();
    db.put_text(&args[1], new.into(), expires_ms);
    Ok(Reply::count(length))
}

fn strlen(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(db.text(&args[1])?.map_or(0, |text| text.len())))
}
