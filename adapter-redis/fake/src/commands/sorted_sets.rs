//! Sorted sets.

use std::ops::Bound;

use super::{Access::*, Command, is, span};
use crate::{
    db::Db,
    number::{float, integer, text_of_float},
    reply::{Bytes, Failure, Outcome, Reply},
    sorted::{ScoreRange, Sorted},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::data("zadd", -4, Grow, zadd),
    Command::data("zrem", -3, Write, zrem),
    Command::data("zscore", 3, Read, zscore),
    Command::data("zmscore", -3, Read, zmscore),
    Command::data("zcard", 2, Read, zcard),
    Command::data("zcount", 4, Read, zcount),
    Command::data("zrange", -4, Read, zrange),
    Command::data("zrangebyscore", -4, Read, zrangebyscore),
    Command::data("zremrangebyscore", 4, Write, zremrangebyscore),
];

fn score_reply(score: Option<f64>) -> Reply {
    score.map_or(Reply::Nil, |score| Reply::text(text_of_float(score)))
}

#[derive(Default)]
struct Rules {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
    counts_changes: bool,
}

impl Rules {
    fn allow(&self, old: Option<f64>, new: f64) -> bool {
        match old {
            None => !self.present,
            Some(_) if self.absent => false,
            Some(old) => (!self.greater || new > old) && (!self.less || new < old),
        }
    }
}

fn zadd(db: &mut Db, args: &[Bytes]) -> Outcome {
    let mut rules = Rules::default();
    let mut pairs = &args[2..];
    while let Some((option, rest)) = pairs.split_first() {
        match () {
            () if is(option, "nx") => rules.absent = true,
            () if is(option, "xx") => rules.present = true,
            () if is(option, "gt") => rules.greater = true,
            () if is(option, "lt") => rules.less = true,
            () if is(option, "ch") => rules.counts_changes = true,
            () => break,
        }
        pairs = rest;
    }
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(Failure::syntax());
    }
    if rules.absent && rules.present {
        return Err(Failure::new("ERR XX and NX options at the same time are not compatible"));
    }
    if (rules.greater && rules.less) || (rules.absent && (rules.greater || rules.less)) {
        return Err(Failure::new("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    let pairs = pairs.chunks_exact(2).map(|pair| Ok((float(&pair[0])?, &pair[1])));
    let pairs = pairs.collect::<Result<Vec<_>, Failure>>()?;
    let (mut added, mut changed) = (0, 0);
    db.edit_or_new(&args[1], |sorted: &mut Sorted| {
        for (score, member) in pairs {
            let old = sorted.score(member);
            if !rules.allow(old, score) {
                continue;
            }
            added += usize::from(old.is_none());
            changed += usize::from(old.is_some_and(|old| old != score));
            sorted.put(member, score);
        }
    })?;
    Ok(Reply::count(if rules.counts_changes { added + changed } else { added }))
}

fn zrem(db: &mut Db, args: &[Bytes]) -> Outcome {
    let remove = |sorted: &mut Sorted| args[2..].iter().filter(|member| sorted.remove(member)).count();
    Ok(Reply::count(db.edit(&args[1], remove)?.unwrap_or(0)))
}

fn zscore(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(score_reply(db.get::<Sorted>(&args[1])?.and_then(|sorted| sorted.score(&args[2]))))
}

fn zmscore(db: &mut Db, args: &[Bytes]) -> Outcome {
    let sorted = db.get::<Sorted>(&args[1])?;
    Ok(Reply::list(args[2..].iter().map(|member| score_reply(sorted.and_then(|sorted| sorted.score(member))))))
}

fn zcard(db: &mut Db, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(db.get::<Sorted>(&args[1])?.map_or(0, Sorted::len)))
}

fn zcount(db: &mut Db, args: &[Bytes]) -> Outcome {
    let range = score_range(&args[2], &args[3])?;
    Ok(Reply::count(db.get::<Sorted>(&args[1])?.map_or(0, |sorted| sorted.in_range(range).count())))
}

fn zremrangebyscore(db: &mut Db, args: &[Bytes]) -> Outcome {
    let range = score_range(&args[2], &args[3])?;
    let removed = db.edit(&args[1], |sorted: &mut Sorted| {
        let found: Vec<_> = sorted.in_range(range).map(|(member, _)| member.clone()).collect();
        found.iter().filter(|member| sorted.remove(member)).count()
    })?;
    Ok(Reply::count(removed.unwrap_or(0)))
}

fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, Failure> {
    let bound = |text: &[u8]| {
        let (text, bound): (_, fn(f64) -> Bound<f64>) = match text.strip_prefix(b"(") {
            Some(rest) => (rest, Bound::Excluded),
            None => (text, Bound::Included),
        };
        float(text).map(bound).map_err(|_| Failure::new("ERR min or max is not a float"))
    };
    Ok(ScoreRange { min: bound(min)?, max: bound(max)? })
}

#[derive(Default)]
struct Wanted {
    by_score: bool,
    reversed: bool,
    with_scores: bool,
    limit: Option<(i64, i64)>,
}

fn wanted(options: &[Bytes], mut wanted: Wanted) -> Result<Wanted, Failure> {
    let ranges = !wanted.by_score;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if is(option, "withscores") {
            wanted.with_scores = true;
        } else if is(option, "limit") {
            let (Some(offset), Some(count)) = (options.next(), options.next()) else { return Err(Failure::syntax()) };
            wanted.limit = Some((integer(offset)?, integer(count)?));
        } else if ranges && is(option, "byscore") {
            wanted.by_score = true;
        } else if ranges && is(option, "rev") {
            wanted.reversed = true;
        } else {
            return Err(Failure::syntax());
        }
    }
    if wanted.limit.is_some() && !wanted.by_score {
        let why = "LIMIT is only supported in combination with either BYSCORE or BYLEX";
        return Err(Failure(format!("ERR syntax error, {why}")));
    }
    Ok(wanted)
}

fn zrange(db: &mut Db, args: &[Bytes]) -> Outcome {
    range(db, args, wanted(&args[4..], Wanted::default())?)
}

fn zrangebyscore(db: &mut Db, args: &[Bytes]) -> Outcome {
    range(db, args, wanted(&args[4..], Wanted { by_score: true, ..Wanted::default() })?)
}

fn range(db: &mut Db, args: &[Bytes], wanted: Wanted) -> Outcome {
    let (first, second) = (&args[2], &args[3]);
    let found = if wanted.by_score {
        let range = if wanted.reversed { score_range(second, first)? } else { score_range(first, second)? };
        let Some(sorted) = db.get::<Sorted>(&args[1])? else { return Ok(Reply::Array(Vec::new())) };
        let found = sorted.in_range(range);
        if wanted.reversed { limited(found.rev(), wanted.limit) } else { limited(found, wanted.limit) }
    } else {
        let (start, stop) = (integer(first)?, integer(second)?);
        let Some(sorted) = db.get::<Sorted>(&args[1])? else { return Ok(Reply::Array(Vec::new())) };
        let span = span(start, stop, sorted.len());
        let limit = Some((span.start as i64, span.len() as i64));
        if wanted.reversed { limited(sorted.iter().rev(), limit) } else { limited(sorted.iter(), limit) }
    };
    let mut items = Vec::with_capacity(found.len());
    for (member, score) in found {
        items.push(Reply::Bulk(member.clone()));
        if wanted.with_scores {
            items.push(score_reply(Some(score)));
        }
    }
    Ok(Reply::Array(items))
}

/// A negative offset gives nothing, a negative count all.
fn limited<'a>(found: impl Iterator<Item = (&'a Bytes, f64)>, limit: Option<(i64, i64)>) -> Vec<(&'a Bytes, f64)> {
    let (offset, count) = limit.unwrap_or((0, -1));
    let Ok(offset) = usize::try_from(offset) else { return Vec::new() };
    found.skip(offset).take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
}
