//! Sets. Members are listed in the order in which they were added; Redis gives no order.

use super::{Access::*, Command};
use crate::{
    db::{Db, Set},
    reply::{Bytes, Outcome, Reply},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::data("sadd", -3, Grow, sadd),
    Command::data("srem", -3, Write, srem),
    Command::data("smembers", 2, Read, smembers),
    Command::data("sismember", 3, Read, sismember),
    Command::data("smismember", -3, Read, smismember),
    Command::data("scard", 2, Read, scard),
];

fn sadd(db: &mut Db, args: &[Bytes]) -> Outcome {
    let add = |set: &mut Set| args[2..].iter().filter(|member| set.insert((*member).clone())).count();
    Ok(Reply::count(db.edit_or_new(&args[1], add)?))
}

fn srem(db: &mut Db, args: &[Bytes]) -> Outcome {
    let remove = |set: &mut Set| args[2..].iter().filter(|member| set.shift_remove(*member)).count();
    Ok(Reply::count(db.edit(&args[1], remove)?.unwrap_or(0)))
}

fn smembers(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::list(db.get::<Set>(&args[1])?.into_iter().flatten().cloned()))
}

fn sismember(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(db.get::<Set>(&args[1])?.is_some_and(|set| set.contains(&args[2])).into())
}

fn smismember(db: &mut Db, args: &[Bytes]) -> Outcome {
    let set = db.get::<Set>(&args[1])?;
    Ok(Reply::list(args[2..].iter().map(|member| set.is_some_and(|set| set.contains(member)))))
}

fn scard(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(db.get::<Set>(&args[1])?.map_or(0, Set::len)))
}
