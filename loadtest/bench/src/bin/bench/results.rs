//! What was measured: values by server, metric and round; medians, ratios and verdicts from them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::{Bound, Settings, Target};

/// Everything that a run found, as it is written to JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) settings: Settings,
    /// Server, metric, round (from 0), value.
    pub(crate) values: BTreeMap<String, BTreeMap<String, BTreeMap<u32, f64>>>,
    pub(crate) skipped: BTreeMap<String, String>,
    pub(crate) failures: Vec<String>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// How one target came out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) target: Target,
    /// `None` if it was not measured.
    pub(crate) measured: Option<f64>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Pass,
    Miss,
    NotMeasured,
}

impl Results {
    pub(crate) fn new(environment: BTreeMap<String, String>, settings: Settings) -> Self {
        Self {
            environment,
            settings,
            values: BTreeMap::new(),
            skipped: BTreeMap::new(),
            failures: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, server: &str, metric: &str, round: u32, value: f64) {
        let metrics = self.values.entry(server.to_owned()).or_default();
        metrics.entry(metric.to_owned()).or_default().insert(round, value);
    }

    fn rounds(&self, server: &str, metric: &str) -> Option<&BTreeMap<u32, f64>> {
        self.values.get(server)?.get(metric)
    }

    /// Median over the rounds.
    pub(crate) fn median(&self, server: &str, metric: &str) -> Option<f64> {
        median(self.rounds(server, metric)?.values().copied())
    }

    /// Smallest and largest of the rounds.
    pub(crate) fn range(&self, server: &str, metric: &str) -> Option<(f64, f64)> {
        let rounds = self.rounds(server, metric)?;
        let smallest = rounds.values().copied().reduce(f64::min)?;
        Some((smallest, rounds.values().copied().reduce(f64::max)?))
    }

    /// Median of the rounds' ratios: within a round both servers saw the same machine.
    pub(crate) fn ratio(&self, server: &str, reference: &str, metric: &str) -> Option<f64> {
        let references = self.rounds(reference, metric)?;
        let values = self.rounds(server, metric)?;
        let ratios = values.iter().filter_map(|(round, value)| Some(value / references.get(round)?));
        median(ratios.filter(|ratio| ratio.is_finite()))
    }

    pub(crate) fn judge(&mut self, targets: &[Target]) {
        self.verdicts = targets.iter().map(|target| self.verdict(target)).collect();
    }

    fn verdict(&self, target: &Target) -> Verdict {
        let measured = match &target.reference {
            Some(reference) => self.ratio(&target.server, reference, &target.metric),
            None => self.median(&target.server, &target.metric),
        };
        let outcome = match (measured, target.bound) {
            (None, _) => Outcome::NotMeasured,
            (Some(value), Bound::AtMost(bound)) if value <= bound => Outcome::Pass,
            (Some(value), Bound::Above(bound)) if value > bound => Outcome::Pass,
            (Some(_), Bound::AtMost(_) | Bound::Above(_)) => Outcome::Miss,
        };
        Verdict { target: target.clone(), measured, outcome }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted.get(middle).copied()
    } else {
        Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let settings = Settings {
            rounds: 3,
            seconds: 1.0,
            warm_up_seconds: 1.0,
            settle_seconds: 1.0,
            connect_per_second: 1.0,
            limit_minutes: 1.0,
        };
        let mut results = Results::new(BTreeMap::new(), settings);
        for (round, (floor, ours)) in [(2.0, 3.0), (4.0, 4.0), (1.0, 3.0)].into_iter().enumerate() {
            results.add("floor", "fanout", round as u32, floor);
            results.add("ours", "fanout", round as u32, ours);
        }
        results
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let results = results();
        assert_eq!(results.median("floor", "fanout"), Some(2.0));
        assert_eq!(results.ratio("ours", "floor", "fanout"), Some(1.5));
        assert_eq!(results.ratio("ours", "nobody", "fanout"), None);
    }

    #[test]
    fn what_was_not_measured_is_neither_passed_nor_missed() {
        let mut results = results();
        let target = |server: &str, bound| Target {
            title: String::new(),
            metric: "fanout".to_owned(),
            server: server.to_owned(),
            reference: Some("floor".to_owned()),
            bound,
        };
        results.judge(&[
            target("ours", Bound::AtMost(1.5)),
            target("ours", Bound::Above(1.5)),
            target("nobody", Bound::AtMost(1.0)),
        ]);
        let outcomes: Vec<_> = results.verdicts.iter().map(|verdict| verdict.outcome).collect();
        assert_eq!(outcomes, [Outcome::Pass, Outcome::Miss, Outcome::NotMeasured]);
    }

    #[test]
    fn median_of_an_even_number_is_the_middle() {
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
