//! A sorted set.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use foldhash::fast::FixedState;

use crate::reply::Bytes;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Score(f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Members by score, then by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sorted {
    scores: HashMap<Bytes, f64, FixedState>,
    order: BTreeSet<(Score, Bytes)>,
}

/// The scores from one bound to the other.
pub(crate) struct ScoreRange {
    pub(crate) min: Bound<f64>,
    pub(crate) max: Bound<f64>,
}

impl ScoreRange {
    fn below(&self, score: f64) -> bool {
        match self.min {
            Bound::Included(min) => score < min,
            Bound::Excluded(min) => score <= min,
            Bound::Unbounded => false,
        }
    }

    fn above(&self, score: f64) -> bool {
        match self.max {
            Bound::Included(max) => score > max,
            Bound::Excluded(max) => score >= max,
            Bound::Unbounded => false,
        }
    }
}

impl Sorted {
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    pub(crate) fn put(&mut self, member: &Bytes, score: f64) {
        // there is one zero
        let score = score + 0.0;
        if let Some(old) = self.scores.insert(member.clone(), score) {
            self.order.remove(&(Score(old), member.clone()));
        }
        self.order.insert((Score(score), member.clone()));
    }

    pub(crate) fn remove(&mut self, member: &Bytes) -> bool {
        let Some(score) = self.scores.remove(member) else { return false };
        self.order.remove(&(Score(score), member.clone()))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        self.order.iter().map(|(score, member)| (member, score.0))
    }

    pub(crate) fn in_range(&self, range: ScoreRange) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        let from = match range.min {
            Bound::Included(min) | Bound::Excluded(min) => Score(min + 0.0),
            Bound::Unbounded => Score(f64::NEG_INFINITY),
        };
        let first: Bytes = Bytes::from([]);
        let members = self.order.range((from, first)..);
        let mut found: Vec<_> = Vec::new();
        for (score, member) in members {
            if range.above(score.0) {
                break;
            }
            if !range.below(score.0) {
                found.push((member, score.0));
            }
        }
        found.into_iter()
    }
}
