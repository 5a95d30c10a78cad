//! The cut under every order of events that dice find.
//!
//! One thread, no runtime: three workers with their real shards, mailboxes and
//! router, the real memory adapter behind [`scheduled::Scheduled`], and around
//! them clients, backends and a clock. [`world`] lets one of them do one small
//! thing after the other, in an order that a seed decides; what each client
//! received is then compared with what [`ledger`] says it was to receive. The
//! same runs, with the core broken by a [`Mutation`], must fail.
//!
//! `CARILLON_MODEL_SEEDS` says how many seeds, `CARILLON_MODEL_SEED` which one.

mod client;
mod ledger;
mod node;
mod reckoning;
mod scheduled;
mod server;
mod setting;
mod tally;
mod threads;
mod world;

use crate::recovery::mutation::{self, Mutation};

use tally::Tally;
use world::World;

const SEEDS: u64 = 3000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64) -> Result<(Tally, bool), String> {
    let mut world = World::new(seed);
    let outcome = world.run();
    outcome.map(|()| (world.tally.clone(), world.setting.is_ordinary()))
}

#[test]
fn what_is_recovered_is_complete() {
    let only = number("CARILLON_MODEL_SEED");
    let seeds = only.map_or(0..number("CARILLON_MODEL_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let (mut all, mut ordinary, mut problems) = (Tally::default(), Tally::default(), Vec::new());
    for seed in seeds {
        match run(seed) {
            Ok((tally, is_ordinary)) => {
                all.add(&tally);
                if is_ordinary {
                    ordinary.add(&tally);
                }
            }
            Err(problem) => problems.push(format!("CARILLON_MODEL_SEED={seed}: {problem}")),
        }
    }
    let first = problems.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(problems.is_empty(), "{} seeds failed:\n{first}", problems.len());
    println!("all: {all}");
    println!("without tight bounds: {ordinary}");
    if only.is_some() {
        return;
    }
    assert_eq!((ordinary.trimmed, ordinary.too_much), (0, 0));
    assert!(ordinary.unknown * 50 < ordinary.recovered, "without reason, hardly any session is lost");
    assert!(all.recovered > 5 * all.runs / 2, "clients do come back");
    for count in [all.replayed, all.overflowed, all.excepted, all.volatile, all.trimmed, all.too_much, all.unknown] {
        assert!(count > all.runs / 50, "everything happens now and then");
    }
}

fn is_caught(mutation: Mutation) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| {
        let problem = mutation::with(Some(mutation), || run(seed)).err()?;
        Some((seed + 1, problem))
    })
}

#[test]
fn every_mutation_is_caught() {
    let only = std::env::var("CARILLON_MODEL_MUTATION").ok();
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let name = format!("{mutation:?}");
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        match is_caught(mutation) {
            Some((seeds, problem)) => println!("{name}: caught by seed {seeds}: {problem}"),
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
