//! `[cluster]` and `[drain]`: what concerns a node among others.

use std::time::Duration;

use super::Check;
use crate::config::{Config, Drain};

impl Check {
    pub(super) fn cluster(&mut self, config: &Config) {
        let Config { cluster, limits, recovery, .. } = config;
        let advertise = "must be a host and a port such as `10.0.0.5:9100`";
        self.that(cluster.is_reachable(), "cluster.advertise", advertise);
        let (budget, most) = (cluster.handshakes_per_second, limits.max_connections);
        if budget == 0 {
            return;
        }
        let at = "cluster.handshakes_per_second";
        if most == 0 {
            let message = "needs `limits.max_connections`: how many clients come back when a node is lost";
            return self.that(false, at, message);
        }
        let back = Duration::from_secs_f64(most as f64 / f64::from(budget));
        let message = format!(
            "all clients of a node (`limits.max_connections`) are back after {} s; that must be less than half of \
             `recovery.window`",
            back.as_secs_f64().ceil()
        );
        self.that(back < recovery.window / 2, at, message);
        let rest = "must be less than `cluster.handshakes_per_second`, which it uses up";
        self.that(cluster.rebalance_per_second < budget, "cluster.rebalance_per_second", rest);
    }

    pub(super) fn drain(&mut self, drain: &Drain) {
        let in_time = drain.ready_delay.checked_add(drain.spread).is_some_and(|sum| sum <= drain.deadline);
        self.that(in_time, "drain.deadline", "must be at least `drain.ready_delay` + `drain.spread`");
        let needed = drain.deadline.saturating_add(Drain::AFTER_DEADLINE);
        let known = drain.grace_period > Duration::ZERO;
        let message = "must be at least `drain.deadline` and 8 s: otherwise the process is killed while it drains";
        self.that(!known || needed <= drain.grace_period, "drain.grace_period", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::validate::validate;

    /// The keys of what is found.
    fn found(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        validate(&config).into_iter().map(|(key, _)| key.join(".")).collect()
    }

    #[test]
    fn a_lost_nodes_clients_must_be_back_in_half_the_window() {
        let budget = |most, per_second, rebalance| {
            found(|config| {
                config.limits.max_connections = most;
                config.cluster.handshakes_per_second = per_second;
                config.cluster.rebalance_per_second = rebalance;
            })
        };
        assert_eq!(budget(0, 0, 50), [""; 0]);
        assert_eq!(budget(59_999, 1000, 999), [""; 0]);
        assert_eq!(budget(60_000, 1000, 0), ["cluster.handshakes_per_second"]);
        assert_eq!(budget(0, 1000, 0), ["cluster.handshakes_per_second"]);
        assert_eq!(budget(10_000, 1000, 1000), ["cluster.rebalance_per_second"]);
    }

    #[test]
    fn the_drain_must_fit_into_the_grace_period() {
        let grace = |seconds| found(|config| config.drain.grace_period = Duration::from_secs(seconds));
        assert_eq!(grace(0), [""; 0]);
        assert_eq!(grace(33), [""; 0]);
        assert_eq!(grace(32), ["drain.grace_period"]);
        let long = |config: &mut Config| config.drain.spread = Duration::from_secs(26);
        assert_eq!(found(long), ["drain.deadline"]);
    }
}
