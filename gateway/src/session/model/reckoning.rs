//! The end of a run: everything comes to rest, and is compared.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use crate::message::PrivateId;

use super::world::{World, poll};

/// Rounds in which nothing happens, until it counts as rest.
const QUIET: usize = 30;

impl World {
    /// Nothing new happens; what is under way comes to its end.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.adapter.calm.store(true, Ordering::Relaxed);
        let mut quiet = 0;
        for round in 0..2000 {
            quiet = if self.round(round) { quiet + 1 } else { 0 };
            if quiet == QUIET {
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    /// Everybody does what there is to do. True if that was nothing.
    pub(super) fn round(&mut self, round: usize) -> bool {
        for place in 0..self.places.len() {
            self.hand_out(place, usize::MAX);
            self.take_commands(place);
        }
        (0..self.links.len()).rev().for_each(|link| self.run_job(link));
        self.tasks.retain_mut(|task| poll(task).is_pending());
        for link in &self.links {
            link.closing.set(link.closing.get() || link.deserted.get());
        }
        if round.is_multiple_of(20) {
            self.adapter.inner.tick();
        }
        let waiting = (0..self.clients.len()).filter(|client| !self.come_home(*client)).count();
        let busy = self.links.iter().any(|link| link.job.borrow().is_some() || !link.inbox.borrow().is_empty());
        waiting == 0 && !busy && self.tasks.is_empty() && self.links.len() == self.clients.len()
    }

    /// What each client received is what it was to receive.
    pub(super) fn reckon(&mut self) -> Result<(), String> {
        let ledger = self.ledger.lock().unwrap();
        if let Some(problem) = ledger.problems.first() {
            return Err(problem.clone());
        }
        let live: HashSet<PrivateId> = self.clients.iter().filter_map(|client| client.pid).collect();
        for pid in ledger.accounts.keys() {
            self.tally.excepted += ledger.check(*pid, live.contains(pid))?;
        }
        let heads = self.adapter.heads.load(Ordering::Relaxed) as usize;
        self.tally.overflowed += heads.saturating_sub(self.tally.attempts());
        self.tally.runs += 1;
        Ok(())
    }
}
