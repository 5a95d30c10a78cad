//! Whether a backend is worth asking; pure.
//!
//! Closed, everything is admitted, until so many failures follow each other
//! without an answer between them. Open, nothing is, for a time. Then one
//! request tries: its answer closes the circuit, its failure opens it again.
//!
//! What was admitted before the last change says nothing about the time after
//! it, and is not counted.

use std::time::Duration;

use tokio::time::Instant;

/// The state of one backend.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// Failures in a row that open it.
    limit: u32,
    open_for: Duration,
    /// Counts changes of the state.
    era: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Trying,
}

/// The right to ask once; its outcome is reported with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admission {
    era: u64,
}

/// What a request came to, as far as the circuit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The backend is there, whatever it said.
    Answered,
    Failed,
    /// It was given up before it was known.
    Abandoned,
}

/// What an outcome did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Opened,
    Closed,
}

impl Circuit {
    pub(super) fn new(limit: u32, open_for: Duration) -> Self {
        Circuit { state: State::Closed { failures: 0 }, limit, open_for, era: 0 }
    }

    /// `None`: the backend is not to be asked now.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Admission> {
        match self.state {
            State::Closed { .. } => {}
            State::Open { until } if until <= now => self.enter(State::Trying),
            State::Open { .. } | State::Trying => return None,
        }
        Some(Admission { era: self.era })
    }

    /// Whether [`Self::admit`] would admit.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } => until <= now,
            State::Trying => false,
        }
    }

    pub(super) fn report(&mut self, admission: Admission, outcome: Outcome, now: Instant) -> Change {
        if admission.era != self.era {
            return Change::None;
        }
        match (self.state, outcome) {
            (State::Closed { .. }, Outcome::Answered) => {
                self.state = State::Closed { failures: 0 };
                Change::None
            }
            (State::Closed { failures }, Outcome::Failed) if failures + 1 < self.limit => {
                self.state = State::Closed { failures: failures + 1 };
                Change::None
            }
            (State::Closed { .. }, Outcome::Failed) => {
                self.enter(State::Open { until: now + self.open_for });
                Change::Opened
            }
            (State::Trying, Outcome::Answered) => {
                self.enter(State::Closed { failures: 0 });
                Change::Closed
            }
            (State::Trying, Outcome::Failed) => {
                self.enter(State::Open { until: now + self.open_for });
                Change::None
            }
            // the next may try at once
            (State::Trying, Outcome::Abandoned) => {
                self.enter(State::Open { until: now });
                Change::None
            }
            (State::Closed { .. }, Outcome::Abandoned) | (State::Open { .. }, _) => Change::None,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN_FOR: Duration = Duration::from_secs(5);

    fn ask(circuit: &mut Circuit, outcome: Outcome, now: Instant) -> Option<Change> {
        let admission = circuit.admit(now)?;
        Some(circuit.report(admission, outcome, now))
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut circuit = Circuit::new(3, OPEN_FOR);
        for outcome in [Outcome::Failed, Outcome::Failed, Outcome::Answered, Outcome::Failed, Outcome::Failed] {
            assert_eq!(ask(&mut circuit, outcome, now), Some(Change::None));
        }
        assert_eq!(ask(&mut circuit, Outcome::Abandoned, now), Some(Change::None));
        assert_eq!(ask(&mut circuit, Outcome::Failed, now), Some(Change::Opened));
        assert_eq!(circuit.admit(now), None);
        let almost = now + OPEN_FOR - Duration::from_nanos(1);
        assert!(!circuit.admits(almost));
        assert_eq!(circuit.admit(almost), None);
    }

    #[test]
    fn one_tries_and_closes_it() {
        let now = Instant::now();
        let mut circuit = Circuit::new(1, OPEN_FOR);
        assert_eq!(ask(&mut circuit, Outcome::Failed, now), Some(Change::Opened));
        let later = now + OPEN_FOR;
        assert!(circuit.admits(later));
        let trial = circuit.admit(later).unwrap();
        assert_eq!(circuit.admit(later + OPEN_FOR), None, "one only");
        assert_eq!(circuit.report(trial, Outcome::Failed, later), Change::None);
        assert_eq!(circuit.admit(later), None);
        let trial = circuit.admit(later + OPEN_FOR).unwrap();
        assert_eq!(circuit.report(trial, Outcome::Answered, later + OPEN_FOR), Change::Closed);
        assert!(circuit.admit(later + OPEN_FOR).is_some());
    }

    #[test]
    fn a_trial_that_was_given_up_is_followed_by_another() {
        let now = Instant::now();
        let mut circuit = Circuit::new(1, OPEN_FOR);
        ask(&mut circuit, Outcome::Failed, now);
        assert_eq!(ask(&mut circuit, Outcome::Abandoned, now + OPEN_FOR), Some(Change::None));
        assert_eq!(ask(&mut circuit, Outcome::Answered, now + OPEN_FOR), Some(Change::Closed));
    }

    #[test]
    fn what_was_asked_before_does_not_count() {
        let now = Instant::now();
        let mut circuit = Circuit::new(1, OPEN_FOR);
        let early = [circuit.admit(now).unwrap(), circuit.admit(now).unwrap(), circuit.admit(now).unwrap()];
        assert_eq!(circuit.report(early[0], Outcome::Failed, now), Change::Opened);
        assert_eq!(circuit.report(early[1], Outcome::Answered, now), Change::None);
        assert_eq!(circuit.admit(now), None, "still open");
        let trial = circuit.admit(now + OPEN_FOR).unwrap();
        assert_eq!(circuit.report(trial, Outcome::Answered, now + OPEN_FOR), Change::Closed);
        assert_eq!(circuit.report(early[2], Outcome::Failed, now + OPEN_FOR), Change::None);
        assert!(circuit.admit(now + OPEN_FOR).is_some());
    }

    proptest! {
        /// Whatever happens: it opens on `limit` counted failures in a row only, at most one tries, and it always
        /// admits again in the end.
        #[test]
        fn never_stuck(limit in 1u32..4, steps in prop::collection::vec((0u8..4, 0u64..4), 1..60)) {
            let start = Instant::now();
            let mut now = start;
            let mut circuit = Circuit::new(limit, OPEN_FOR);
            let mut pending = Vec::new();
            let mut opened = 0;
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                let admits = circuit.admits(now);
                match step {
                    0 => {
                        let admission = circuit.admit(now);
                        prop_assert_eq!(admission.is_some(), admits);
                        pending.extend(admission);
                    }
                    outcome => {
                        let Some(admission) = pending.pop() else { continue };
                        let outcome = [Outcome::Answered, Outcome::Failed, Outcome::Abandoned][usize::from(outcome) - 1];
                        match circuit.report(admission, outcome, now) {
                            Change::Opened => { prop_assert_eq!(outcome, Outcome::Failed); opened += 1 }
                            Change::Closed => { prop_assert_eq!(outcome, Outcome::Answered); opened -= 1 }
                            Change::None => {}
                        }
                        prop_assert!((0..=1).contains(&opened));
                    }
                }
            }
            for admission in pending {
                circuit.report(admission, Outcome::Abandoned, now);
            }
            prop_assert!(circuit.admits(now + OPEN_FOR));
        }
    }
}
