//! The same with threads: each worker on its own, publishers on others, and
//! clients that come back to any worker. What happens is up to the machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::task::{Context, Waker};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::adapter::Adapter;

use super::client::{Client, Roamer, draft};
use super::node::{Node, Seat};
use super::setting::Setting;
use super::single::{Single, WORKERS};
use super::tally::Tally;
use super::world::World;

const STEPS: usize = 25_000;
const PUBLISHERS: usize = 2;
/// Of each publisher.
const BATCHES: usize = 1_500;

/// What the threads share besides the node.
struct Meeting {
    /// Clients that are away.
    away: Mutex<Vec<Roamer>>,
    /// Workers with nothing more to do, publishers that are done.
    quiet: Vec<AtomicBool>,
    stepped: Barrier,
    settled: Barrier,
}

fn work(node: &Node, seat: Seat, meeting: &Meeting) -> Result<(Tally, Vec<Client>), String> {
    let index = seat.index;
    let setting = Setting::roomy();
    let mut single = Single::part(node, setting, SmallRng::seed_from_u64(index as u64), vec![seat]);
    single.world.names = (index as u64 + 1) << 32;
    for _ in 0..STEPS {
        single.step();
        single.world.run_link();
        single.world.run_link();
        if single.world.dice.random_ratio(1, 10) {
            swap(&mut single.world, meeting);
        }
    }
    meeting.stepped.wait();
    single.world.clients.extend(meeting.away.lock().unwrap().drain(..).map(Client::arrive));
    let mut quiet = 0;
    for round in 0.. {
        quiet = if single.round(round) { quiet + 1 } else { 0 };
        meeting.quiet[index].store(quiet > 30, Ordering::SeqCst);
        if meeting.quiet.iter().all(|quiet| quiet.load(Ordering::SeqCst)) {
            break;
        }
        std::thread::yield_now();
    }
    // nobody publishes any more: what was overlooked is in the mailbox
    meeting.settled.wait();
    single.settle()?;
    Ok((single.world.tally.clone(), std::mem::take(&mut single.world.clients)))
}

/// Leaves a client that is away to the other workers, and takes one from them.
fn swap(world: &mut World, meeting: &Meeting) {
    let mut away = meeting.away.lock().unwrap();
    if world.dice.random_bool(0.2)
        && let Some(index) = world.clients.iter().position(|client| client.roam().is_some())
    {
        away.extend(world.clients.swap_remove(index).roam());
    }
    let count = away.len();
    if count > 0 {
        let roamer = away.swap_remove(world.dice.random_range(0..count));
        world.clients.push(Client::arrive(roamer));
    }
}

fn publish(node: &Node, index: usize) -> usize {
    let mut dice = SmallRng::seed_from_u64(1000 + index as u64);
    let mut names = (index as u64 + 100) << 32;
    let mut published = 0;
    for _ in 0..BATCHES {
        let count = dice.random_range(1..4);
        let batch: Vec<_> = (0..count).map(|_| draft(&mut dice, &node.ledger, &node.namespace, &mut names)).collect();
        let mut publishing = std::pin::pin!(node.adapter.publish(batch));
        let mut context = Context::from_waker(Waker::noop());
        while publishing.as_mut().poll(&mut context).is_pending() {
            std::thread::yield_now();
        }
        published += count;
    }
    published
}

#[test]
fn workers_as_threads() {
    let (node, seats) = Node::new(&Setting::roomy(), 1);
    let mut dice = SmallRng::seed_from_u64(1);
    let away = (0..Setting::roomy().clients).filter_map(|_| Client::new(&mut dice).roam()).collect();
    let meeting = Meeting {
        away: Mutex::new(away),
        quiet: (0..WORKERS + PUBLISHERS).map(|_| AtomicBool::new(false)).collect(),
        stepped: Barrier::new(WORKERS),
        settled: Barrier::new(WORKERS),
    };
    let mut all = Tally::default();
    let mut live = Vec::new();
    std::thread::scope(|scope| {
        let (node, meeting) = (&node, &meeting);
        let workers: Vec<_> = seats
            .into_iter()
            .map(|seat| {
                scope.spawn(move || {
                    let (tally, clients) = work(node, seat, meeting)?;
                    Ok::<_, String>((tally, clients.iter().filter_map(|client| client.pid).collect::<Vec<_>>()))
                })
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|index| {
                scope.spawn(move || {
                    let published = publish(node, index);
                    meeting.quiet[WORKERS + index].store(true, Ordering::SeqCst);
                    published
                })
            })
            .collect();
        for worker in workers {
            let (tally, pids) = worker.join().unwrap().unwrap();
            all.add(&tally);
            live.extend(pids);
        }
        for publisher in publishers {
            all.published += publisher.join().unwrap();
        }
    });
    let ledger = node.ledger.lock().unwrap();
    assert_eq!(ledger.problems.first(), None);
    assert_eq!(live.len(), Setting::roomy().clients);
    for pid in ledger.accounts.keys() {
        all.excepted += ledger.check(*pid, live.contains(pid)).unwrap();
    }
    all.overflowed = (node.adapter.heads.load(Ordering::Relaxed) as usize).saturating_sub(all.attempts());
    all.runs = 1;
    println!("threads: {all}");
    assert!(all.recovered > 50 && all.replayed > 500 && all.unknown == 0);
}
