//! What the runs came to, so that none passes for want of events.

use std::collections::BTreeMap;
use std::fmt;

use super::server::Outcome;

#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) runs: usize,
    pub(super) published: usize,
    pub(super) delivered: usize,
    pub(super) volatile: usize,
    pub(super) replayed: usize,
    pub(super) recovered: usize,
    pub(super) unknown: usize,
    pub(super) trimmed: usize,
    pub(super) too_much: usize,
    pub(super) overflowed: usize,
    pub(super) excepted: usize,
    pub(super) joins: usize,
    pub(super) leaves: usize,
    pub(super) cuts: usize,
    pub(super) operations: usize,
    pub(super) disconnected: usize,
    pub(super) sessions: usize,
    pub(super) contested: usize,
    /// Notices, and how often one came again.
    pub(super) told: usize,
    pub(super) told_again: usize,
    /// By name.
    pub(super) faults: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub(super) fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Recovered(replayed) => {
                self.recovered += 1;
                self.replayed += replayed;
            }
            Outcome::Unknown => self.unknown += 1,
            Outcome::Trimmed(_) => self.trimmed += 1,
            Outcome::TooMuch(_) => self.too_much += 1,
            Outcome::Ahead => {}
        }
    }

    /// Attempts that came to reading the log.
    pub(super) fn attempts(&self) -> usize {
        self.recovered + self.trimmed + self.too_much
    }

    pub(super) fn add(&mut self, other: &Tally) {
        self.runs += other.runs;
        self.published += other.published;
        self.delivered += other.delivered;
        self.volatile += other.volatile;
        self.replayed += other.replayed;
        self.recovered += other.recovered;
        self.unknown += other.unknown;
        self.trimmed += other.trimmed;
        self.too_much += other.too_much;
        self.overflowed += other.overflowed;
        self.excepted += other.excepted;
        self.joins += other.joins;
        self.leaves += other.leaves;
        self.cuts += other.cuts;
        self.operations += other.operations;
        self.disconnected += other.disconnected;
        self.sessions += other.sessions;
        self.contested += other.contested;
        self.told += other.told;
        self.told_again += other.told_again;
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs: {} sessions ({} contested), {} published, {} handed out ({} volatile received), {} excepted, {} joins, {} leaves, {} cuts, \
             {} operations, {} disconnected; \
             {} recovered with {} replayed, {} holds overflowed; lost: {} unknown, {} trimmed, {} too much; \
             {} told ({} again)",
            self.runs,
            self.sessions,
            self.contested,
            self.published,
            self.delivered,
            self.volatile,
            self.excepted,
            self.joins,
            self.leaves,
            self.cuts,
            self.operations,
            self.disconnected,
            self.recovered,
            self.replayed,
            self.overflowed,
            self.unknown,
            self.trimmed,
            self.too_much,
            self.told,
            self.told_again,
        )
    }
}
