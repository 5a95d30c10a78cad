//! The runs, and the same with the code broken on purpose.

use std::ops::Range;

use adapter_redis::mutation::{self as library, Mutation};

use crate::recovery::mutation;

use super::super::number;
use super::super::tally::Tally;
use super::chaos::FAULTS;
use super::{MUTATIONS, run};

const SEEDS: u64 = 2000;

/// What some runs came to: all of them, those without faults and tight bounds,
/// and what was wrong.
#[derive(Default)]
struct Sum {
    all: Tally,
    ordinary: Tally,
    problems: Vec<String>,
}

impl Sum {
    fn add(&mut self, seed: u64) {
        match run(seed) {
            Ok((tally, is_ordinary)) => {
                self.all.add(&tally);
                if is_ordinary {
                    self.ordinary.add(&tally);
                }
            }
            Err(problem) => self.problems.push(format!("CARILLON_MODEL_SEED={seed}: {problem}")),
        }
    }
}

/// Each thread takes every so many-th seed.
fn run_all(seeds: Range<u64>) -> Sum {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let some = |first: usize| {
        let mut sum = Sum::default();
        seeds.clone().skip(first).step_by(threads).for_each(|seed| sum.add(seed));
        sum
    };
    let some = &some;
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || some(first))).collect();
        parts.into_iter().fold(Sum::default(), |mut sum, part| {
            let part = part.join().unwrap();
            sum.all.add(&part.all);
            sum.ordinary.add(&part.ordinary);
            sum.problems.extend(part.problems);
            sum
        })
    })
}

#[test]
fn nodes_keep_what_they_promise() {
    let only = number("CARILLON_MODEL_SEED");
    let seeds = only.map_or(0..number("CARILLON_MODEL_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let Sum { all, ordinary, problems } = run_all(seeds);
    println!("all: {all}\nfaults: {:?}", all.faults);
    println!("without faults and tight bounds: {ordinary}");
    let first = problems.iter().take(8).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(problems.is_empty(), "{} seeds failed:\n{first}", problems.len());
    if all.runs < 1000 {
        return;
    }
    assert_eq!((ordinary.trimmed, ordinary.too_much), (0, 0));
    assert!(all.recovered > 3 * all.runs, "clients do come back");
    assert!(all.contested * 200 < all.sessions, "hardly any session is not judged");
    for count in
        [all.replayed, all.excepted, all.volatile, all.trimmed, all.too_much, all.unknown, all.operations, all.told]
    {
        assert!(count > all.runs / 50, "everything happens now and then");
    }
    for fault in FAULTS {
        assert!(all.faults.get(fault).is_some_and(|count| *count > 3), "{fault} happens now and then");
    }
}

fn assert_caught(what: &str, broken: impl Fn(u64) -> Result<(Tally, bool), String>) {
    let caught = (0..SEEDS).find_map(|seed| Some((seed + 1, broken(seed).err()?)));
    let Some((seeds, problem)) = caught else { panic!("{what} is not caught") };
    println!("{what}: caught after {seeds} seeds: {problem}");
}

macro_rules! mutations {
    ($($name:ident: $mutation:ident,)+) => {
        $(
            #[test]
            fn $name() {
                let mutation = Mutation::$mutation;
                assert_caught(&format!("{mutation:?}"), |seed| library::with(mutation, || run(seed)));
            }
        )+

        #[test]
        fn every_mutation_has_its_test() {
            assert_eq!(Mutation::ALL.as_slice(), [$(Mutation::$mutation),+]);
        }
    };
}

mutations! {
    skip_catch_up_is_caught: SkipCatchUp,
    catch_up_from_now_is_caught: CatchUpFromNow,
    forget_overflow_is_caught: ForgetOverflow,
    reuse_read_is_caught: ReuseRead,
    retry_anew_is_caught: RetryAnew,
    ignore_slot_is_caught: IgnoreSlot,
    ignore_key_is_caught: IgnoreKey,
    ignore_fence_is_caught: IgnoreFence,
    drop_wanted_is_caught: DropWanted,
    ignore_waiting_is_caught: IgnoreWaiting,
    forget_end_is_caught: ForgetEnd,
    forget_presence_is_caught: ForgetPresence,
}

#[test]
fn mistakes_of_the_gateway_are_caught() {
    for mutation in MUTATIONS {
        assert_caught(&format!("{mutation:?}"), |seed| mutation::with(Some(mutation), || run(seed)));
    }
}
