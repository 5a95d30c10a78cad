//! The end of a run: everything comes to rest, and is compared.

use std::collections::HashSet;

use crate::message::PrivateId;

use super::world::{World, poll};

impl World {
    /// Everybody does what there is to do. True if that was nothing.
    pub(super) fn round(&mut self) -> bool {
        for place in 0..self.places.len() {
            self.hand_out(place, usize::MAX);
            self.take_commands(place);
        }
        (0..self.links.len()).rev().for_each(|link| self.run_job(link));
        self.tasks.retain_mut(|(_, task)| poll(task).is_pending());
        for link in &self.links {
            link.closing.set(link.closing.get() || link.deserted.get());
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
        ledger.check_answers()?;
        let live: HashSet<PrivateId> = self.clients.iter().filter_map(|client| client.pid).collect();
        for pid in ledger.accounts.keys() {
            self.tally.excepted += ledger.check(*pid, live.contains(pid))?;
        }
        self.tally.contested += ledger.contested();
        self.tally.sessions += ledger.accounts.len();
        self.tally.runs += 1;
        Ok(())
    }
}
