//! The cut under every order of events that dice find.
//!
//! One thread, no runtime: three workers with their real shards, mailboxes and
//! router, the real memory adapter behind [`scheduled::Scheduled`], and around
//! them clients, backends and a clock. [`single`] lets one of them do one small
//! thing after the other, in an order that a seed decides; what each client
//! received is then compared with what [`ledger`] says it was to receive. The
//! same runs, with the core broken by a [`Mutation`], must fail.
//!
//! `CARILLON_MODEL_SEEDS` says how many seeds, `CARILLON_MODEL_SEED` which one.

mod client;
mod cluster;
mod connecting;
mod ledger;
mod node;
mod reckoning;
mod scheduled;
mod server;
mod setting;
mod single;
mod tally;
mod threads;
mod world;

use crate::recovery::mutation::{self, Mutation};

use single::Single;
use tally::Tally;

const SEEDS: u64 = 3000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64) -> Result<(Tally, bool), String> {
    let mut single = Single::new(seed);
    single.run()?;
    Ok((single.world.tally.clone(), single.world.setting.is_ordinary()))
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
    if all.runs < 1000 {
        return;
    }
    assert_eq!((ordinary.trimmed, ordinary.too_much), (0, 0));
    assert!(ordinary.unknown * 50 < ordinary.recovered, "without reason, hardly any session is lost");
    assert!(all.recovered > 5 * all.runs / 2, "clients do come back");
    for count in [all.replayed, all.overflowed, all.excepted, all.volatile, all.trimmed, all.too_much, all.unknown] {
        assert!(count > all.runs / 50, "everything happens now and then");
    }
}

fn assert_caught(mutation: Mutation) {
    let caught = (0..SEEDS).find_map(|seed| {
        let problem = mutation::with(Some(mutation), || run(seed)).err()?;
        Some((seed + 1, problem))
    });
    let Some((seeds, problem)) = caught else { panic!("{mutation:?} is not caught") };
    println!("{mutation:?}: caught after {seeds} seeds: {problem}");
}

macro_rules! mutations {
    ($($name:ident: $mutation:ident,)+) => {
        $(
            #[test]
            fn $name() {
                assert_caught(Mutation::$mutation);
            }
        )+

        #[test]
        fn every_mutation_has_its_test() {
            let of_one_node = [$(Mutation::$mutation),+];
            assert_eq!(Mutation::ALL.as_slice(), [&of_one_node[..], &cluster::MUTATIONS].concat());
        }
    };
}

mutations! {
    skip_hold_is_caught: SkipHold,
    read_before_confirmation_is_caught: ReadBeforeConfirmation,
    drop_since_is_caught: DropSince,
    worker_position_while_replaying_is_caught: WorkerPositionWhileReplaying,
    release_all_is_caught: ReleaseAll,
    forget_overflow_is_caught: ForgetOverflow,
    except_by_present_rooms_is_caught: ExceptByPresentRooms,
    leave_without_hold_is_caught: LeaveWithoutHold,
    release_in_doubt_is_caught: ReleaseInDoubt,
    leave_at_once_is_caught: LeaveAtOnce,
    forget_replayed_is_caught: ForgetReplayed,
    guess_except_is_caught: GuessExcept,
    once_per_room_is_caught: OncePerRoom,
    forget_past_stays_is_caught: ForgetPastStays,
    ignore_offset_is_caught: IgnoreOffset,
    cut_after_read_is_caught: CutAfterRead,
}
